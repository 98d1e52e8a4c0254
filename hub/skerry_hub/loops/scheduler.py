"""Placements: which copy belongs on which node, and for each copy that has no place, why.

A pure function without time: that a node is lost is an event made before it. Stable: whatever need not move stays.
First every copy that there is, is judged (kept, ended, or to be moved when somewhere else is found), then the copies
that are missing get their nodes. docs/availability.md has the rules in an operator's words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from skerry_protocol.app import App, Resources
from skerry_protocol.ids import AppName, InstanceId, NodeId, instance_id

from ..model import AppRow, ClaimRow, Loss, NodeRow, Placement, Turned, Waiting
from .copies import Copies, Need, Situation
from .fits import place_key
from .nodeports import Clash, clashes
from .room import Room, Want
from .telling import turned_text

ASKED_AT_ONCE = 20


@dataclass(frozen=True)
class Schedule:
    """The whole answer. `ended` are former placements with the reason; `ask`: nodes whose beat copies wait for.

    `clashes`: placed copies that do not get a port of their node.
    """

    placements: tuple[Placement, ...]
    ended: tuple[tuple[Placement, str], ...]
    turned: tuple[Turned, ...]
    waiting: tuple[Waiting, ...]
    ask: tuple[NodeId, ...] = ()
    clashes: tuple[Clash, ...] = ()

    @property
    def awaits_nodes(self) -> bool:
        """Whether a node that is heard from now may change something: copies without a place, or away from home."""
        return bool(self.turned or self.waiting or any(one.home is not None for one in self.placements))


@dataclass
class _Out:
    """What one run has decided so far."""

    kept: dict[InstanceId, Placement] = field(default_factory=dict)
    made: list[Placement] = field(default_factory=list)
    ended: list[tuple[Placement, str]] = field(default_factory=list)
    turned: list[Turned] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    ask: dict[NodeId, None] = field(default_factory=dict)


def schedule(
    apps: Iterable[AppRow],
    nodes: Iterable[NodeRow],
    placements: Iterable[Placement],
    claims: Iterable[ClaimRow],
    losses: Iterable[Loss],
    healthy: frozenset[InstanceId],
    applied_newest: frozenset[NodeId],
    fresh: frozenset[NodeId],
    used: Mapping[NodeId, Resources],
    now_ms: int,
    entropy: Callable[[], bytes],
    *,
    restored: bool = False,
    asked: frozenset[NodeId] | None = None,
) -> Schedule:
    """Decides every placement of the region. `claims` decide nothing here: a place is not taken or left for a claim.

    `healthy`: copies healthy on what they are to run. `applied_newest`: nodes that applied their newest assignment.
    `fresh`: nodes heard from in the last 30 s; copies go only there. `used`: the larger of a node's newest assignment
    and its own word. `asked`: nodes asked to beat that do not answer (None: nobody asks, nothing waits for them).
    `now_ms` and `entropy` (7 bytes or more a call) only stamp what is new.
    """
    rows = sorted(apps, key=lambda row: row.name)
    lost: dict[NodeId, int] = {}
    rows_of_loss = tuple(losses)
    for loss in rows_of_loss:
        if loss.returned_at_ms is None:
            lost[loss.node] = max(lost.get(loss.node, 0), loss.lost_after_ms)
    room = Room(nodes, fresh, asked, frozenset(lost))
    back = frozenset((loss.node, loss.lost_after_ms) for loss in rows_of_loss)
    situation = Situation(room.nodes, lost, back, healthy, applied_newest, restored)
    out = _Out()
    needs = _judge(rows, placements, situation, out)
    _reserve(rows, out.kept.values(), used, room)
    beside = _beside(out.kept.values(), situation, rows)
    for need in needs:
        _fill(need, room, situation, beside.setdefault(need.row.name, {}), out, now_ms, entropy)
    return _result(out, {row.name: row.app for row in rows})


def _judge(
    rows: list[AppRow], placements: Iterable[Placement], situation: Situation, out: _Out
) -> list[Need]:
    """Sorts all that is placed into kept and ended; returns what is missing or has to move, in order."""
    by_app: dict[AppName, list[Placement]] = {row.name: [] for row in rows}
    for placement in sorted(placements, key=lambda one: (one.app, one.number, one.instance)):
        if placement.app in by_app:
            by_app[placement.app].append(placement)
        else:
            out.ended.append((placement, "the app is not known"))
    needs: list[Need] = []
    for row in rows:
        copies = Copies(row, situation)
        copies.judge(by_app[row.name])
        out.kept.update((placement.instance, placement) for placement in copies.kept)
        out.ended += copies.ended
        out.waiting += copies.waiting
        needs += copies.needs
    return needs


def _reserve(
    rows: list[AppRow], kept: Iterable[Placement], used: Mapping[NodeId, Resources], room: Room
) -> None:
    """Every kept copy has its share, also on a silent node, and no node uses less than it said."""
    apps = {row.name: row.app for row in rows}
    for placement in kept:
        app = apps[placement.app]
        if app is not None:
            room.reserve(placement.node, app)
    for node, amount in used.items():
        room.at_least(node, amount)


def _beside(
    kept: Iterable[Placement], situation: Situation, rows: list[AppRow]
) -> dict[AppName, dict[NodeId, int]]:
    """The copies of each app per node, without those on lost nodes: they protect nobody."""
    lost_after = {row.name: row.app.ha.lost_after_ms for row in rows if row.app is not None and row.app.ha}
    counts: dict[AppName, dict[NodeId, int]] = {}
    for placement in kept:
        limit = lost_after.get(placement.app)
        if limit is None or situation.lost.get(placement.node, 0) < limit:
            here = counts.setdefault(placement.app, {})
            here[placement.node] = here.get(placement.node, 0) + 1
    return counts


def _fill(
    need: Need,
    room: Room,
    situation: Situation,
    beside: dict[NodeId, int],
    out: _Out,
    now_ms: int,
    entropy: Callable[[], bytes],
) -> None:
    """Finds a node for one missing copy, or says why there is none."""
    app = need.row.app
    assert app is not None
    want = Want(app, need.avoid, beside)
    node = _target(need, want, room, situation)
    if node is None:
        _unplaced(need, want, room, out)
        return
    if need.leaves is not None:
        left = msgspec.structs.replace(out.kept.pop(need.leaves.instance), word=need.word)
        out.ended.append((left, need.reason))
        beside[need.leaves.node] = max(0, beside.get(need.leaves.node, 0) - 1)
    room.reserve(node, app)
    beside[node] = beside.get(node, 0) + 1
    out.made.append(
        Placement(
            instance=instance_id(need.row.name, need.number, entropy()),
            app=need.row.name,
            number=need.number,
            node=node,
            reason=need.reason,
            since_ms=now_ms,
            replaces=need.replaces,
            revision=need.row.revision,
            place=place_key(app),
            home=need.home if need.home != node else None,
        )
    )


def _target(need: Need, want: Want, room: Room, situation: Situation) -> NodeId | None:
    """The one node that a per-node copy or a copy going home is for, if it has room; else the best there is."""
    if need.only is None:
        return room.pick(want)
    node = situation.nodes[need.only]
    if need.must_be_fresh and node.id not in room.fresh:
        return None
    return None if room.lacks(want.app, node) else node.id


def _unplaced(need: Need, want: Want, room: Room, out: _Out) -> None:
    """What the report says of a copy that found no node: nobody can ask for that afterwards."""
    if need.only is not None:
        if not need.must_be_fresh:
            lacks = room.lacks(want.app, room.nodes[need.only]) or "room"
            out.turned.append(
                Turned(need.row.name, need.number, 1, {f"{lacks} on {room.nodes[need.only].name}": 1})
            )
        return
    by = room.turned(want)
    quiet = room.unasked(want.app) if room.asked is not None else room.quiet(want.app)
    for node in quiet[:ASKED_AT_ONCE]:
        out.ask[node] = None
    if "fits" in by:
        by = {
            ("waits for others to answer first" if why == "fits" else why): count for why, count in by.items()
        }
    if need.leaves is None and need.replaces is None:
        out.turned.append(Turned(need.row.name, need.number, len(room.nodes), by))
        return
    stays = need.leaves.instance if need.leaves is not None else need.replaces
    text = f"{need.reason}, but no other node takes the copy: {turned_text(by)}"
    out.waiting.append(Waiting(need.row.name, need.number, "schedule", text, stays))


def _result(out: _Out, apps: Mapping[AppName, App | None]) -> Schedule:
    """Everything in one order; a copy that stood in for one that ended now stands in for what that one did."""
    gone = {placement.instance: placement for placement, _ in out.ended}

    def stands_for(instance: InstanceId | None) -> InstanceId | None:
        while instance is not None and instance in gone:
            instance = gone[instance].replaces
        return instance

    placed = [
        msgspec.structs.replace(one, replaces=stands_for(one.replaces)) if one.replaces in gone else one
        for one in (*out.kept.values(), *out.made)
    ]
    return Schedule(
        placements=tuple(sorted(placed, key=lambda one: (one.app, one.number, one.instance))),
        ended=tuple(sorted(out.ended, key=lambda pair: (pair[0].app, pair[0].number, pair[0].instance))),
        turned=tuple(out.turned),
        waiting=tuple(out.waiting),
        ask=tuple(out.ask)[:ASKED_AT_ONCE],
        clashes=tuple(clashes(placed, apps)),
    )
