"""A mesh in a universe of its own: machines, a hub, NATS, the lines between them, and those who watch.

Owns composition and the one place where Skerry's code is led to the fakes: the two functions that connect to NATS, and
the wall clocks, which differ from machine to machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from pathlib import Path
from random import Random

import skerry_agent.hublink.buslink
import skerry_agent.hublink.pinned
import skerry_hub.nats.bus
import skerry_hub.nats.edge
import skerry_hub.nats.link
from skerry_agent.hublink.buslink import BusError as NodeBusError
from skerry_hub.daemon import first_admin
from skerry_hub.identity import create
from skerry_hub.nats.link import BusError as HubBusError
from skerry_protocol.ids import MeshName, NodeId, Region

from . import nats
from .hub import HubProcess
from .machine import Machine
from .processes import CURRENT, Processes
from .universe import Universe

SHORT_S = 0.02
ENDINGS, ENDING_S = 20, 60.0  # how often what is left is told to end, and how long it may take each time


class Here:
    """The hub's own line to the server beside it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def carry(self, up: bool, arrive: Callable[[], None]) -> None:
        self._loop.call_soon(arrive, context=Context())


class Line:
    """A machine's line to the hub. `cut_up`, `cut_down`: nothing gets through; `bad`: how often things go wrong."""

    def __init__(self, loop: asyncio.AbstractEventLoop, random: Random) -> None:
        self.cut_up = self.cut_down = False
        self.bad = 0.0
        self._loop, self._random = loop, random
        self._held: list[tuple[bool, Callable[[], None]]] = []

    @property
    def whole(self) -> bool:
        """Whether a round trip is possible."""
        return not (self.cut_up or self.cut_down)

    def carry(self, up: bool, arrive: Callable[[], None]) -> None:
        """See nats.Wire. What is sent into a cut may come out of it when it heals, much later."""
        if self.cut_up if up else self.cut_down:
            if self._random.random() < 0.2:
                self._held.append((up, arrive))
            return
        chance = self._random.random()
        if chance < self.bad / 2:
            return
        delay = self._random.expovariate(1 / SHORT_S)
        if self.bad and self._random.random() < self.bad:
            delay += self._random.uniform(0, 15)
        self._loop.call_later(delay, arrive, context=Context())
        if self.bad / 2 <= chance < self.bad:
            self._loop.call_later(delay + self._random.uniform(0, 30), arrive, context=Context())

    def heal(self) -> None:
        """It carries again, also what it held."""
        self.cut_up = self.cut_down = False
        held, self._held = self._held, []
        for up, arrive in held:
            self.carry(up, arrive)


class World:
    """One mesh. `say` is what happened, for people."""

    def __init__(self, universe: Universe, folder: Path) -> None:
        self.universe, self.folder = universe, folder
        self.loop, self.random = universe.loop, universe.random
        self.processes = Processes(self.loop)
        self.server = nats.Server(self.loop)
        self.machines: dict[str, Machine] = {}
        self.lines: dict[Machine, Line] = {}
        self.skews: dict[object, float] = {}  # how far off the wall clock of a machine, or of the hub, is (s)
        self.history: list[str] = []
        self._clones = self._joined = 0
        self.cloned: set[NodeId] = set()
        self.hub: HubProcess

    def say(self, text: str) -> None:
        """One line of the history."""
        self.history.append(f"{self.loop.time():9.3f}  {text}")

    @classmethod
    async def begin(cls, universe: Universe, names: Sequence[str]) -> World:
        """A hub that runs, and machines that are on and joined."""
        world = cls(universe, Path(tempfile.mkdtemp(prefix="skerry-sim-", dir=_memory())))
        lead(world)
        identity = create(world.folder / "hub", MeshName("coast"), Region("north"))
        await first_admin(identity, "admin")
        world.hub = HubProcess(identity, world.processes)
        await world.hub.start()
        for name in names:
            await world.add(name)
        return world

    async def add(self, name: str) -> Machine:
        """Another machine joins."""
        # By its name, so that a scenario's nodes are the same ones whatever else takes entropy.
        self._joined += 1
        key = hashlib.sha256(f"{self.universe.seed} {name} {self._joined}".encode()).digest()
        identity = await self.hub.join(name, key)
        made = Machine(self.folder / name, name, identity, key, self.processes, self.random)
        self.lines[made] = Line(self.loop, self.random)
        self.machines[name] = made
        made.power_on()
        return made

    def clone(self, machine: Machine) -> Machine:
        """A copy of its disk, as it is now, in another machine; it is off."""
        self._clones += 1
        self.cloned.add(machine.identity.node)
        name = f"{machine.identity.name}+{self._clones}"
        made = Machine(self.folder / name, name, machine.identity, b"", self.processes, self.random)
        for old, new in (
            (machine.places.state, made.places.state),
            (machine.places.units, made.places.units),
        ):
            shutil.rmtree(new)
            shutil.copytree(old, new, symlinks=True)
        self.lines[made] = Line(self.loop, self.random)
        self.machines[name] = made
        return made

    def retire(self, machine: Machine) -> None:
        """It is switched off for ever, and its disk is wiped."""
        machine.power_off()
        self.machines = {name: one for name, one in self.machines.items() if one is not machine}
        self.lines.pop(machine, None)
        shutil.rmtree(self.folder / machine.name)

    async def end(self) -> None:
        """Nothing is left: a task that does something on its way out, or waits for another that does, gets there."""
        for machine in self.machines.values():
            machine.power_off()
        await self.hub.kill()
        left: list[asyncio.Task[object]] = []
        for _ in range(ENDINGS):
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in left:
                task.cancel()
            if not left:
                break
            await asyncio.wait(left, timeout=ENDING_S)
        else:
            raise AssertionError(f"these tasks do not end: {left}")
        shutil.rmtree(self.folder, ignore_errors=True)

    # What the fakes ask

    async def node_connects(self, *_: object) -> nats.Client:
        """An agent connects to NATS."""
        process = CURRENT.get()
        assert process is not None
        machine = process.owner
        assert isinstance(machine, Machine)
        line = self.lines[machine]
        lost: Callable[[], None] = _[3]  # type: ignore[assignment]
        await asyncio.sleep(self.random.expovariate(1 / SHORT_S))
        if not self.server.up:
            raise NodeBusError("cannot reach NATS: refused")
        if not line.whole:
            await asyncio.sleep(10)
            raise NodeBusError("cannot reach NATS: no answer")
        client = nats.Client(self.server, line, lost, f"_INBOX_{machine.identity.node}.{machine.name}")
        process.at_death.append(client.lose)
        self.server.clients[client] = None
        return client

    async def hub_connects(self, *_: object, **more: object) -> nats.Client:
        """The hub connects to NATS."""
        process = CURRENT.get()
        assert process is not None
        if not self.server.up:
            raise HubBusError("cannot reach NATS: refused")
        lost: Callable[[], None] = _[4]  # type: ignore[assignment]
        client = nats.Client(self.server, Here(self.loop), lost, "_INBOX_hub")
        process.at_death.append(client.lose)
        self.server.clients[client] = None
        return client


def lead(world: World) -> None:
    """Skerry's edges lead to this world from now on."""

    async def nothing(*_: object, **__: object) -> None:
        return None

    def no_tls(_judge: object) -> None:
        return None

    def skew() -> float:
        process = CURRENT.get()
        return world.skews.get(process.owner, 0.0) if process is not None else 0.0

    wall, wall_ns = time.time, time.time_ns
    time.time = lambda: wall() + skew()
    time.time_ns = lambda: wall_ns() + int(skew() * 1e9)
    # No TLS goes over these lines, and a context of it takes as long as the rest of connecting.
    skerry_agent.hublink.pinned.context = no_tls  # type: ignore[assignment]
    skerry_agent.hublink.buslink.connect = world.node_connects  # type: ignore[assignment]
    skerry_hub.nats.link.connect = world.hub_connects  # type: ignore[assignment]
    skerry_hub.nats.link.push_account = nothing


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
