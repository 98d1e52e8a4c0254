"""kill -9 of the agent, and of skerry-fence, at the steps of arming a lease: no copy ever lives without an end to it.

Looked at while the agent is dead is what systemd has armed. The first step of each kind is taken, of a start (which
renews a lease at once) and of a change that places a fenced copy and removes another; SKERRY_EVERY_STEP=1 takes every
step of both.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from skerry_agent.fence.kernel import boottime_ms
from tests.lab.steps import ASKED, FILES, Step, agent_pid, cgroup_pid, killed, one_of_each, stays_down, traced
from tests.lab.system.leases import RECORDS, leases, left_lying
from tests.lab.system.test_agent_killed import AGENT, TROUBLE
from tests.lab.system.world import World

NODES = 1
NODE = "n1"
FENCE = "skerry-fence.service"
AIMS = 8
EVERY = bool(os.environ.get("SKERRY_EVERY_STEP"))
LONG_S = {
    "stays": 61,
    "odd": 63,
    "even": 65,
}  # so long that a change is seldom met by a beat that came by itself
SHORT_S = 14.5


def fenced(name: str, lost_after_s: float, wanted: bool = True) -> str:
    return f"""
[app.{name}]
replicas = {int(wanted)}
run = ["sleep", "inf"]
availability = "ha"
stop_timeout = "1s"
[app.{name}.ha]
lost_after = "{lost_after_s * 1000:.0f}ms"
overlap = "forbid"
"""


class Fenced:
    """One change after the other: each places a fenced copy and removes another; a third stays, each has its length."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.number = 0
        for _ in range(4):
            self.next()
            self.settled()
        self.stay = self.staying()

    def next(self) -> None:
        """Asks for the next one, and waits for nothing."""
        self.number += 1
        self.world.begin("".join(fenced(name, LONG_S[name], name in self._wanted()) for name in LONG_S))

    def _wanted(self) -> tuple[str, str]:
        return "stays", "odd" if self.number % 2 else "even"

    def settled(self) -> None:
        """Exactly what is wanted runs, by a lease with an end, and nothing lies about."""
        self.world.until(f"change {self.number} is applied and leased", self._is_as_wanted, 30)

    def _is_as_wanted(self) -> bool:
        heard = self.world.hub_node(NODE)
        if not heard.accepted == heard.applied == heard.newest:
            return False
        look = leases(self.world, NODE)
        wanted = {f"skerry-{name}-1.service" for name in self._wanted()}
        one_end = len(look.timers) == len(look.open) == len(look.records) == len(wanted)
        return set(look.copies) == wanted and one_end and not left_lying(self.world, NODE)

    def quiet(self) -> None:
        """All is healthy, so that there is nothing more to tell."""
        self.settled()
        self.world.settled(*self._wanted())

    def staying(self) -> str | None:
        """The run of what no change touches."""
        return self.world.running().get((NODE, "stays-1"))


@pytest.fixture(scope="module")
def changes(mesh_of_file: World) -> Fenced:
    stays_down(mesh_of_file.lab, NODE, AGENT)
    return Fenced(mesh_of_file)


def is_of_leases(step: Step) -> bool:
    """What arms, ends and records them; how units get onto the disk is as with everything else, and what is told to
    skerry-net comes with any beat. As there, a kill before a file is synced finds what a kill before it is given its
    name finds."""
    told = step.what.startswith("/run/skerry/net")
    ours = (step.what.startswith("/run/") and not told) or (step.call == ASKED and "lease" in step.what)
    return ours and ".tmp-" not in step.what


def worth_it(steps: list[Step]) -> list[Step]:
    if EVERY:
        return [step for step in steps if step.what != "asks"]
    return one_of_each([step for step in steps if is_of_leases(step)])


def test_an_agent_that_is_killed_as_it_places_and_removes_leaves_no_lease_without_an_end(
    world: World, changes: Fenced
) -> None:
    steps = steps_of_a_change(changes)
    assert len(steps) >= 8, steps
    missed = [step for step in steps if not met(step, dies_in_a_change(changes, step))]
    # What an agent does beside a change comes when it comes, and numbers of steps are off then: it is aimed again.
    for _ in range(AIMS):
        if len(missed) >= len(steps) / 5:
            missed = aimed_again(missed, steps_of_a_change(changes))
            missed = [step for step in missed if not met(step, dies_in_a_change(changes, step, quiet=True))]
    assert len(missed) < len(steps) / 5, missed
    print(f"killed at {len(steps)} steps of changes, missed {[str(step) for step in missed]}")
    assert changes.staying() == changes.stay
    assert not {event.code for event in world.events()} & TROUBLE


def steps_of_a_change(changes: Fenced) -> list[Step]:
    """Those that are to be tried. How much an agent asks of systemd differs from one change to the next; what it writes
    for an act it syncs before it."""
    changes.quiet()
    world = changes.world
    with traced(agent_pid(world.lab, NODE), world.folder / "steps", (*FILES, ASKED)) as agent:
        changes.next()
        changes.quiet()
        return worth_it([step for step in agent.steps() if EVERY or step.call != ASKED])


def aimed_again(missed: list[Step], steps: list[Step]) -> list[Step]:
    """The missed ones with the numbers that their kinds have now."""
    now = {step.kind: step for step in steps}
    return [now.get(step.kind, step) for step in missed]


def met(step: Step, died: list[Step]) -> bool:
    return step.kind in {one.kind for one in died}


def dies_in_a_change(changes: Fenced, step: Step, quiet: bool = False) -> list[Step]:
    """The step it died at, if it did."""
    world = changes.world
    if quiet:
        changes.quiet()
    try:
        with traced(agent_pid(world.lab, NODE), world.folder / "kill", (step.call,), killed(step)) as agent:
            changes.next()
            died = agent.died(3.0)
        if died:
            leases(world, NODE).check()
        world.systemctl(NODE, "start", AGENT)
        changes.settled()
        assert changes.staying() == changes.stay
    except AssertionError as error:
        lying = left_lying(world, NODE)
        raise AssertionError(f"killed at {step}, {lying}, {leases(world, NODE)}: {error}") from error
    return agent.steps()[-1:] if died else []


def starts(world: World) -> int:
    """The agent is begun; its process, as soon as there is one."""
    world.systemctl(NODE, "start", "--no-block", AGENT)
    return world.until("its process", lambda: agent_pid(world.lab, NODE))


def dies(world: World) -> None:
    """Whatever it is doing."""
    pid = agent_pid(world.lab, NODE)
    if pid:
        os.kill(pid, signal.SIGKILL)
        world.until("it is gone", lambda: not agent_pid(world.lab, NODE))


def steps_of_a_start(changes: Fenced) -> list[Step]:
    """What an agent does that begins and renews, of what is to be tried. It runs then."""
    world = changes.world
    if not agent_pid(world.lab, NODE):
        world.systemctl(NODE, "start", AGENT)
    changes.quiet()
    dies(world)
    with traced(starts(world), world.folder / "steps", (*FILES, ASKED)) as agent:
        changes.settled()
        world.until("it is renewed", lambda: "keep" in str([step.what for step in agent.steps()]))
        changes.quiet()
        return worth_it(agent.steps())


def test_an_agent_that_is_killed_as_it_renews_leaves_the_lease_with_an_end(
    world: World, changes: Fenced
) -> None:
    """An agent renews its leases as it starts."""
    changes.quiet()
    dies(world)
    starts(world)  # which puts in order what changes left, so that the starts after it are alike
    steps = steps_of_a_start(changes)
    assert "StartUnit skerry-lease-LENGTH-keepDEADLINE.timer" in {step.what for step in steps}
    missed = [step for step in steps if not met(step, dies_in_a_start(changes, step))]
    # How often it asks differs from one start to the next, and with it the numbers of steps: it is aimed again.
    for _ in range(AIMS):
        if len(missed) >= len(steps) / 5:
            missed = aimed_again(missed, steps_of_a_start(changes))
            missed = [step for step in missed if not met(step, dies_in_a_start(changes, step, quiet=True))]
    assert len(missed) < len(steps) / 5, missed
    print(f"killed at {len(steps)} steps of starts, missed {[str(step) for step in missed]}")
    world.systemctl(NODE, "start", AGENT)
    changes.settled()
    assert changes.staying() == changes.stay
    assert not {event.code for event in world.events()} & TROUBLE


def dies_in_a_start(changes: Fenced, step: Step, quiet: bool = False) -> list[Step]:
    """As in a change. `quiet`: the agent before it did all it had to do, as the one whose steps were measured."""
    world = changes.world
    if quiet:
        world.systemctl(NODE, "start", AGENT)
        changes.quiet()
    dies(world)
    with traced(starts(world), world.folder / "kill", (step.call,), killed(step)) as agent:
        died = agent.died(5.0)
    if died:
        leases(world, NODE).check()
        assert changes.staying() == changes.stay, f"killed at {step}"
    return agent.steps()[-1:] if died else []


@pytest.mark.parametrize("call", ["read", "timerfd_settime", "poll"])
def test_a_fence_that_is_killed_comes_back_and_knows_its_deadlines(
    world: World, changes: Fenced, call: str
) -> None:
    """Woken as by a grant, it dies as it reads its records or sets its timer."""
    changes.quiet()
    before = leases(world, NODE)
    with traced(
        cgroup_pid(world.lab, NODE, FENCE), world.folder / "fence", (call,), f"{call}:signal=KILL:when=1"
    ) as it:
        world.run(NODE, "sh", "-c", f"printf '!' > {RECORDS}/wake")
        assert it.died()
    world.until("another is ready", lambda: world.shown(NODE, FENCE, "ActiveState") == "active")
    knows = wakes_at(cgroup_pid(world.lab, NODE, FENCE))
    first = min(leases(world, NODE).records.values())
    assert knows[0] - 2 <= first <= knows[1] + 2
    assert changes.staying() == changes.stay
    assert leases(world, NODE).copies == before.copies
    assert not world.ails(NODE, "fence")


def wakes_at(pid: int) -> tuple[int, int]:
    """Between which moments its timer fires: CLOCK_BOOTTIME, ms. The kernel says how long until then."""
    for fd in Path(f"/proc/{pid}/fdinfo").iterdir():
        earliest = boottime_ms()
        found = re.search(r"it_value: \((\d+), (\d+)\)", fd.read_text())
        if found:
            left_ms = int(found[1]) * 1000 + int(found[2]) // 1_000_000
            return earliest + left_ms, boottime_ms() + left_ms
    raise AssertionError(f"{pid} has no timer")


def test_a_lease_that_nobody_renews_any_more_ends_by_the_timer_that_a_killed_agent_left(
    world: World, changes: Fenced
) -> None:
    changes.quiet()
    world.apply(fenced("brief", SHORT_S))
    pid = agent_pid(world.lab, NODE)
    with traced(pid, world.folder / "kill", ("unlink",), "unlink:signal=KILL:when=1") as agent:
        assert agent.died()  # a renewal: the timer before is stopped, its file is still there
    look = leases(world, NODE)
    look.check()
    length_ms = look.copies["skerry-brief-1.service"]
    world.until("it has ended", lambda: world.unit(NODE, "brief-1").state != "active", 15)
    ended_ms = world.unit(NODE, "brief-1").stopping_since * 1000
    assert 0 <= ended_ms - look.end_ms(length_ms) < 500
    assert changes.staying() == changes.stay
    world.systemctl(NODE, "start", AGENT)
    world.comes_up("brief", [NODE])
    world.skerry("remove", "brief", "--yes")
    changes.settled()
