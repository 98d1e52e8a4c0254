"""Promise 3 where a node's systemd does not answer, or is told to begin anew: skerry-fence is the second line.

Slow by nature: a lease lasts ten seconds at least, and only time shows that it runs out.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from skerry_agent.fence.kernel import boottime_ms
from skerry_agent.units.leaseunits import grant, timer_name
from skerry_hub.lab import enter
from skerry_hub.lab.layout import Host
from tests.lab.system.fenced import LEASE_S, REPLACED_S, place
from tests.lab.system.world import Unit, World

NODES = 2
FENCE = "skerry-fence.service"
HUNG_S = 31.0
DOWN = {"failed", "inactive"}
STUBBORN_S = 5
STUBBORN = f"""
[app.stubborn]
run = ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
availability = "ha"
stop_timeout = "{STUBBORN_S}s"
[app.stubborn.ha]
lost_after = "18500ms"
overlap = "forbid"
[app.stubborn.place]
nodes = ["n1"]
"""
# The moment at which a process ends, whoever waits for it: only its kernel is asked.
WATCHING = """
import os, select, sys, time
waiting = select.poll()
waiting.register(os.pidfd_open(int(sys.argv[1])), select.POLLIN)
print("watching", flush=True)
waiting.poll()
print(time.monotonic(), flush=True)
"""


@contextmanager
def hanging_systemd(world: World, node: str) -> Iterator[float]:
    """Its PID 1 does nothing, from this moment on."""
    pid = enter.node_pid(world.lab.paths, Host(node))
    os.kill(pid, signal.SIGSTOP)
    try:
        yield time.monotonic()
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def watched(world: World, copy: Unit) -> Iterator[subprocess.Popen[str]]:
    """Says when the copy's process ended."""
    with world.lab.popen(copy.node, ["python3", "-c", WATCHING, str(copy.pid)]) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "watching\n"
        yield watcher
        watcher.kill()


def ended(watcher: subprocess.Popen[str]) -> float:
    """Seconds of CLOCK_MONOTONIC; waits for it."""
    assert watcher.stdout is not None
    return float(watcher.stdout.readline())


def heal(world: World) -> None:
    """The link is whole again, and both sides know."""
    world.lab.heal("n1")
    world.until("n1 is back", lambda: not any("silent" in one for one in world.hub_node("n1").conditions), 30)


def fence_pid(world: World, node: str) -> int:
    return int(world.shown(node, FENCE, "MainPID"))


@pytest.mark.parametrize("agent", ["alive", "dead"])
def test_a_cut_off_copy_is_dead_before_its_replacement_starts_though_systemd_hangs(
    world: World, agent: str
) -> None:
    app = f"hung-{agent}"
    before = place(world, app, "n1", "n2")
    agent_pid = world.shown("n1", "skerry-agent.service", "MainPID")
    with hanging_systemd(world, "n1") as began, watched(world, before) as watcher:
        world.lab.cut("n1")
        if agent == "dead":
            world.run("n1", "kill", "-KILL", agent_pid)
        new = world.comes_up(app, ["n2"], REPLACED_S)
        died = ended(watcher)
        assert died < new.starting_since, "two at once"
        assert began + LEASE_S / 2 < died < began + LEASE_S + 3.1, (
            "not at its lease's end and the stop timeout"
        )
        world.holds(
            "systemd still hangs, and the copy is dead",
            lambda: not processes(world, "n1", app),
            began + HUNG_S - time.monotonic(),
        )
    world.until("systemd answers", lambda: world.unit("n1", f"{app}-1").state in DOWN)
    world.holds("nothing starts it again", lambda: not world.copies(app, ["n1"]), 6)
    assert world.unit("n1", f"{app}-1").run == before.run
    said = world.text("n1", "journalctl", "-o", "cat", "-u", FENCE, "--grep", "^killed ")
    assert "its lease was over" in said
    heal(world)
    world.settled(app)
    assert [one.run for one in world.copies(app)] == [new.run], "the replacement stays"
    world.skerry("remove", app, "--yes")


def processes(world: World, node: str, app: str) -> str:
    """The processes of a copy, as the kernel has them."""
    found = world.run(
        node,
        "sh",
        "-c",
        f"cat /sys/fs/cgroup/skerry.slice/skerry-lease_*.slice/skerry-{app}-1.service/cgroup.procs",
        check=False,
    )
    return found.stdout.strip()


def test_a_systemd_that_hangs_while_the_hub_is_there_makes_no_two_either(world: World) -> None:
    before = place(world, "reached", "n1", "n2")
    with hanging_systemd(world, "n1") as began, watched(world, before) as watcher:
        world.until(
            "31 s", lambda: time.monotonic() - began > HUNG_S or world.copies("reached", ["n2"]), 2 * HUNG_S
        )
        for new in world.copies("reached", ["n2"]):
            assert ended(watcher) < new.starting_since, "two at once"
    world.settled("reached", seconds=60)
    assert len(world.copies("reached")) == 1
    world.skerry("remove", "reached", "--yes")


def test_a_fence_that_was_killed_comes_back_and_goes_on(world: World) -> None:
    before = place(world, "guarded", "n1", "n2")
    first, agent_pid = fence_pid(world, "n1"), world.shown("n1", "skerry-agent.service", "MainPID")
    world.run("n1", "kill", "-KILL", str(first))
    world.until("another fence", lambda: fence_pid(world, "n1") not in {0, first})
    world.holds("the copy runs on", lambda: world.copies("guarded", ["n1"]) == [before], LEASE_S + 2)
    with hanging_systemd(world, "n1") as began, watched(world, before) as watcher:
        world.lab.cut("n1")
        world.run("n1", "kill", "-KILL", agent_pid)
        died = ended(watcher)
        assert began + LEASE_S / 2 < died < began + LEASE_S + 3.1
    new = world.comes_up("guarded", ["n2"], REPLACED_S)
    assert died < new.starting_since
    heal(world)
    world.settled("guarded")
    world.skerry("remove", "guarded", "--yes")


def test_a_systemd_that_begins_anew_changes_nothing(world: World) -> None:
    before = place(world, "steady", "n1")
    fence = fence_pid(world, "n1")
    world.systemctl("n1", "daemon-reexec")
    world.holds("it runs on past its lease", lambda: world.copies("steady", ["n1"]) == [before], LEASE_S + 2)
    assert fence_pid(world, "n1") == fence
    world.lab.cut("n1")
    began = time.monotonic()
    world.until("its lease ends as ever", lambda: not world.copies("steady", ["n1"]), LEASE_S + 3)
    assert world.unit("n1", "steady-1").stopping_since - began < LEASE_S + 0.5, "systemd ended it, in time"
    heal(world)
    world.until("it has a lease again", lambda: world.copies("steady", ["n1"]), REPLACED_S + LEASE_S)
    world.skerry("remove", "steady", "--yes")


def test_without_a_second_line_leases_are_granted_and_the_node_says_so(world: World) -> None:
    before = place(world, "alone", "n1")
    world.systemctl("n1", "mask", "--runtime", "--now", FENCE)
    world.until("the hub says so", lambda: world.ails("n1", "fence"))
    assert "masked" in str(world.agent_status("n1").conditions)
    world.holds("the copy runs on", lambda: world.copies("alone", ["n1"]) == [before], LEASE_S + 2)
    world.systemctl("n1", "unmask", "--runtime", FENCE)
    world.until("it is back by itself", lambda: not world.ails("n1", "fence"))
    assert fence_pid(world, "n1") != 0
    assert world.copies("alone", ["n1"]) == [before]
    world.skerry("remove", "alone", "--yes")
    world.until("nothing to guard, no fence", lambda: fence_pid(world, "n1") == 0)


def test_what_a_systemd_that_wakes_late_still_starts_is_dead_within_a_second(world: World) -> None:
    """It was asked to open a lease, and hung until that lease was over. The copy ignores what systemd tells it then."""
    world.apply(STUBBORN)
    world.systemctl("n1", "stop", "skerry-agent.service")
    world.until("its lease is over", lambda: world.unit("n1", "stubborn-1").state in DOWN, LEASE_S + 10)
    length_ms = int(world.text("n1", "sh", "-c", "cd /run/skerry/fence && ls | grep -v wake"))
    starting = int(world.text("n1", "systemctl", "show", "-P", "UserspaceTimestampMonotonic")) // 1000
    deadline = time.monotonic() + 2
    timer = timer_name(length_ms, int(deadline * 1000), opens=True)
    write(
        world, f"/run/systemd/system/{timer}", grant(length_ms, int(deadline * 1000) - starting, opens=True)
    )
    write(world, f"/run/skerry/fence/{length_ms}", f"{boottime_ms() + 2000}\n")
    with hanging_systemd(world, "n1"):
        asking = world.lab.popen("n1", ["systemctl", "start", "--no-block", timer])
        world.holds("due", lambda: True, deadline + STUBBORN_S + 2 - time.monotonic())
    asking.communicate(timeout=10)
    began = world.until("it began", lambda: late_start(world, deadline)).starting_since
    gone = world.until("it is gone", lambda: late_end(world, began))
    assert gone.down_since - began < 2 < STUBBORN_S
    assert world.text("n1", "journalctl", "-o", "cat", "-u", FENCE, "--grep", "^killed ")
    world.systemctl("n1", "start", "skerry-agent.service")
    world.skerry("remove", "stubborn", "--yes")


def late_start(world: World, deadline: float) -> Unit | None:
    copy = world.unit("n1", "stubborn-1")
    return copy if copy.starting_since > deadline else None


def late_end(world: World, began: float) -> Unit | None:
    copy = world.unit("n1", "stubborn-1")
    return copy if copy.down_since > began else None


def write(world: World, path: str, text: str) -> None:
    world.lab.run("n1", ["sh", "-c", 'cat > "$0"', path], input=text)
