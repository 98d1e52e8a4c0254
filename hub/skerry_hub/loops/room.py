"""Where there is room: loads, and which node is the best for one more copy.

Owns the reservations of one run of the scheduler. Loads only grow within a run, so that the heaps may be lazy: one heap
of nodes per set of place rules and spread value. Ties go by the node's name, never by chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from skerry_protocol.app import App, Resources
from skerry_protocol.ids import AppName, NodeId
from skerry_protocol.network import Port

from ..model import NodeRow
from .fits import NOT_HEARD, SILENT, label, place_key, turned_away
from .nodeports import has_it, taken_by

Score = tuple[int, int, str]
Kind = tuple[str, int, int, tuple[Port, ...]]


@dataclass
class _Load:
    memory: int = 0
    cpu: int = 0
    copies: int = 0
    ports: dict[Port, AppName] = field(default_factory=dict)


@dataclass
class _Class:
    """The nodes that fit one set of rules. `values`: a heap of (score, node) per spread value; `order`: of values."""

    values: dict[str, list[tuple[Score, NodeId]]] = field(default_factory=dict)
    order: list[tuple[Score, str]] = field(default_factory=list)
    quiet: list[NodeId] = field(default_factory=list)


@dataclass(frozen=True)
class Want:
    """One copy that needs a node. `avoid`: nodes it must not be on; `beside`: the app's copies per node."""

    app: App
    avoid: frozenset[NodeId]
    beside: Mapping[NodeId, int]


class Room:
    """The nodes of the region with what is reserved on each."""

    def __init__(
        self,
        nodes: Iterable[NodeRow],
        fresh: frozenset[NodeId],
        asked: frozenset[NodeId] | None = None,
        lost: frozenset[NodeId] = frozenset(),
    ) -> None:
        """`fresh`: heard lately. `asked`: asked to beat just now and silent; None: nobody asks.

        `lost`: declared silent, however lately they were heard: a copy with a short lost_after would be handed from one
        of them to the other.
        """
        self.nodes = {node.id: node for node in sorted(nodes, key=lambda node: (node.name, node.id))}
        self.fresh = fresh - lost
        self.lost = lost
        self.asked = asked
        self._loads = {node: _Load() for node in self.nodes}
        self._classes: dict[tuple[str, str | None], _Class] = {}
        self._full: dict[Kind, dict[str, int]] = {}

    def reserve(self, node: NodeId, app: App) -> None:
        """One more copy on the node; unknown nodes hold nothing."""
        load = self._loads.get(node)
        if load is not None:
            load.memory += app.resources.memory_bytes or 0
            load.cpu += app.resources.cpu_milli or 0
            load.copies += 1
            for port in taken_by(app):
                load.ports.setdefault(port, app.name)

    def at_least(self, node: NodeId, used: Resources) -> None:
        """What the node's newest assignment or its own word says it uses, where that is more than what is reserved."""
        load = self._loads.get(node)
        if load is not None:
            load.memory = max(load.memory, used.memory_bytes or 0)
            load.cpu = max(load.cpu, used.cpu_milli or 0)

    def lacks(self, app: App, node: NodeRow) -> str | None:
        """ "memory" or "cpu", where the node has too little left, or a port that is taken; None where it has all.

        A node that never said what it has, has enough.
        """
        load, ask = self._loads[node.id], app.resources
        if ask.memory_bytes and node.memory_bytes and load.memory + ask.memory_bytes > node.memory_bytes:
            return "memory"
        if ask.cpu_milli and node.cpu_milli and load.cpu + ask.cpu_milli > node.cpu_milli:
            return "cpu"
        return next((has_it(port, load.ports[port]) for port in taken_by(app) if port in load.ports), None)

    def pick(self, want: Want) -> NodeId | None:
        """The best node: fewest of the app in its spread value, none of the app's copies if possible, least loaded."""
        if self._key(want.app) in self._full:
            return None
        here = self._class(want.app)
        counts = self._spread_counts(want)
        apart = want.avoid | {node for node, copies in want.beside.items() if copies}
        found = self._by_level(here, want, counts, frozenset(apart))
        if found is None and apart != want.avoid and not self.unasked(want.app):
            found = self._by_level(here, want, counts, want.avoid)
        return found

    def unasked(self, app: App) -> list[NodeId]:
        """Nodes that fit but were not heard from lately, and that nobody asked to beat yet."""
        if self.asked is None:
            return []
        return [node for node in self._class(app).quiet if node not in self.asked]

    def quiet(self, app: App) -> list[NodeId]:
        """Nodes that fit the app's rules but were not heard from lately."""
        return self._class(app).quiet

    def turned(self, want: Want) -> dict[str, int]:
        """How many nodes each filter turned away, each node counted by the first that did."""
        key = self._key(want.app)
        if key in self._full:
            return self._full[key]
        by: dict[str, int] = {}
        for node in self.nodes.values():
            why = self._why_not(want, node)
            by[why] = by.get(why, 0) + 1
        if "runs this copy already" not in by and "fits" not in by:
            self._full[key] = by  # loads only grow: what fits nowhere now fits nowhere later in this run
        return by

    def _why_not(self, want: Want, node: NodeRow) -> str:
        rules = turned_away(want.app, node)
        if rules is not None:
            return rules
        if node.id in self.lost:
            return SILENT
        if node.id not in self.fresh:
            return NOT_HEARD
        if node.id in want.avoid:
            return "runs this copy already"
        return self.lacks(want.app, node) or "fits"

    def _key(self, app: App) -> Kind:
        memory, cpu = app.resources.memory_bytes or 0, app.resources.cpu_milli or 0
        return (place_key(app), memory, cpu, taken_by(app))

    def _class(self, app: App) -> _Class:
        key = (place_key(app), app.place.spread)
        if key not in self._classes:
            self._classes[key] = self._make_class(app)
        return self._classes[key]

    def _make_class(self, app: App) -> _Class:
        made = _Class()
        for node in self.nodes.values():
            if turned_away(app, node) is not None or node.id in self.lost:
                continue
            if node.id in self.fresh:
                made.values.setdefault(self._value(app, node.id), []).append((self._score(node.id), node.id))
            else:
                made.quiet.append(node.id)
        for value, heap in made.values.items():
            heapify(heap)
            made.order.append((heap[0][0], value))
        heapify(made.order)
        return made

    def _value(self, app: App, node: NodeId) -> str:
        """The node's value of the app's spread label; nodes without the label are a value of their own."""
        return (label(self.nodes[node], app.place.spread) or "") if app.place.spread else ""

    def _score(self, node: NodeId) -> Score:
        row, load = self.nodes[node], self._loads[node]
        memory = load.memory * 1_000_000 // row.memory_bytes if row.memory_bytes else 0
        cpu = load.cpu * 1_000_000 // row.cpu_milli if row.cpu_milli else 0
        return (max(memory, cpu), load.copies, f"{row.name} {node}")

    def _spread_counts(self, want: Want) -> dict[str, int]:
        counts: dict[str, int] = {}
        for node, copies in want.beside.items():
            if node in self.nodes and copies:
                value = self._value(want.app, node)
                counts[value] = counts.get(value, 0) + copies
        return counts

    def _by_level(
        self, here: _Class, want: Want, counts: Mapping[str, int], apart: frozenset[NodeId]
    ) -> NodeId | None:
        """The best node of the spread values with the fewest copies, then of those with one more, and so on."""
        levels = {counts[value] for value in here.values if value in counts}
        if any(value not in counts for value in here.values):
            levels.add(0)
        for level in sorted(levels):
            found = self._in_level(here, want, counts, apart, level)
            if found is not None:
                return found
        return None

    def _in_level(
        self, here: _Class, want: Want, counts: Mapping[str, int], apart: frozenset[NodeId], level: int
    ) -> NodeId | None:
        aside: list[tuple[Score, str]] = []
        found = None
        while here.order and found is None:
            score, value = heappop(here.order)
            top = self._freshen(here.values[value])
            if top > score:
                heappush(here.order, (top, value))
                continue
            aside.append((score, value))
            if counts.get(value, 0) == level:
                found = self._in_value(here.values[value], want, apart)
        for entry in aside:
            heappush(here.order, entry)
        return found

    def _freshen(self, heap: list[tuple[Score, NodeId]]) -> Score:
        """Brings the heap's top up to date and returns its score. Heaps here are never empty."""
        while True:
            score, node = heap[0]
            now = self._score(node)
            if now == score:
                return score
            heappop(heap)
            heappush(heap, (now, node))

    def _in_value(
        self, heap: list[tuple[Score, NodeId]], want: Want, apart: frozenset[NodeId]
    ) -> NodeId | None:
        """The least loaded node of the heap with room; the heap stays whole."""
        aside: list[tuple[Score, NodeId]] = []
        found = None
        while heap and found is None:
            self._freshen(heap)
            score, node = heappop(heap)
            aside.append((score, node))
            if node not in apart and self.lacks(want.app, self.nodes[node]) is None:
                found = node
        for entry in aside:
            heappush(heap, entry)
        return found
