"""What an apply would do, before it is done: per app, what stays, changes in place, restarts, moves or ends.

Owns the comparison and the refusals that need a view of the whole region. It asks the scheduler itself, so that what is
shown is what will be done. Data only: who shows it decides how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from skerry_netplan.planner import missing
from skerry_protocol.app import App
from skerry_protocol.change import ChangeClass, changed_fields, classify
from skerry_protocol.ids import AppName, NodeId, NodeName
from skerry_protocol.lease import least_lost_after_ms
from skerry_protocol.network import Port

from ..model import AppRow, NodeRow, Placement, Turned
from .claims import lease_of
from .compile import CONFIRM_FROM
from .fits import may_leave_data
from .networds import FIELD, NOTHING
from .networds import changed as network_changes
from .nodeports import taken_by
from .scheduler import Schedule
from .telling import Change, Kind, turned_text

Plan = Callable[[list[AppRow]], Schedule]


@dataclass(frozen=True)
class Proposal:
    """`refusals`: nothing may be done. `notes`: what an operator should know. `confirm`: what needs a confirmation.

    `ask`: nodes that would have to be heard first, because copies go only to nodes that were heard lately.
    """

    changes: tuple[Change, ...]
    refusals: tuple[str, ...]
    notes: tuple[str, ...]
    confirm: tuple[str, ...] = ()
    ask: tuple[NodeId, ...] = ()


def what_would_change(
    old: Iterable[AppRow],
    new: Iterable[AppRow],
    placements: Iterable[Placement],
    nodes: Iterable[NodeRow],
    plan: Plan,
    *,
    leave_data: bool = False,
    confirmed: bool = False,
) -> Proposal:
    """Compares all apps before and after. `plan` is the scheduler with everything else bound.

    Unconfirmed mass removals and volumes that would stay behind are refusals unless `confirmed` and `leave_data`.
    """
    was = {row.name: row for row in old}
    will = {row.name: row for row in new}
    changed = sorted(name for name in {*was, *will} if _app(was.get(name)) != _app(will.get(name)))
    known = {node.id: node for node in nodes}
    before = tuple(placements)
    after = plan([will.get(name) or was[name] for name in sorted({*was, *will})])
    changes: list[Change] = []
    refusals: list[str] = []
    notes: list[str] = []
    for name in changed:
        view = _View(name, _app(was.get(name)), _app(will.get(name)), before, after, known)
        changes += view.changes()
        refusals += view.refusals(leave_data)
        notes += view.notes()
    notes += unreached(will.values(), changed)
    confirm = vanishing(before, after.placements, known)
    if confirm and not confirmed:
        refusals += [f"{text} (apply again with --confirm)" for text in confirm]
    return Proposal(tuple(changes), tuple(refusals), tuple(notes), tuple(confirm), after.ask)


def vanishing(
    before: Iterable[Placement], after: Iterable[Placement], nodes: Mapping[NodeId, NodeRow]
) -> list[str]:
    """Nodes that lose three or more, and more than half, of their copies: only an operator may want that."""
    stays = {placement.instance for placement in after}
    had: dict[NodeId, list[bool]] = {}
    for placement in before:
        had.setdefault(placement.node, []).append(placement.instance not in stays)
    return [
        f"{sum(gone)} of {len(gone)} copies on node {nodes[node].name} would be removed"
        for node, gone in sorted(had.items())
        if node in nodes and sum(gone) >= CONFIRM_FROM and sum(gone) * 2 > len(gone)
    ]


def drain_refusals(
    node: NodeRow, apps: Iterable[AppRow], placements: Iterable[Placement], leave_data: bool
) -> list[str]:
    """Why the node may not be drained: copies whose volumes would stay behind."""
    if leave_data:
        return []
    by_name = {row.name: row.app for row in apps}
    found = []
    for placement in placements:
        app = by_name.get(placement.app)
        if placement.node == node.id and app is not None and not may_leave_data(app, node):
            volumes = ", ".join(sorted(app.volumes))
            found.append(
                f"cannot drain {node.name}: the data of {app.name}-{placement.number} is on it: {volumes} "
                "(--leave-data moves the copy without it)"
            )
    return found


def unreached(rows: Iterable[AppRow], changed: Iterable[AppName]) -> list[str]:
    """Apps that are to be reached and are not there, where a change has to do with it. They may come later."""
    said = {row.name: row.app.network for row in rows if row.app is not None}
    names = set(changed)
    return [str(one) for one in missing(said) if one.app in names or one.reaches in names]


def _app(row: AppRow | None) -> App | None:
    return row.app if row is not None else None


@dataclass(frozen=True)
class _View:
    """One changed app, before and after."""

    name: AppName
    old: App | None
    new: App | None
    before: tuple[Placement, ...]
    after: Schedule
    nodes: Mapping[NodeId, NodeRow]

    def _had(self) -> list[Placement]:
        return [one for one in self.before if one.app == self.name]

    def _has(self) -> list[Placement]:
        return [one for one in self.after.placements if one.app == self.name]

    def _names(self, nodes: Iterable[NodeId]) -> tuple[NodeName, ...]:
        return tuple(
            sorted({self.nodes[node].name if node in self.nodes else NodeName(node) for node in nodes})
        )

    def _fields(self) -> tuple[str, ...]:
        return changed_fields(self.old, self.new) if self.old and self.new else ()

    def _why(self) -> str:
        """By which fields, for people: of the network what becomes of it."""
        words = [field for field in self._fields() if not field.startswith(FIELD)]
        if self.new is not None:
            before = self.old.network if self.old is not None else NOTHING
            words += network_changes(before, self.new.network)
        return f" ({', '.join(words)})" if words else ""

    def changes(self) -> list[Change]:
        """In order of Kind; exactly one `none` where nothing happens to any copy."""
        found = [*self._in_place(), *self._moves()]
        if not found:
            nothing = "nothing happens to its copies" if self.old else "is new, and gets no copy for now"
            text = f"{self.name}: {nothing}{self._why()}"
            found.append(Change(self.name, Kind.NONE, self._fields(), (), text))
        return sorted(found, key=lambda change: list(Kind).index(change.kind))

    def _in_place(self) -> list[Change]:
        """Copies that stay where they are, by what their node does to them."""
        if self.old is None or self.new is None:
            return []
        had = {one.instance for one in self._had()}
        by_class: dict[ChangeClass, list[NodeId]] = {}
        for placement in self._has():
            if placement.instance in had:
                node = self.nodes.get(placement.node)
                kind = classify(self.old, self.new, node.arch if node else None)
                by_class.setdefault(kind, []).append(placement.node)
        found = []
        for kind, word in ((ChangeClass.LIVE, Kind.LIVE), (ChangeClass.RESTART, Kind.RESTART)):
            if kind in by_class:
                names = self._names(by_class[kind])
                verb = "changes while it runs" if word is Kind.LIVE else "restarts"
                text = f"{self.name}: {verb} on {', '.join(names)}{self._why()}"
                found.append(Change(self.name, word, self._fields(), names, text))
        return found

    def _moves(self) -> list[Change]:
        """Copies that end and copies that are new; one of each with one number is a move."""
        had, has = self._had(), self._has()
        old_ids, new_ids = {one.instance for one in had}, {one.instance for one in has}
        gone = [one for one in had if one.instance not in new_ids]
        made = [one for one in has if one.instance not in old_ids]
        moved = (
            {one.number for one in gone} & {one.number for one in made} if self.old and self.new else set()
        )
        found = []
        for number in sorted(moved):
            source = self._names(one.node for one in gone if one.number == number)
            target = self._names(one.node for one in made if one.number == number)
            text = f"{self.name}-{number}: moves from {', '.join(source)} to {', '.join(target)}{self._why()}"
            found.append(Change(self.name, Kind.REPLACE, self._fields(), source, text))
        for kind, copies, verb in ((Kind.PLACE, made, "starts on"), (Kind.REMOVE, gone, "is removed from")):
            rest = [one for one in copies if one.number not in moved]
            if rest:
                names = self._names(one.node for one in rest)
                count = f" ({len(rest)} copies)" if len(rest) != len(names) else ""
                why = self._why() if kind is Kind.PLACE and self.old is None else ""
                text = f"{self.name}: {verb} {', '.join(names)}{count}{why}"
                found.append(Change(self.name, kind, self._fields(), names, text))
        return found

    def refusals(self, leave_data: bool) -> list[str]:
        """What makes the whole apply impossible for this app."""
        found = []
        if self.new is not None and self.new.fenced and self.new.ha and lease_of(self.new) is None:
            least = -(-least_lost_after_ms(self.new.stop_timeout_ms) // 1000)
            found.append(
                f"cannot apply {self.name}: lost_after {self.new.ha.lost_after_ms / 1000:g} s leaves no lease beside "
                f"a stop_timeout of {self.new.stop_timeout_ms / 1000:g} s (at least {least} s is needed)"
            )
        found += self._clashes()
        if self.old is None or self.new is None or leave_data:
            return found
        replaced = {one.number for one in self._has()}
        for placement, reason in self.after.ended:
            node = self.nodes.get(placement.node)
            moves = placement.app == self.name and (placement.number in replaced or "shut out" in reason)
            if moves and node is not None and not may_leave_data(self.old, node):
                found.append(
                    f"cannot apply {self.name}: {self.name}-{placement.number} would leave its data on {node.name}: "
                    f"{', '.join(sorted(self.old.volumes))} (--leave-data moves the copy without it)"
                )
        return found

    def _clashes(self) -> Iterator[str]:
        """Copies that stay where they are, and ports there that the change gives to two of them."""
        ports = set(taken_by(self.new) if self.new else ()) - set(taken_by(self.old) if self.old else ())
        found: dict[tuple[str, Port], list[NodeId]] = {}
        for one in self.after.clashes:
            if one.port in ports and self.name in {one.placement.app, one.holder}:
                other = one.placement.app if one.holder == self.name else one.holder
                whose = "another of its copies" if other == self.name else other
                found.setdefault((whose, one.port), []).append(one.placement.node)
        for (whose, port), nodes in found.items():
            yield (
                f"cannot apply {self.name}: {whose} has port {port} of {', '.join(self._names(nodes))} "
                "(choose another port, or keep one of them off there by place)"
            )

    def _left(self) -> tuple[NodeName, ...]:
        """The nodes that a copy leaves, and its data does not."""
        stays = {one.instance for one in self._has()}
        return self._names(one.node for one in self._had() if one.instance not in stays)

    def notes(self) -> list[str]:
        """The price of words, and copies without a place."""
        found = [_unplaced(turned) for turned in self.after.turned if turned.app == self.name]
        known = {node.name for node in self.nodes.values()}
        strange = [name for name in self.new.place.nodes if name not in known] if self.new is not None else []
        found += [f"{self.name}: place.nodes names {name}, and there is no such node" for name in strange]
        lease = lease_of(self.new) if self.new is not None else None
        if lease is not None and not (self.old and self.old.fenced):
            seconds = (lease.length_ms + lease.stop_ms) / 1000
            found.append(
                f"{self.name} forbids overlap: a copy whose node cannot reach the hub is stopped within {seconds:g} s"
            )
        if self.old is not None and self.old.volumes and (left := self._left()):
            volumes = ", ".join(sorted(self.old.volumes))
            found.append(f"{self.name}: its data stays on {', '.join(left)}: {volumes}")
        return found


def _unplaced(turned: Turned) -> str:
    return f"{turned.app}-{turned.number} has no place: {turned_text(turned.by)}"
