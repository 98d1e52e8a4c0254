"""What is done to a mesh: a plan of blows, made from a seed before the first of them falls.

A blow is a name and its numbers, so that a history can be read, cut short and played again. Owns no promise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from skerry_hub.model import NodeState
from skerry_protocol.app import App

from .machine import Machine
from .watch import Watch
from .world import World


@dataclass(frozen=True)
class Blow:
    """One. `at` in seconds since the faults began; `target`: a machine's place in the list; `size`: 0 to 1."""

    at: float
    name: str
    target: int
    size: float

    def __str__(self) -> str:
        return f"{self.at:.3f} {self.name} {self.target} {self.size:.4f}"


class Adversary:
    """Strikes. `apps` are what operators apply, in the forms in which they may."""

    def __init__(self, world: World, watch: Watch, apps: dict[str, tuple[App, ...]]) -> None:
        self.world, self.watch, self.apps = world, watch, apps

    async def strike(self, blow: Blow) -> None:
        """One blow falls."""
        names = sorted(self.world.machines)
        machine = self.world.machines[names[blow.target % len(names)]]
        self.world.say(f"-> {blow.name} {machine.name if blow.name in ON_MACHINES else ''} {blow.size:.2f}")
        await BLOWS[blow.name](self, machine, blow.size)

    def later(self, seconds: float, work: Callable[[], object]) -> None:
        """After a while."""
        self.world.loop.call_later(seconds, work)

    # Lines

    async def cut(self, machine: Machine, size: float) -> None:
        """Both ways, one way, for a while."""
        line = self.world.lines[machine]
        line.cut_up, line.cut_down = size < 0.7, size > 0.3
        self.later(3 + 200 * size, line.heal)

    async def spoil(self, machine: Machine, size: float) -> None:
        """Loss, delay, repeats, another order."""
        line = self.world.lines[machine]
        line.bad = size / 2

        def good() -> None:
            line.bad = 0.0

        self.later(100, good)

    async def cut_all(self, _machine: Machine, size: float) -> None:
        """It is the hub that is cut off."""
        for line in self.world.lines.values():
            line.cut_up = line.cut_down = True
            self.later(10 + 120 * size, line.heal)

    # Machines

    async def kill_agent(self, machine: Machine, _size: float) -> None:
        """kill -9; systemd starts it again."""
        machine.agent_died()

    async def crash_at_step(self, machine: Machine, size: float) -> None:
        """At some step of its next writes."""
        machine.disk.steps_left = 1 + int(size * 80)

    async def hang_agent(self, machine: Machine, size: float) -> None:
        """SIGSTOP."""
        machine.hang(1 + 60 * size)

    async def cut_power(self, machine: Machine, size: float) -> None:
        """And on again."""
        if not machine.on:
            return
        self.watch.before_boot(machine)
        self.watch.lost_power(machine)
        machine.power_off()
        self.later(1 + 100 * size**2, lambda: self._on(machine))

    def _on(self, machine: Machine) -> None:
        if not machine.on:
            machine.power_on()
            boot = machine.boot
            self.later(5, lambda: self.watch.after_boot(machine) if machine.boot == boot else None)

    async def sleep(self, machine: Machine, size: float) -> None:
        """The lid is shut."""
        machine.sleep(2 + 120 * size)

    # Hub and NATS

    async def kill_hub(self, _machine: Machine, size: float) -> None:
        """And start it again."""
        await self.world.hub.kill()
        await asyncio.sleep(90 * size**2)
        await self.world.hub.start()

    async def kill_nats(self, _machine: Machine, size: float) -> None:
        """With or without its store."""
        self.world.server.kill()
        if size > 0.7:
            self.world.server.wipe()
        self.later(0.1 + 20 * size**2, self.world.server.start)

    async def back_up(self, _machine: Machine, _size: float) -> None:
        """A copy that may be put back."""
        if self.world.hub.hub is not None:
            self.world.hub.back_up()

    async def put_back(self, _machine: Machine, size: float) -> None:
        """An older store."""
        hub = self.world.hub
        if hub.hub is None or not hub.copies:
            return
        await hub.kill()
        await hub.put_back(1 + int(size * hub.copies * 0.999))
        await hub.start()

    async def resume(self, _machine: Machine, size: float) -> None:
        """An operator looks."""
        if self.world.hub.hub is not None:
            await self.world.hub.resume("nodes" if size < 0.6 else "hub")

    # Operators

    async def apply(self, _machine: Machine, size: float) -> None:
        """Some app, in some form."""
        if self.world.hub.hub is None:
            return
        forms = [form for _, many in sorted(self.apps.items()) for form in many]
        await self.world.hub.apply(forms[int(size * len(forms) * 0.999)])

    async def remove(self, _machine: Machine, size: float) -> None:
        """Some app."""
        if self.world.hub.hub is not None:
            await self.world.hub.remove(sorted(self.apps)[int(size * len(self.apps) * 0.999)])

    async def drain(self, machine: Machine, size: float) -> None:
        """For a while."""
        await self._node(machine, NodeState.DRAINING, "drained", 20 + 200 * size)

    async def dead(self, machine: Machine, size: float) -> None:
        """An operator says so, rightly or not."""
        await self._node(machine, NodeState.DEAD, "declared dead", 20 + 200 * size)

    async def _node(self, machine: Machine, state: NodeState, what: str, seconds: float) -> None:
        if self.world.hub.hub is None:
            return
        fields = {"state": state, "state_by": "admin", "confirmed_by": "admin"}
        await self.world.hub.change_node(machine.name, what, **fields)
        await asyncio.sleep(seconds)
        if self.world.hub.hub is not None:
            await self.world.hub.change_node(machine.name, "undrained", state=NodeState.READY)


BLOWS: dict[str, Callable[[Adversary, Machine, float], Awaitable[None]]] = {
    "cut": Adversary.cut, "spoil": Adversary.spoil, "cut-all": Adversary.cut_all,
    "kill-agent": Adversary.kill_agent, "crash-at-step": Adversary.crash_at_step,
    "hang-agent": Adversary.hang_agent, "cut-power": Adversary.cut_power, "sleep": Adversary.sleep,
    "kill-hub": Adversary.kill_hub, "kill-nats": Adversary.kill_nats, "back-up": Adversary.back_up,
    "put-back": Adversary.put_back, "resume": Adversary.resume, "apply": Adversary.apply,
    "remove": Adversary.remove, "drain": Adversary.drain, "dead": Adversary.dead,
}  # fmt: skip
ON_MACHINES = {
    "cut", "spoil", "kill-agent", "crash-at-step", "hang-agent", "cut-power", "sleep", "drain", "dead",
}  # fmt: skip
WEIGHTS = {
    "cut": 6, "spoil": 3, "cut-all": 1, "kill-agent": 2, "crash-at-step": 5, "hang-agent": 2, "cut-power": 4,
    "sleep": 2, "kill-hub": 3, "kill-nats": 2, "back-up": 2, "put-back": 1, "resume": 2, "apply": 6, "remove": 1,
    "drain": 1, "dead": 1,
}  # fmt: skip


def plan(random: Random, blows: int, seconds: float) -> list[Blow]:
    """So many blows within so many seconds."""
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    made = [
        Blow(round(random.uniform(0, seconds), 3), name, random.randrange(100), round(random.random(), 4))
        for name in random.choices(names, weights, k=blows)
    ]
    return sorted(made, key=lambda blow: (blow.at, blow.name))
