"""/run takes no write, where leases are armed and recorded: people are told, and what is fenced ends by its lease
rather than live without one. Nothing else is harmed, and with room again all goes on by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.lab.steps import agent_pid, traced
from tests.lab.system.fenced import LEASE_S, fenced
from tests.lab.system.leases import RECORDS, leases, left_lying
from tests.lab.system.world import World

NODES = 1
NODE = "n1"
AGENT, FENCE = "skerry-agent.service", "skerry-fence.service"
FOLDERS = ("/run/skerry", "/run/systemd/system")
STILL = '[app.still]\nrun = ["sleep", "inf"]\navailability = "best-effort"\n'


@contextmanager
def full(world: World) -> Iterator[None]:
    """No room for the record of a grant. A mount that is full would have room again with the first file that goes."""
    (length_ms,) = leases(world, NODE).records
    record = f"{RECORDS}/.tmp-{length_ms}"
    pid = agent_pid(world.lab, NODE)
    with traced(pid, world.folder / "full", ("write",), "write:error=ENOSPC", only=record):
        yield


@contextmanager
def read_only(world: World) -> Iterator[None]:
    """The two folders of it that an agent writes to."""
    for folder in FOLDERS:
        script = f"mount --bind {folder} {folder}; mount -o remount,bind,ro {folder}"
        world.run(NODE, "sh", "-ec", script)
    try:
        yield
    finally:
        for folder in FOLDERS:
            world.run(NODE, "umount", "-l", folder)


@pytest.mark.parametrize(
    ("fails", "says"), [(full, "No space left on device"), (read_only, "Read-only file system")]
)
def test_what_is_fenced_ends_by_its_lease_where_run_takes_no_write_and_all_else_goes_on(
    world: World, fails: Callable[[World], AbstractContextManager[None]], says: str
) -> None:
    world.apply(STILL + fenced("guarded", NODE))
    still = world.running()[NODE, "still-1"]
    with fails(world):
        world.until("the hub hears of it", lambda: world.ails(NODE, "disk"))
        assert says in world.text(NODE, "skerry-agent", "status")
        assert says in world.text(
            NODE, "journalctl", "-u", AGENT, "-o", "cat", "--grep", "cannot use a grant"
        )
        look = leases(world, NODE)
        if look.copies:
            look.check()
        world.until("its lease is over", lambda: not world.copies("guarded"), LEASE_S + 3)
        world.until("why says so", lambda: "disk" in world.why("guarded").headline)
        assert world.running() == {(NODE, "still-1"): still}
    world.until("all is well", lambda: not world.ails(NODE, "disk"))
    world.settled("still", "guarded")
    assert world.running()[NODE, "still-1"] == still
    leases(world, NODE).check()
    world.until("nothing lies about", lambda: not left_lying(world, NODE))


def test_agent_and_fence_come_back_though_run_takes_no_write(world: World) -> None:
    world.apply(STILL + fenced("guarded", NODE))
    still = world.running()[NODE, "still-1"]
    with read_only(world):
        dies_and_comes_back(world, AGENT)
        dies_and_comes_back(world, FENCE)
        world.until("the hub hears of it", lambda: world.ails(NODE, "disk"))
        world.until("the fence is ready", lambda: world.shown(NODE, FENCE, "ActiveState") == "active")
        assert not world.ails(NODE, "fence")
        assert world.running()[NODE, "still-1"] == still
    world.until("it is used again", lambda: not world.ails(NODE, "disk"))
    world.settled("still", "guarded")
    assert world.running()[NODE, "still-1"] == still


def dies_and_comes_back(world: World, unit: str) -> None:
    before = world.shown(NODE, unit, "MainPID")
    world.run(NODE, "kill", "-KILL", before)
    world.until(f"another {unit}", lambda: world.shown(NODE, unit, "MainPID") not in {"0", before})
