"""A failed health check after a change → the former revision runs, beside stop and start of the same unit by systemd.

It begins when the last failure that was needed is judged: that moment is in the node's own word on the copy. It ends
when systemd forked the process of the former revision. Both are of one kernel, the word by its wall clock.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.lab.system.world import World

from .figures import Effort
from .measures import Goal, Row, median, percentile
from .meshes import PYTHON, meshed

NODE, UNIT = "n1", "skerry-ailing-1.service"
SICK = "/etc/bench-sick"
CHECK = f"""[app.ailing.health]
exec = ["/bin/sh", "-c", "test ! -e {SICK}"]
every = "1s"
timeout = "500ms"
grace = "60s"
failures = 2
"""
WORD = """
from skerry_agent.disk.disk import StateDir
from skerry_agent.assignments.records import OVERRIDES_RECORD, Words
found = StateDir().saved(OVERRIDES_RECORD, Words)
print(max((one.made_at_ms for one in found.overrides), default=0))
"""
BACK_S = 40.0


def measure(effort: Effort) -> Iterator[Row]:
    with meshed("reverting", (NODE,)) as world:
        world.apply(_app(0))
        world.settled("ailing")
        ours, theirs = [], []
        for turn in range(1, effort.count(15, 4) + 1):
            ours.append(_put_back(world, turn))
            theirs.append(_by_systemd(world))
    beside = "systemd's own stop and start"
    note = f"{len(ours)} times; the worst {percentile(ours, 99):.0f} ms, systemd's {percentile(theirs, 99):.0f} ms"
    yield Row("failed check → former revision runs", median(ours), "ms", median(theirs), beside, note=note)
    yield Row("of it beyond stop and start", median(ours) - median(theirs), "ms", goal=Goal(100))


def _app(turn: int) -> str:
    return f"""
[app.ailing]
run = ["sleep", "inf"]
availability = "best-effort"
place = {{ nodes = ["{NODE}"] }}
env = {{ VALUE = "{turn}" }}
{CHECK}"""


def _put_back(world: World, turn: int) -> float:
    """Milliseconds from the verdict to the former revision's process."""
    world.run(NODE, "rm", "-f", SICK)
    world.apply(_app(turn))
    world.settled("ailing")
    before = _forked_at(world)
    world.run(NODE, "touch", SICK)
    forked = world.until(
        "the former revision runs", lambda: now if (now := _forked_at(world)) > before else None, BACK_S
    )
    world.run(NODE, "rm", "-f", SICK)
    judged = int(world.text(NODE, PYTHON, "-c", WORD)) / 1000 - (time.time() - time.monotonic())
    return (forked - judged) * 1000


def _by_systemd(world: World) -> float:
    """Milliseconds from when systemd began to stop the unit until it had forked the new process."""
    world.systemctl(NODE, "restart", UNIT)
    stopping = int(world.shown(NODE, UNIT, "ActiveExitTimestampMonotonic")) / 1e6
    return (_forked_at(world) - stopping) * 1000


def _forked_at(world: World) -> float:
    return int(world.shown(NODE, UNIT, "ExecMainStartTimestampMonotonic") or 0) / 1e6
