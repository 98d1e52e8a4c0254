"""A node that is back after weeks: 40,000 events to tell, 1,000 revisions of its app missed.

The events go into the node's outbox by the agent's own code while the agent is stopped, the revisions into the hub by
its API meanwhile. It begins when the agent is started, so its own start is in every figure.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from skerry_hub.api.views import ApplyAsk, ApplyView, EventView
from skerry_hub.cli.client import Client
from skerry_hub.cli.settings import load
from skerry_hub.lab import mesh
from skerry_protocol.app import App, Availability, Place
from skerry_protocol.ids import AppName, NodeName
from tests.lab.system.world import World

from .figures import Effort
from .measures import Goal, Row
from .meshes import AGENT, PYTHON, meshed

NODE, UNIT, NAME = NodeName("n1"), "skerry-missed-1.service", AppName("missed")
LAST = "the-last"
SOON_S, LATE_S = 30.0, 120.0
FILL = """
import json, sys, time
from skerry_agent.disk.disk import StateDir
from skerry_agent.reports.reporter import RECORD, Reporter
many, last = int(sys.argv[1]), sys.argv[2]
disk = StateDir()
reporter = Reporter(disk)
began = time.monotonic()
for number in range(many - 1):
    reporter.event(f"seen-{number}", f"something that was seen, number {number}, in weeks without a hub")
reporter.event(last, "the last of them")
took = time.monotonic() - began
assert reporter.save(), reporter.trouble
size = sum(file.stat().st_size for file in (disk.root / RECORD).parent.rglob("*") if file.is_file())
print(json.dumps([took / many * 1e6, size, len(reporter._told.box.events)]))
"""


def measure(effort: Effort) -> Iterator[Row]:
    events, revisions = effort.count(40_000, 8_000), effort.count(1_000, 100)
    with meshed("returning", (NODE,)) as world:
        hub = Client(load((mesh.settings(world.lab),)), 5.0, 60.0)
        _apply(hub, 0)
        world.settled(NAME, seconds=60)
        world.systemctl(NODE, "stop", AGENT)
        said = world.run(NODE, PYTHON, "-c", FILL, str(events), LAST, timeout=600).stdout
        each_us, size, kept = json.loads(said)
        note = f"{events:,} events seen, {kept:,} kept; {each_us:.0f} µs for each to be noted"
        yield Row("outbox on disk after weeks", size / 1e6, "MB", goal=Goal(1), note=note)
        took = _missed(hub, revisions)
        yield from _back(
            world,
            hub,
            revisions,
            f"{revisions:,} revisions missed, {took * 1000:.0f} ms for the hub to take each",
        )


def _apply(hub: Client, revision: int) -> None:
    app = App(
        NAME, ("/bin/sleep", "inf"), Availability.BEST_EFFORT, place=Place(nodes=(NODE,)),
        env={"VALUE": str(revision)},
    )  # fmt: skip
    hub.send(ApplyView, "POST", "/api/apply", ApplyAsk((app,)))


def _missed(hub: Client, revisions: int) -> float:
    """Seconds that the hub took for each."""
    began = time.monotonic()
    for revision in range(1, revisions + 1):
        _apply(hub, revision)
    return (time.monotonic() - began) / revisions


def _back(world: World, hub: Client, newest: int, note: str) -> Iterator[Row]:
    before = _forked_at(world)
    began = time.monotonic()
    world.systemctl(NODE, "start", "--no-block", AGENT)
    forked = world.until(
        "a new process", lambda: now if (now := _forked_at(world)) > before else None, SOON_S
    )
    # The process has it once systemd's own part in it is over.
    world.until("it is the newest revision", lambda: f"VALUE={newest}" in _environ(world), 5)
    assert _forked_at(world) == forked, "it switches once, to the newest"
    yield Row("back after weeks → newest revision runs", forked - began, "s", goal=Goal(2), note=note)
    world.until("all is told", lambda: LAST in _codes(hub), LATE_S)
    drained = time.monotonic() - began
    dropped = [event.text for event in _told(hub) if event.code == "outbox-full"]
    note = f"the hub was told of what was not kept: {dropped[0]}" if dropped else "nothing was dropped"
    yield Row("back after weeks → outbox drained", drained, "s", goal=Goal(30), note=note)


def _environ(world: World) -> list[str]:
    pid = world.shown(NODE, UNIT, "MainPID")
    return world.text(NODE, "cat", f"/proc/{pid}/environ").split("\0")


def _codes(hub: Client) -> set[str]:
    return {event.code for event in hub.get(tuple[EventView, ...], "/api/events", limit=50)}


def _told(hub: Client) -> tuple[EventView, ...]:
    return hub.get(tuple[EventView, ...], "/api/events", limit=1000, node=NODE, after=0)


def _forked_at(world: World) -> float:
    return int(world.shown(NODE, UNIT, "ExecMainStartTimestampMonotonic") or 0) / 1e6
