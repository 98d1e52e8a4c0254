"""A node's disk that fails under a running agent, at each kind of write: nothing that runs ends, people are told, and
once it takes writes again the change is made without anybody's help.
"""

from __future__ import annotations

import pytest

from tests.lab.steps import FILES, Step, agent_pid, failing, traced
from tests.lab.system.changes import APPS, NODE, Changes
from tests.lab.system.world import World

NODES = 1
SAYS = {
    "ENOSPC": "No space left on device",
    "EROFS": "Read-only file system",
    "EIO": "Input/output error",
}
# What cannot be written first, and why not; from there on nothing can.
FIRST = {
    "/var/lib/skerry/generations/VERSION": "ENOSPC",
    "/var/lib/skerry/accepted": "EIO",
    "/var/lib/skerry/applied.since.twin": "EROFS",
    "/var/lib/skerry/instances/SIDE": "ENOSPC",
    "/etc/systemd/system/skerry-SIDE.service": "EROFS",
    "/etc/systemd/system/skerry.target.wants/skerry-SIDE.service": "EIO",
    "/var/lib/skerry/instances/SIDE/current": "ENOSPC",
}


@pytest.fixture(scope="module")
def changes(mesh_of_file: World) -> Changes:
    return Changes(mesh_of_file)


@pytest.fixture(scope="module")
def steps(changes: Changes) -> list[Step]:
    """Those of a change that nothing hinders."""
    changes.quiet()
    world = changes.world
    with traced(agent_pid(world.lab, NODE), world.folder / "steps", FILES) as agent:
        changes.next()
        changes.settled()
        return agent.steps()


@pytest.mark.parametrize("path", FIRST)
def test_a_disk_that_fails_at_a_write_ends_nothing_is_said_and_holds_up_no_longer_than_it_fails(
    world: World, changes: Changes, steps: list[Step], path: str
) -> None:
    error = FIRST[path]
    since = next(step for step in steps if step.what == path and step.call != "fsync")
    changes.quiet()
    faults = failing(steps, since, error)
    with traced(agent_pid(world.lab, NODE), world.folder / "failed", FILES, *faults):
        changes.next()
        world.until("the hub hears of it", lambda: disk(world), 5)
        assert SAYS[error] in world.text(NODE, "skerry-agent", "status")
        why = [world.why(app) for app in APPS]
        assert any("disk" in one.headline or SAYS[error] in one.headline for one in why), why
        assert changes.staying() == changes.stay
    changes.settled()
    world.settled(*APPS, seconds=40)
    world.until("it is over", lambda: not disk(world))
    changes.check()


def disk(world: World) -> str:
    """What the hub knows of it."""
    return next((one for one in world.hub_node(NODE).conditions if one.startswith("disk:")), "")
