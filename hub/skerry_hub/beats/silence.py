"""Which nodes are lost, and when they are back: silence counted only while the hub listens.

Owns the timing of losses. A heap holds one entry for each (node, lost_after): first at half of it, where the storm
brake may ask other nodes, then at the whole, where it judges. A beat costs no heap work: an entry that comes up early
is put back. The storm brake itself is `storm`.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

from skerry_protocol.ids import NodeId

from ..model import Loss
from .events import (
    Action,
    AskNodes,
    DeclareReturned,
    DeclareSilent,
    ForgetLoss,
    NodeTerms,
    ReportStorm,
    ReportStormOver,
)
from .storm import Probe, Storm, passed_of, reason_of

Watch = tuple[NodeId, int]
FRESH_S = 30.0
BACK_FACTOR = 10


class Silence:
    """All nodes' last beats, and what follows from them."""

    def __init__(self, start: float, losses: Iterable[Loss]) -> None:
        self.floor = start
        self.heard: dict[NodeId, float] = {}
        self.nodes: dict[NodeId, NodeTerms] = {}
        self.silent: dict[NodeId, set[int]] = {}
        self.storm = Storm()
        self._due: list[tuple[float, NodeId, int]] = []
        self._watched: set[Watch] = set()
        self._asked_at: dict[Watch, float] = {}  # from when on the node has to beat so often
        self._probes: dict[Watch, Probe] = {}
        self._back: list[tuple[float, NodeId, int]] = []
        for loss in losses:
            if loss.returned_at_ms is None:
                self.silent.setdefault(loss.node, set()).add(loss.lost_after_ms)
            else:
                self._back_at(loss.node, loss.lost_after_ms, start)

    def learn(self, node: NodeId, terms: NodeTerms | None, now: float) -> None:
        """What the node is to be watched for; None where it was forgotten.

        A length that is new counts from now: the node did not beat as often as that before, and nobody had asked it to.
        """
        before = self.nodes[node].lost_after_ms if node in self.nodes else frozenset()
        lengths = terms.lost_after_ms if terms is not None else frozenset()
        for lost_after in before - lengths:
            self._asked_at.pop((node, lost_after), None)
        for lost_after in lengths - before:
            self._asked_at[node, lost_after] = now
        if terms is None:
            self.nodes.pop(node, None)
            self.heard.pop(node, None)
            self.silent.pop(node, None)
            return
        self.nodes[node] = terms
        for lost_after in sorted(terms.lost_after_ms - self.silent.get(node, set())):
            self._watch((node, lost_after))

    def listening_again(self, now: float) -> None:
        """The hub did not listen until now: that counts as a beat from everybody."""
        self.floor = max(self.floor, now)

    def beat(self, node: NodeId, now: float) -> list[Action]:
        """The node was heard."""
        self.heard[node] = now
        self.storm.heard(node)
        lost = self.silent.pop(node, None)
        if not lost:
            return []
        for lost_after in sorted(lost):
            self._back_at(node, lost_after, now)
            if node in self.nodes and lost_after in self.nodes[node].lost_after_ms:
                self._watch((node, lost_after))
        return [DeclareReturned(node, tuple(sorted(lost)))]

    def fresh(self, now: float, within: float = FRESH_S) -> frozenset[NodeId]:
        """Nodes that were really heard within so many seconds."""
        return frozenset(node for node, at in self.heard.items() if now - at <= within and node in self.nodes)

    def is_fresh(self, node: NodeId, now: float, within: float = FRESH_S) -> bool:
        """Whether `fresh` has this one node."""
        return node in self.nodes and now - self.heard.get(node, float("-inf")) <= within

    def tick(self, now: float, hold_ms: int | None) -> list[Action]:
        """What is due. Costs nothing for nodes of which nothing is."""
        actions = self._storm(now, hold_ms)
        held: list[Watch] = []
        while self._due and self._due[0][0] <= now:
            _, node, lost_after = heappop(self._due)
            actions += self._look((node, lost_after), now, held)
        if held:
            actions.append(self._report(hold_ms))
        while self._back and self._back[0][0] <= now:
            at, node, lost_after = heappop(self._back)
            if lost_after not in self.silent.get(node, set()) and self._been_back(node, lost_after, at):
                actions.append(ForgetLoss(node, lost_after))
        return actions

    def due_at(self) -> float:
        """When there is something to do next, as far as is known now; endless where nothing is."""
        return min((heap[0][0] for heap in (self._due, self._back) if heap), default=float("inf"))

    def since(self, node: NodeId) -> float:
        """From when the node's silence counts: its last beat, or when the hub began to listen."""
        return max(self.heard.get(node, self.floor), self.floor)

    def _counts_from(self, watch: Watch) -> float:
        return max(self.since(watch[0]), self._asked_at.get(watch, self.floor))

    def _watch(self, watch: Watch) -> None:
        if watch not in self._watched:
            self._watched.add(watch)
            heappush(self._due, (self._counts_from(watch) + watch[1] / 2000, *watch))

    def _look(self, watch: Watch, now: float, held: list[Watch]) -> list[Action]:
        """One entry that came up: put back, ask others, or judge."""
        node, lost_after = watch
        terms = self.nodes.get(node)
        if terms is None or lost_after not in terms.lost_after_ms:
            self._watched.discard(watch)
            self._probes.pop(watch, None)
            return []
        since = self._counts_from(watch)
        half, whole = since + lost_after / 2000, since + lost_after / 1000
        if now < half:
            self._probes.pop(watch, None)
            heappush(self._due, (half, *watch))
            return []
        probe = self._probes.get(watch)
        if probe is None or probe.at < half - lost_after / 2000:
            # The whole is due now already where the loop was slow; others still get a moment to answer.
            heappush(self._due, (max(whole, now + 1.0), *watch))
            return self._ask(watch, now)
        if now < whole:
            heappush(self._due, (whole, *watch))
            return []
        return self._judge(watch, probe, now, held)

    def _ask(self, watch: Watch, now: float) -> list[Action]:
        """Asks others, unless that was done a moment ago for another node."""
        last = self.storm.last
        if last is not None and now - last.at < 1.0 and watch[0] not in last.asked:
            self._probes[watch] = last
            return []
        probe = self.storm.probe(now, watch[0], self.nodes, self.silent, self.since)
        self._probes[watch] = probe
        return [AskNodes(probe.asked)] if probe.asked else []

    def _judge(self, watch: Watch, probe: Probe, now: float, held: list[Watch]) -> list[Action]:
        self._probes.pop(watch, None)
        if self.storm.holds or (not self.storm.passed and probe.cut_off(self.heard)):
            self.storm.hold(watch, probe, now)
            held.append(watch)
            return []
        return self._declare(watch)

    def _declare(self, watch: Watch) -> list[Action]:
        self._watched.discard(watch)
        self.silent.setdefault(watch[0], set()).add(watch[1])
        return [DeclareSilent(*watch)]

    def _storm(self, now: float, hold_ms: int | None) -> list[Action]:
        """While the brake holds: ask again every few seconds, until others answer or the region's time is over."""
        if not self.storm.active:
            return []
        answer = self.storm.check(now, self.heard)
        if answer:
            self.floor = now  # the hub was cut off until now
            for watch in self.storm.release():
                heappush(self._due, (now + watch[1] / 2000, *watch))
            return [ReportStormOver("the nodes that were asked answer again")]
        actions: list[Action] = []
        if self.storm.holds and hold_ms is not None and now - self.storm.since >= hold_ms / 1000:
            actions.append(ReportStorm(passed_of(hold_ms), (), (), holds=False))
            for watch in self.storm.give_up():
                if watch[0] in self.nodes:
                    actions += self._declare(watch)
        if self.storm.due(now):
            probe = self.storm.probe(now, None, self.nodes, self.silent, self.since)
            actions += [AskNodes(probe.asked)] if probe.asked else []
        for watch in self.storm.take_heard():
            self._watched.discard(watch)
            if watch[0] in self.nodes and watch[1] in self.nodes[watch[0]].lost_after_ms:
                self._watch(watch)
        return actions

    def _report(self, hold_ms: int | None) -> ReportStorm:
        nodes = sorted({node for node, _ in self.storm.held})
        fenced = sorted({name for node in nodes if node in self.nodes for name in self.nodes[node].fenced})
        reason = reason_of(self.storm.verdict, self.heard, fenced, hold_ms)
        return ReportStorm(reason, tuple(nodes), tuple(fenced))

    def _back_at(self, node: NodeId, lost_after: int, now: float) -> None:
        heappush(self._back, (now + BACK_FACTOR * lost_after / 1000, node, lost_after))

    def _been_back(self, node: NodeId, lost_after: int, at: float) -> bool:
        """Whether this is the newest return of the node: a later one has an entry of its own."""
        return not any(entry[1:] == (node, lost_after) and entry[0] >= at for entry in self._back)
