"""The agent at rest with 20 instances: its memory beside Python's and its libraries', and what it does all day."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from tests.lab.system.world import World

from .figures import Effort
from .imports import AGENT, ASYNCIO, LIBRARIES, PARTS
from .measures import Goal, Row
from .meshes import agent_pid, all_up, meshed, sleepers
from .processes import memory_of, memory_of_code, use

COPIES = 20
GOALS = {"resident": Goal(40), "anonymous": Goal(20)}
SERVING = f"""
[app.still]
run = ["/usr/bin/python3", "-m", "http.server", "8099"]
availability = "best-effort"
replicas = {COPIES}
[app.still.place]
nodes = ["n1"]
[app.still.health]
http = "http://127.0.0.1:8099/"
every = "10s"
"""


def measure(effort: Effort) -> Iterator[Row]:
    with meshed("rest") as world:
        world.apply(sleepers(COPIES), "--timeout", "120s")
        all_up(world, "n1", COPIES)
        _settle(world, effort)
        yield _cpu(world, effort, "without checks", Goal(0.05))
        yield from _memory(world)
        world.apply(SERVING, "--timeout", "120s")
        all_up(world, "n1", COPIES)
        _settle(world, effort)
        yield _cpu(world, effort, f"with {COPIES} http checks every 10 s", Goal(1))
        yield from _memory(world, " with checks")


def _settle(world: World, effort: Effort) -> None:
    """What a change brings with it (steps, reports, beats) is over; what comes at intervals is not."""
    world.settled("still", seconds=60)
    threading.Event().wait(effort.pick(60, 15))


def _memory(world: World, when: str = "") -> Iterator[Row]:
    ours = memory_of(world, "n1", agent_pid(world, "n1"))
    bare, libraries = (memory_of_code(world, "n1", code) for code in (ASYNCIO, LIBRARIES))
    loaded = memory_of_code(world, "n1", AGENT)
    for part in PARTS:
        mine, plain = getattr(ours, part), getattr(bare, part)
        alone, whole = getattr(libraries, part), getattr(loaded, part)
        note = f"its libraries as they come {alone:.1f} MiB, all that it loads {whole:.1f} MiB"
        yield Row(f"{part} memory{when}", mine, "MiB", plain, "bare asyncio process", GOALS.get(part), note)


def _cpu(world: World, effort: Effort, what: str, goal: Goal) -> Row:
    seconds = effort.pick(600, 60)
    spent = use(world, "n1", agent_pid(world, "n1"), seconds)
    note = f"over {seconds:.0f} s; {spent.wakes:.2f} wake-ups a second"
    return Row(f"CPU {what}", spent.cpu, "% of a core", goal=goal, note=note)
