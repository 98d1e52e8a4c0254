"""Who watches what a hub says of silence: the truth of lines and machines beside it.

A node is declared lost only if something was wrong with it or its line, not because the hub or NATS was down, and not
because it is the hub that is cut off. Each machine's state is looked at once a second, which every blow outlasts.
"""

from __future__ import annotations

from collections.abc import Callable

from skerry_hub.beats.storm import SMALL_REGION
from skerry_hub.hub import Hub
from skerry_protocol.ids import NodeId

from .machine import Machine
from .world import World

# Longer than the longest lost_after and the way back to a hub that is there again.
UNHARMED_S = 90.0
# Others are asked at half of a lost_after, the longest of which is 45 s, and judged by who answered since.
SILENT_S = 24.0


class Declared:
    """See the module. `look` once a second."""

    def __init__(self, world: World, breach: Callable[[str], None]) -> None:
        self._world, self._breach = world, breach
        self._harmed: dict[Machine, float] = {}
        self._well: dict[Machine, float] = {}
        self._lost: frozenset[NodeId] = frozenset()
        self._alive: dict[NodeId, float] = {}  # nodes of which the hub expects a word, and since when
        self._left = float("-inf")  # when the hub last ceased to expect a word of somebody
        self._hub: Hub | None = None

    def look(self) -> None:
        """What is now, and what the hub says that is new."""
        now = self._world.loop.time()
        for machine in self._world.machines.values():
            if self._can_answer(machine):
                self._well[machine] = now
            if self._world.lines[machine].bad or not self._can_answer(machine):
                self._harmed[machine] = now
        hub = self._world.hub.hub
        if hub is None:
            return
        living = {node for node, terms in hub.hearing._terms.items() if terms.alive}
        if self._alive.keys() - living:
            self._left = now
        self._alive = {node: self._alive.get(node, now) for node in sorted(living)}
        before, self._lost = self._lost, hub.hearing.silent()
        if hub is not self._hub:
            self._hub, before = hub, self._lost  # what it read in its store, which may be an older one
        for node in sorted(self._lost - before):
            self._judge(node, before, now)

    def _can_answer(self, machine: Machine) -> bool:
        line, process = self._world.lines[machine], machine.process
        awake = process is not None and machine.agent is not None and process._held is None
        return machine.on and awake and line.whole

    def _judge(self, node: NodeId, lost: frozenset[NodeId], now: float) -> None:
        its = [one for one in self._world.machines.values() if one.identity.node == node]
        for machine in its:
            if now - self._harmed.get(machine, float("-inf")) > UNHARMED_S:
                self._breach(f"{machine.name} was declared lost, but was there all the time")
        if now - self._left <= SILENT_S:
            return  # one that answered, and shows that the hub is heard, may be no member any more
        others = self._away(node, lost, now)
        small = len(self._alive) <= SMALL_REGION
        if others and (all(others) if small else 2 * sum(others) > len(others)):
            name = its[0].name if its else node
            self._breach(f"{name} was declared lost, but it is the hub that is cut off")

    def _away(self, about: NodeId, lost: frozenset[NodeId], now: float) -> list[bool]:
        """For each other node, unless known to be lost: whether it has been away for a while."""
        well: dict[NodeId, float] = {}
        for machine in self._world.machines.values():
            node = machine.identity.node
            well[node] = max(well.get(node, float("-inf")), self._well.get(machine, float("-inf")))
        # One that an operator brought back a moment ago was not asked.
        others = {node for node, since in self._alive.items() if now - since > SILENT_S} - {about, *lost}
        return [now - at > SILENT_S for node, at in well.items() if node in others]
