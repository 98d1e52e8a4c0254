"""What befalls a node's own disk, files and clock: people are told where they look, and nothing that runs ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.system.fenced import LEASE_S, place
from tests.lab.system.world import World

NODES = 1
NODE = "n1"
UNITS = "/etc/systemd/system"
AGENT = "skerry-agent.service"
LIBFAKETIME = "/usr/lib/$(uname -m)-linux-gnu/faketime/libfaketime.so.1"


def app(name: str, more: str = "") -> str:
    return f'[app.{name}]\nrun = ["sleep", "inf"]\navailability = "best-effort"\n{more}'


def status(world: World) -> str:
    return world.text(NODE, "skerry-agent", "status")


def test_a_unit_file_that_is_gone_is_put_back_at_once_and_the_hub_hears_of_it(world: World) -> None:
    world.apply(app("gone"))
    before = world.running()
    path = f"{UNITS}/skerry-gone-1.service"
    whole = world.text(NODE, "cat", path)
    world.run(NODE, "rm", path)
    world.until("it is back", lambda: world.run(NODE, "cat", path, check=False).stdout.strip() == whole)
    world.until("the hub hears", lambda: any(event.code == "unit-file" for event in world.events()))
    world.until("systemd has read it", lambda: world.shown(NODE, "skerry-gone-1", "NeedDaemonReload") == "no")
    assert world.running() == before


def test_a_unit_file_that_was_edited_is_said_and_a_drop_in_stays(world: World) -> None:
    world.apply(app("edited"))
    before = world.running()
    path = f"{UNITS}/skerry-edited-1.service"
    world.run(NODE, "sh", "-c", f"mkdir -p {path}.d; echo '[Service]\nNice=5' > {path}.d/mine.conf")
    world.run(NODE, "sed", "-i", "s/sleep/sleep 1; sleep/", path)
    world.until("the hub hears", lambda: world.ails(NODE, "unit-files"))
    assert "changed by hand" in status(world)
    assert "skerry-edited-1.service was changed by hand" in world.text(NODE, "skerry-agent", "why", "edited")
    assert "unit files of instances were changed by hand" in world.skerry("why", "edited")
    assert world.running() == before
    world.lab.reboot(NODE)
    world.until("its file is as it should be", lambda: not world.ails(NODE, "unit-files"), 40)
    world.settled("edited", seconds=40)
    assert world.run(NODE, "cat", f"{path}.d/mine.conf").stdout == "[Service]\nNice=5\n"
    assert world.shown(NODE, "skerry-edited-1", "Nice") == "5"


@contextmanager
def read_only(world: World, folder: str) -> Iterator[None]:
    """A disk that takes no write any more, as after an I/O error."""
    world.run(NODE, "sh", "-ec", f"mount --bind {folder} {folder}; mount -o remount,bind,ro {folder}")
    world.systemctl(NODE, "restart", AGENT)
    try:
        yield
    finally:
        world.run(NODE, "sh", "-ec", f"umount -l {folder}")
        world.systemctl(NODE, "restart", AGENT)


@pytest.mark.parametrize("folder", ["/var/lib/skerry", UNITS])
def test_a_disk_that_takes_no_write_ends_nothing_and_is_said(world: World, folder: str) -> None:
    name = folder.rpartition("/")[2]
    world.apply(app(f"{name}-before"))
    before = world.running()
    with read_only(world, folder):
        world.begin(app(f"{name}-after"))
        world.until("the hub hears why", lambda: world.ails(NODE, "disk"), 40)
        assert "Read-only file system" in status(world)
        assert world.running() == before
        why = world.until(
            "why says what it waits for",
            lambda: said if "healthy" not in (said := world.why(f"{name}-after").headline) else "",
        )
        assert f"{name}-after-1" in why
    world.settled(f"{name}-before", f"{name}-after", seconds=60)
    world.until("it is over", lambda: not world.ails(NODE, "disk"), 40)
    assert before.items() <= world.running().items()


@contextmanager
def clock(world: World, offset: str) -> Iterator[None]:
    """The agent's time of day is off; what counts seconds is not."""
    library = world.text(NODE, "sh", "-c", f"echo {LIBFAKETIME}")
    lines = f"[Service]\\nEnvironment=LD_PRELOAD={library} FAKETIME={offset} FAKETIME_DONT_FAKE_MONOTONIC=1"
    folder = f"/run/systemd/system/{AGENT}.d"
    world.run(NODE, "sh", "-ec", f"mkdir -p {folder}; printf '{lines}\\n' > {folder}/clock.conf")
    world.systemctl(NODE, "daemon-reload")
    world.systemctl(NODE, "restart", AGENT)
    try:
        yield
    finally:
        world.run(NODE, "rm", "-r", folder)
        world.systemctl(NODE, "daemon-reload")
        world.systemctl(NODE, "restart", AGENT)


def test_a_clock_that_is_off_hinders_nothing(world: World) -> None:
    """Leases are renewed every 4 s here: each clock sees some."""
    fenced = '[app.lease.ha]\nlost_after = "15s"\noverlap = "forbid"\n'
    lease = app("lease", 'stop_timeout = "1s"\n').replace("best-effort", "ha")
    world.apply(app("tick") + lease + fenced)
    before = world.running()
    for number, offset in enumerate(("+1h", "-1h", "+10y", "-10y"), 1):
        with clock(world, offset):
            world.until("the agent is in touch", lambda: world.agent_status(NODE).hub == "")
            world.apply(app(f"at{number}"))
            (copy,) = world.why(f"at{number}").copies
            told_ms = next(stage.since_ms for stage in copy.stages if stage.name == "started")
            assert abs(told_ms / 1000 - time.time()) > 3_500, "its clock is off"
            world.holds("a lease goes on", lambda: before.items() <= world.running().items(), 5)
    world.settled("tick", "lease", "at1", "at4")
    world.holds(
        "and so it does when the clock is right again", lambda: before.items() <= world.running().items(), 5
    )


def test_a_lease_goes_on_where_the_state_folder_takes_no_write(world: World) -> None:
    """What leases need is under /run, which is in memory: a disk that fails ends none."""
    copy = place(world, "keeps", NODE)
    with read_only(world, "/var/lib/skerry"):
        world.until("the hub hears", lambda: world.ails(NODE, "disk"), 40)
        world.holds(
            "it runs on for longer than one lease", lambda: world.unit(NODE, copy.name) == copy, LEASE_S + 2
        )
    world.until("it is over", lambda: not world.ails(NODE, "disk"), 40)
    assert world.unit(NODE, copy.name) == copy


def test_a_systemd_that_executes_itself_anew_harms_nothing_and_is_asked_again(world: World) -> None:
    world.apply(app("steady"))
    before, agent = world.running(), world.shown(NODE, AGENT, "MainPID")
    world.systemctl(NODE, "daemon-reexec")
    world.apply(app("steady") + app("reexec-after"))
    assert before.items() <= world.running().items()
    assert world.shown(NODE, AGENT, "MainPID") == agent
    assert not world.ails(NODE, "systemd")
    path = f"{UNITS}/skerry-steady-1.service"
    world.run(NODE, "rm", path)
    world.until(
        "the agent sees to it as before", lambda: not world.run(NODE, "ls", path, check=False).returncode
    )
