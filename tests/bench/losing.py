"""A node is lost → its copy runs on another, beside lost_after; and the hub's part of it with many nodes.

It begins with the lost node's last contact, from which the hub counts too. With machines it ends when systemd forked
the new process elsewhere; with simulated agents, when another has the assignment with the copy.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from skerry_hub.api.views import ApplyAsk, ApplyView
from skerry_protocol.app import App, Availability, Ha, OnReturn, Overlap
from skerry_protocol.ids import AppName
from tests.lab.system.world import World

from .figures import Effort
from .fleet import members
from .fleet.hubproc import HubProcess, Swarms, running
from .measures import Goal, Row, median
from .meshes import meshed

LOST_AFTER_S = 15
LATER_S = 1.0
NODES = ("n1", "n2", "n3")
WATCHED = f"""
[app.watched]
run = ["sleep", "inf"]
availability = "ha"
[app.watched.ha]
lost_after = "{LOST_AFTER_S}s"
overlap = "allow"
on_return = "keep-replacement"
"""


def measure(effort: Effort) -> Iterator[Row]:
    with meshed("losing", NODES) as world:
        world.apply(WATCHED)
        world.settled("watched")
        for how in ("killed", "cut off"):
            times = [_lost(world, how) for _ in range(effort.count(3, 1))]
            yield _row(
                f"3 machines, one {how}",
                [one for one, _ in times],
                f"{median([at for _, at in times]):.2f} s after the loss itself",
            )
    for many in (200,) if effort.quick else (200, 2_000):
        yield _of_many(many, effort.count(3, 1))


def _row(what: str, times: list[float], note: str) -> Row:
    goal = Goal(LOST_AFTER_S + LATER_S)
    return Row(f"{what} → copy elsewhere", median(times), "s", LOST_AFTER_S, "lost_after", goal, note)


def _lost(world: World, how: str) -> tuple[float, float]:
    """Seconds from the last contact, and from the loss, until a process is forked elsewhere."""
    node = world.node_of("watched")
    others = [name for name in NODES if name != node]
    act, mend = (world.lab.poweroff, world.lab.boot) if how == "killed" else (world.lab.cut, world.lab.heal)
    act(node)
    lost = time.monotonic()
    heard = world.hub_node(node).heard_at_ms
    assert heard is not None
    last = heard / 1000 - (time.time() - time.monotonic())
    unit = world.comes_up("watched", others, LOST_AFTER_S + 20)
    mend(node)
    world.settled("watched", seconds=90)
    world.until("one copy", lambda: len(world.copies("watched")) == 1, 60)
    return unit.starting_since - last, unit.starting_since - lost


def _of_many(many: int, repeats: int) -> Row:
    with tempfile.TemporaryDirectory(prefix="skerry-bench-") as folder:
        there = asyncio.run(members.made(Path(folder) / "hub", many))
        with running(there) as hub, Swarms(Path(folder), hub.server, there.logins, parts=1) as swarms:
            swarms.tell("start", over=many / 500)
            _all(swarms, "agreed")
            swarms.tell("mark")
            _watch(hub, many)
            _all(swarms, "took")
            _all(swarms, "agreed")
            swarms.tell("spread")
            times = [_ended(swarms) for _ in range(repeats)]
    note = f"{len(times)} times; all beat every {LOST_AFTER_S / 3:g} s; until an agent has the assignment with it"
    return _row(f"{many:,} simulated nodes, one ends", times, note)


def _watch(hub: HubProcess, many: int) -> None:
    ha = Ha(LOST_AFTER_S * 1000, Overlap.ALLOW, OnReturn.KEEP_REPLACEMENT)
    app = App(AppName("watched"), ("sleep", "inf"), Availability.HA, replicas=many, ha=ha)
    hub.client.send(ApplyView, "POST", "/api/apply", ApplyAsk((app,)))


def _all(swarms: Swarms, what: str) -> None:
    said = swarms.tell(what, seconds=300, term=0)
    if said.waiting:
        raise TimeoutError(f"{said.waiting} agents had not {what}: {said.trouble}")


def _ended(swarms: Swarms) -> float:
    """Seconds from one agent's last answered beat until another was given what it ran."""
    swarms.tell("mark")
    (last,) = swarms.tell("end").moments
    said = swarms.tell("first", seconds=LOST_AFTER_S + 30)
    if not said.moments:
        raise TimeoutError("no agent was given the copy of the one that ended")
    return said.moments[0] - last
