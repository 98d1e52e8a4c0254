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

from . import forgeries, identities
from .machine import Machine
from .watch import Watch
from .world import World

HOUR_S, TEN_YEARS_S = 3_600.0, 315_576_000.0


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

    async def storm(self, machine: Machine, size: float) -> None:
        """All machines but one are cut off, and come back one by one."""
        for other, line in self.world.lines.items():
            if other is not machine:
                line.cut_up = line.cut_down = True
                self.later(20 + 120 * size + self.world.random.uniform(0, 10), line.heal)

    async def replay(self, machine: Machine, size: float) -> None:
        """See forgeries."""
        await forgeries.replay(self.world, machine, size)

    async def slip(self, machine: Machine, size: float) -> None:
        """See forgeries."""
        await forgeries.slip(self.world, machine, size)

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
        self._off(machine, 1 + 100 * size**2)

    async def away(self, machine: Machine, size: float) -> None:
        """It is switched off, and comes back much later."""
        self._off(machine, 300 + 900 * size)

    def _off(self, machine: Machine, seconds: float) -> None:
        if not machine.on:
            return
        self.watch.before_boot(machine)
        self.watch.lost_power(machine)
        machine.power_off()
        self.later(seconds, lambda: self._on(machine))

    def _on(self, machine: Machine) -> None:
        if not machine.on and machine in self.world.lines:
            machine.power_on()
            boot = machine.boot
            self.later(5, lambda: self.watch.after_boot(machine) if machine.boot == boot else None)

    async def sleep(self, machine: Machine, size: float) -> None:
        """The lid is shut."""
        machine.sleep(2 + 120 * size)

    async def set_clock(self, machine: Machine, size: float) -> None:
        """A wall clock jumps: an hour or ten years, forwards or back; the hub's or a machine's."""
        jump = (HOUR_S, -HOUR_S, TEN_YEARS_S, -TEN_YEARS_S)[int(size * 400) % 4]
        owner: object = self.world.hub if size < 0.3 else machine
        self.world.skews[owner] = self.world.skews.get(owner, 0.0) + jump

    async def clone(self, machine: Machine, size: float) -> None:
        """See identities."""
        await identities.clone(self.world, self.watch, machine, size)

    async def forget(self, machine: Machine, size: float) -> None:
        """See identities."""
        await identities.forget(self.world, self.watch, machine, size)

    # Hub and NATS

    async def hang_hub(self, _machine: Machine, size: float) -> None:
        """SIGSTOP."""
        self.world.hub.hang(1 + 60 * size)

    async def usurp(self, _machine: Machine, size: float) -> None:
        """It hangs, and another takes its place without its lock; then it wakes."""
        if self.world.hub.hub is not None:
            await self.world.hub.usurp(5 + 60 * size)

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
        self.later(0.1 + 60 * size**2, self.world.server.start)

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
        await self.world.hub.change_node(machine.identity.name, what, **fields)
        await asyncio.sleep(seconds)
        if self.world.hub.hub is not None:
            await self.world.hub.change_node(machine.identity.name, "undrained", state=NodeState.READY)


BLOWS: dict[str, Callable[[Adversary, Machine, float], Awaitable[None]]] = {
    "cut": Adversary.cut, "spoil": Adversary.spoil, "cut-all": Adversary.cut_all, "storm": Adversary.storm,
    "replay": Adversary.replay, "slip": Adversary.slip, "kill-agent": Adversary.kill_agent,
    "crash-at-step": Adversary.crash_at_step, "hang-agent": Adversary.hang_agent,
    "cut-power": Adversary.cut_power, "away": Adversary.away, "sleep": Adversary.sleep,
    "set-clock": Adversary.set_clock, "clone": Adversary.clone, "forget": Adversary.forget,
    "usurp": Adversary.usurp, "kill-hub": Adversary.kill_hub, "hang-hub": Adversary.hang_hub,
    "kill-nats": Adversary.kill_nats,
    "back-up": Adversary.back_up, "put-back": Adversary.put_back, "resume": Adversary.resume,
    "apply": Adversary.apply, "remove": Adversary.remove, "drain": Adversary.drain, "dead": Adversary.dead,
}  # fmt: skip
ON_MACHINES = {
    "cut", "spoil", "replay", "slip", "kill-agent", "crash-at-step", "hang-agent", "cut-power", "away", "sleep",
    "set-clock", "clone", "forget", "drain", "dead",
}  # fmt: skip
WEIGHTS = {
    "cut": 6, "spoil": 3, "cut-all": 1, "storm": 1, "replay": 1, "slip": 1, "kill-agent": 2, "crash-at-step": 5,
    "hang-agent": 2, "cut-power": 4, "away": 1, "sleep": 2, "set-clock": 1, "clone": 2, "forget": 1,
    "kill-hub": 3, "hang-hub": 1, "kill-nats": 2, "back-up": 2, "put-back": 1, "resume": 2, "apply": 6,
    "remove": 1, "drain": 1, "dead": 1,
}  # fmt: skip


# Plans that hunt for one thing: the same blows, some of them more often.
AIMS = {
    # Lines that delay and repeat what a boot said, while machines reboot.
    "order": {"spoil": 8, "cut": 4, "cut-power": 5, "sleep": 2, "apply": 2},
    # A node that comes back with a claim that was given to another, and is not told so at once.
    "void": {"cut": 8, "spoil": 6, "kill-nats": 4, "clone": 6, "crash-at-step": 4, "hang-agent": 2},
    # A hub that hangs while another takes its place, and nodes that only the one or the other heard last.
    "term": {"usurp": 6, "cut": 8, "apply": 4, "drain": 2, "dead": 1, "cut-power": 2, "kill-nats": 1},
    # A node that is away while the hub is put back, and with it what NATS kept, and goes on deciding.
    "since": {"cut": 6, "away": 2, "apply": 8, "back-up": 4, "put-back": 3, "kill-nats": 3, "resume": 6},
}


def plan(random: Random, blows: int, seconds: float, aim: str = "") -> list[Blow]:
    """So many blows within so many seconds."""
    chosen = AIMS.get(aim, WEIGHTS)
    names, weights = list(chosen), list(chosen.values())
    made = [
        Blow(round(random.uniform(0, seconds), 3), name, random.randrange(100), round(random.random(), 4))
        for name in random.choices(names, weights, k=blows)
    ]
    return sorted(made, key=lambda blow: (blow.at, blow.name))


def read_plan(text: str) -> list[Blow]:
    """Blows as they print. Raises ValueError with the line that cannot be read."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            at, name, target, size = words
            blow = Blow(float(at), name, int(target), float(size))
        except ValueError:
            raise ValueError(f"line {number}: cannot read {line!r} (SECONDS NAME TARGET SIZE)") from None
        if name not in BLOWS:
            raise ValueError(f"line {number}: there is no blow {name!r} ({', '.join(sorted(BLOWS))})")
        found.append(blow)
    return found
