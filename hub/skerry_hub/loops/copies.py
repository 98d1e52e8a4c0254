"""Judges the copies that one app has: which are kept, which end and why, which are missing or should move.

Owns the availability rules of placing (docs/availability.md); knows no loads and picks no node. What it decides for a
copy: best-effort never moves by silence; overlap allow adds a copy beside one that is cut off; overlap forbid ends one
placement and begins another, and the claim sees to the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from skerry_protocol.app import Availability, OnReturn
from skerry_protocol.ids import InstanceId, NodeId

from ..model import AppRow, NodeRow, NodeState, Placement, Waiting, Word
from .confirming import change_word, node_word, policy_word
from .fits import may_leave_data, place_key, shut_out, turned_away


@dataclass(frozen=True)
class Situation:
    """What is known of nodes and copies.

    `lost`: nodes that are silent now, with the longest lost_after (ms) that this has lasted for. `back`: (node,
    lost_after) that are silent, or back for less than ten times as long.
    """

    nodes: Mapping[NodeId, NodeRow]
    lost: Mapping[NodeId, int]
    back: frozenset[tuple[NodeId, int]]
    healthy: frozenset[InstanceId]
    applied_newest: frozenset[NodeId]
    restored: bool = False


@dataclass(frozen=True)
class Need:
    """A copy to place. `leaves` ends when a node is found, by `word`; `only` is the one node it is for."""

    row: AppRow
    number: int
    reason: str
    avoid: frozenset[NodeId] = frozenset()
    replaces: InstanceId | None = None
    leaves: Placement | None = None
    home: NodeId | None = None
    only: NodeId | None = None
    must_be_fresh: bool = True
    word: Word | None = None


@dataclass
class Copies:
    """One app's copies in one run. Call `judge` once, then read the lists."""

    row: AppRow
    situation: Situation
    kept: list[Placement] = field(default_factory=list)
    ended: list[tuple[Placement, str]] = field(default_factory=list)
    needs: list[Need] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)

    def judge(self, placements: list[Placement]) -> None:
        """`placements` are all of this app, sorted by number and instance."""
        app = self.row.app
        if app is None:
            for placement in placements:
                self._end(placement, "the app was removed", change_word(self.row))
            return
        staying = self._allowed(placements)
        if app.per_node:
            self._per_node(staying)
        else:
            self._numbered(staying)
        self.kept = [self._moved_on(placement) for placement in self.kept]

    def _end(self, placement: Placement, reason: str, word: Word | None = None) -> None:
        self.ended.append((msgspec.structs.replace(placement, word=word), reason))

    def _node(self, placement: Placement) -> NodeRow:
        return self.situation.nodes[placement.node]

    def _lost(self, placement: Placement) -> bool:
        """Whether its node has been silent for the app's lost_after. Best-effort copies are never lost."""
        app = self.row.app
        return bool(app and app.ha and self.situation.lost.get(placement.node, 0) >= app.ha.lost_after_ms)

    def _draining(self, placement: Placement) -> bool:
        return self._node(placement).state is NodeState.DRAINING

    def _allowed(self, placements: list[Placement]) -> list[Placement]:
        """Ends what may not be where it is, whatever its availability."""
        staying = []
        for placement in placements:
            reason = self._forbidden(placement)
            if reason is None:
                staying.append(placement)
            else:
                self._end(placement, reason, self._word_on(placement))
        return staying

    def _word_on(self, placement: Placement) -> Word | None:
        """By whose word a copy may not be where it is: the node's, else that of a confirmed change."""
        node = self.situation.nodes.get(placement.node)
        dead = node is not None and node.state is NodeState.DEAD
        return node_word(node) if node is not None and dead else change_word(self.row)

    def _forbidden(self, placement: Placement) -> str | None:
        app, node = self.row.app, self.situation.nodes.get(placement.node)
        assert app is not None
        if node is None:
            return "its node was forgotten"
        if node.state is NodeState.DEAD:
            return f"node {node.name} was declared dead"
        if not app.per_node and not 1 <= placement.number <= app.replicas:
            return f"scaled down to {app.replicas}"
        if placement.place not in {"", place_key(app)}:  # only a change of the rules, never one of labels
            why = shut_out(app, node)
            if why is not None:
                return f"the app's rules shut out node {node.name}: {why}"
        return None

    def _moved_on(self, placement: Placement) -> Placement:
        """The kept copy on the app's newest revision; one on a lost node stays as it was, to be compared on return."""
        app = self.row.app
        assert app is not None
        if self._lost(placement) and not app.fenced:
            return placement
        key = place_key(app)
        if placement.revision == self.row.revision and placement.place == key:
            return placement
        return msgspec.structs.replace(placement, revision=self.row.revision, place=key)

    def _per_node(self, placements: list[Placement]) -> None:
        """One copy on each node that fits; those that are there stay whatever the labels say now."""
        app = self.row.app
        assert app is not None
        taken: set[NodeId] = set()
        for placement in placements:
            node = self._node(placement)
            if placement.node in taken:
                self._end(placement, "one copy for each node is enough")
            elif node.state is NodeState.DRAINING and may_leave_data(app, node):
                self._end(placement, f"node {node.name} is drained", node_word(node))
            else:
                taken.add(placement.node)
                self.kept.append(placement)
                if node.state is NodeState.DRAINING:
                    self._stays_with_data(placement)
        numbers = {placement.number for placement in self.kept}
        number = 1
        for node in self.situation.nodes.values():
            if node.id in taken or turned_away(app, node) is not None:
                continue
            while number in numbers:
                number += 1
            numbers.add(number)
            self.needs.append(Need(self.row, number, "one for each node", only=node.id, must_be_fresh=False))

    def _stays_with_data(self, placement: Placement) -> None:
        text = f"node {self._node(placement).name} drains, but the copy's volumes are on it (drain with --leave-data)"
        self.waiting.append(Waiting(placement.app, placement.number, "schedule", text, placement.instance))

    def _numbered(self, placements: list[Placement]) -> None:
        app = self.row.app
        assert app is not None
        groups: dict[int, list[Placement]] = {number: [] for number in range(1, app.replicas + 1)}
        for placement in placements:
            groups[placement.number].append(placement)
        overlapping = app.availability is Availability.HA and not app.fenced
        for number, group in groups.items():
            ordered = _in_order(group)
            if overlapping:
                self._overlapping(number, ordered)
            else:
                self._single(number, ordered)

    def _single(self, number: int, group: list[Placement]) -> None:
        """Best-effort and forbid: one placement at any time; a move ends one as it begins the other."""
        if not group:
            self.needs.append(Need(self.row, number, self._first_reason()))
            return
        best = min(
            group, key=lambda one: (self._lost(one), self._draining(one))
        )  # min keeps the first of equals
        for placement in group:
            if placement is not best:
                self._end(placement, "one copy is enough")
        self.kept.append(best)
        self._maybe_move(best)

    def _maybe_move(self, placement: Placement) -> None:
        """Adds the move that this kept copy needs, if any."""
        app, node = self.row.app, self._node(placement)
        assert app is not None
        avoid = frozenset({placement.node})
        if self._draining(placement):
            if may_leave_data(app, node):
                reason = f"node {node.name} is drained"
                word = node_word(node)
                self.needs.append(
                    Need(self.row, placement.number, reason, avoid, leaves=placement, word=word)
                )
            else:
                self._stays_with_data(placement)
        elif app.fenced and self._lost(placement) and not self.situation.restored:
            reason = f"node {node.name} has been silent for {_seconds(self._lost_after())}"
            home = (placement.home or placement.node) if self._keeps_original() else None
            word = policy_word(self.row)
            need = Need(self.row, placement.number, reason, avoid, leaves=placement, home=home, word=word)
            self.needs.append(need)
        elif app.fenced and placement.home is not None and not self.situation.restored:
            self._maybe_home(placement, placement.home)

    def _maybe_home(self, placement: Placement, home: NodeId) -> None:
        """A planned move back, once the lost node has been back for ten times lost_after (its loss is gone then)."""
        app, node = self.row.app, self.situation.nodes.get(home)
        assert app is not None
        if not self._keeps_original() or node is None or turned_away(app, node) is not None:
            return
        if (home, self._lost_after()) in self.situation.back or home not in self.situation.applied_newest:
            return
        reason = f"back to node {node.name}, its original place"
        word = policy_word(self.row)
        self.needs.append(Need(self.row, placement.number, reason, leaves=placement, only=home, word=word))

    def _overlapping(self, number: int, group: list[Placement]) -> None:
        """Overlap allow: at least one copy that is not cut off; a cut-off one stays beside its replacement."""
        if not group:
            self.needs.append(Need(self.row, number, self._first_reason()))
            return
        standing = [one for one in group if not self._lost(one) and not self._draining(one)]
        keep = self._resolved(standing)
        drained = any(one.instance in self.situation.healthy for one in keep)
        for placement in group:
            if placement in standing:
                if placement in keep:
                    self.kept.append(placement)
            elif self._draining(placement) and drained:
                node = self._node(placement)
                self._end(placement, f"node {node.name} is drained", node_word(node))
            else:
                self.kept.append(placement)
        if not standing:
            last = group[-1]
            avoid = frozenset(one.node for one in group)
            self.needs.append(Need(self.row, number, self._why_instead(last), avoid, replaces=last.instance))

    def _resolved(self, standing: list[Placement]) -> list[Placement]:
        """What stays of several copies after a return: `standing` is in order, originals first."""
        if len(standing) < 2:
            return standing
        newest = max(one.revision for one in standing)
        keep = []
        for placement in standing:
            if placement.revision < newest:
                reason = "its revision is older than that of the copy that replaced it"
                self._end(placement, reason, policy_word(self.row))
            else:
                keep.append(placement)
        if len(keep) < 2:
            return keep
        return self._on_return(keep)

    def _on_return(self, keep: list[Placement]) -> list[Placement]:
        """keep-original or keep-replacement; both run until the one that stays is healthy."""
        original = self._keeps_original()
        stays = keep[0] if original else keep[-1]
        well = stays.instance in self.situation.healthy
        if not well or (original and stays.node not in self.situation.applied_newest):
            return keep
        for placement in keep:
            if placement is not stays:
                reason = "the original is back" if original else "its replacement stays"
                self._end(placement, reason, policy_word(self.row))
        return [stays]

    def _lost_after(self) -> int:
        app = self.row.app
        return app.ha.lost_after_ms if app and app.ha else 0

    def _keeps_original(self) -> bool:
        app = self.row.app
        return bool(app and app.ha and app.ha.on_return is OnReturn.KEEP_ORIGINAL)

    def _first_reason(self) -> str:
        return f"revision {self.row.revision} asks for {self.row.app.replicas if self.row.app else 0}"

    def _why_instead(self, placement: Placement) -> str:
        node = self._node(placement)
        if self._lost(placement):
            return f"node {node.name} has been silent for {_seconds(self._lost_after())}"
        return f"node {node.name} is drained"


def _in_order(group: list[Placement]) -> list[Placement]:
    """Originals first, then what stands in for them."""
    return sorted(group, key=lambda one: (_depth(one, group), one.instance))


def _depth(placement: Placement, group: list[Placement]) -> int:
    """0 for the original, 1 for its replacement, 2 for the replacement of that."""
    by_id = {one.instance: one for one in group}
    depth, at = 0, placement
    while at.replaces in by_id and depth < len(group):
        assert at.replaces is not None
        at, depth = by_id[at.replaces], depth + 1
    return depth


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:g} s"
