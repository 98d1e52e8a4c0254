"""One seed: a mesh, blows upon it, quiet, and whether all is well then."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random

from skerry_hub.appfile import Parsed, parse
from skerry_hub.model import NodeState
from skerry_protocol.app import App

from .adversary import Adversary, Blow, plan
from .identities import tidy
from .universe import Universe
from .watch import Fenced, Watch, copy_of
from .world import World

QUIET_S = 1_200.0  # what can converge does within this after the faults end
LOOK_S = 1.0
LEDGER_STOP_S = 2.0
TEXT = """
[app.gauge]
run = ["/bin/sleep", "{n}"]
availability = "best-effort"
per_node = true
[app.keeper]
run = ["/bin/sleep", "{n}"]
availability = "best-effort"
replicas = 2
[app.web]
run = ["/bin/sleep", "{n}"]
availability = "ha"
replicas = 2
[app.web.ha]
lost_after = "30s"
[app.ledger]
run = ["/bin/sleep", "{n}"]
availability = "ha"
replicas = 2
stop_timeout = "2s"
[app.ledger.ha]
lost_after = "{lost}s"
overlap = "forbid"
on_return = "{back}"
"""


@dataclass
class Result:
    """What came of a seed."""

    seed: int
    breaches: list[str]
    history: list[str]
    blows: list[Blow]


def forms() -> dict[str, tuple[App, ...]]:
    """The apps, each in the forms in which operators apply it."""
    found: dict[str, list[App]] = {}
    for n, lost, back in ((1, 30, "keep-replacement"), (2, 20, "keep-original"), (3, 45, "keep-replacement")):
        read = parse(TEXT.format(n=n, lost=lost, back=back).encode(), "apps")
        assert isinstance(read, Parsed), read
        for app in read.apps:
            found.setdefault(app.name, []).append(app)
    return {name: tuple(many) for name, many in found.items()}


def run(
    seed: int, blows: list[Blow] | None = None, count: int = 14, seconds: float = 500.0, aim: str = ""
) -> Result:
    """Plays it. `blows`: instead of those of the seed, which `aim` may have chosen (see adversary)."""
    universe = Universe(seed)
    universe.enter()
    asyncio.set_event_loop(universe.loop)
    chosen = plan(Random(f"plan {seed}"), count, seconds, aim) if blows is None else blows
    try:
        world, watch = universe.loop.run_until_complete(_run(universe, chosen))
    finally:
        universe.leave()
    return Result(seed, watch.breaches, world.history, chosen)


async def _run(universe: Universe, blows: list[Blow]) -> tuple[World, Watch]:
    world = await World.begin(universe, [])
    watch = Watch(world, {"ledger": Fenced("ledger", LEDGER_STOP_S)})
    looking = asyncio.ensure_future(watch.keep_looking(LOOK_S))
    try:
        for number in range(1, 3 + universe.random.randrange(3)):
            watch.add(await world.add(f"n{number}"))
        apps = forms()
        await world.hub.apply(*(many[0] for many in apps.values()))
        await asyncio.sleep(30)
        began = world.loop.time()
        adversary = Adversary(world, watch, apps)
        falling = []
        for blow in blows:
            await asyncio.sleep(max(0.0, began + blow.at - world.loop.time()))
            falling.append(asyncio.ensure_future(adversary.strike(blow)))
        await asyncio.gather(*falling)
        await calm(world, watch)
        for one in await settled(world):
            watch.breach(f"not settled {QUIET_S:.0f} s after the faults: {one}")
        for text in world.processes.failures:
            watch.breach(text)
    finally:
        looking.cancel()
        await world.end()
    return world, watch


async def calm(world: World, watch: Watch) -> None:
    """The faults end."""
    world.say("-- the faults end")
    world.server.start()
    await world.hub.start()
    world.hub.wake()
    world.skews.clear()
    for machine in world.machines.values():
        machine.disk.steps_left = None
        line = world.lines[machine]
        line.bad = 0.0
        line.heal()
        if not machine.on:
            machine.power_on()
        if machine.process is not None:
            machine.process.thaw()
    await tidy(world, watch)
    for name in sorted(machine.identity.name for machine in world.machines.values()):
        await world.hub.change_node(name, "undrained", state=NodeState.READY, confirmed_by="admin")


async def settled(world: World) -> list[str]:
    """Waits until all is as it is to be, with an operator who looks now and then; what is not yet."""
    end = world.loop.time() + QUIET_S
    why = ["nothing was looked at"]
    while why and world.loop.time() < end:
        await asyncio.sleep(20)
        await world.hub.resume("nodes")
        for machine in world.machines.values():
            if machine.identity.node in world.cloned:  # a backup may tell of two machines anew
                world.hub.keep(machine.identity.node, machine.boot)
        why = await unsettled(world)
    return why


async def unsettled(world: World) -> list[str]:
    """What is not yet as it is to be."""
    state = await world.hub.state()
    found = []
    if state.mesh.restored or state.paused:
        found.append("nodes are paused")
    for machine in world.machines.values():
        node = machine.agent.node if machine.agent is not None else None
        issued = state.issued.get(machine.identity.node, ())
        newest = issued[-1].issued if issued else None
        if node is None or node.accepted != newest or node.applied.issued != newest:
            found.append(f"{machine.name} is not at {newest.version if newest else None}")
            continue
        here = {
            f"skerry-{one.app}-{one.number}.service"
            for one in state.placements
            if one.node == machine.identity.node
        }
        up = {unit for unit in machine.systemd.running() if copy_of(unit)}
        if here != up:
            found.append(f"{machine.name} runs {sorted(up)}, is to run {sorted(here)}")
    for row in state.apps:
        count = sum(1 for one in state.placements if one.app == row.name)
        wanted = 0 if row.app is None else len(world.machines) if row.app.per_node else row.app.replicas
        if count != wanted:
            found.append(f"{row.name} has {count} of {wanted} copies")
    return found
