"""kill -9 of the agent at the steps of a change: the next agent goes on from there, and nothing that runs is touched.

The first step of each kind is taken: what comes later of a kind does to another file what the first did to its own. A
kill before a file is synced finds what a kill before its name is given finds, so that is left out too.
SKERRY_EVERY_STEP=1 takes every step there is, which takes a quarter of an hour.
"""

from __future__ import annotations

import os
from collections.abc import Collection

import pytest

from tests.lab.steps import ASKED, FILES, Step, agent_pid, killed, one_of_each, stays_down, traced
from tests.lab.system.changes import NODE, STATE, UNITS, Changes
from tests.lab.system.world import World

NODES = 1
AGENT = "skerry-agent.service"
AIMS = 4
EVERY = bool(os.environ.get("SKERRY_EVERY_STEP"))
# What goes on from a crash has no event; these would tell of one that was not gone on from.
TROUBLE = {"booted", "unit-file", "switch-failed", "outbox-damaged", "alarm", "override", "restarted"}


@pytest.fixture(scope="module")
def changes(mesh_of_file: World) -> Changes:
    """The agent does not come back by itself: the tests say when."""
    stays_down(mesh_of_file.lab, NODE, AGENT)
    return Changes(mesh_of_file)


def test_an_agent_that_is_killed_at_a_step_of_a_change_goes_on_from_there(
    world: World, changes: Changes
) -> None:
    steps = measured(changes)
    assert len(steps) > 25, steps
    missed = kill_at(changes, steps)
    # What an agent does beside a change comes when it comes, and numbers of steps are off then: it is aimed again.
    for _ in range(AIMS):
        if len(missed) >= len(steps) / 5:
            missed &= kill_at(changes, [step for step in measured(changes) if step.kind in missed], missed)
    changes.quiet()
    assert len(missed) < len(steps) / 5, missed
    assert not {event.code for event in world.events()} & TROUBLE


def measured(changes: Changes) -> list[Step]:
    """The steps of a change that are to be tried."""
    changes.quiet()
    world = changes.world
    with traced(agent_pid(world.lab, NODE), world.folder / "steps", (*FILES, ASKED)) as agent:
        changes.next()
        changes.settled()
        changes.quiet()
        return worth_it(agent.steps())


def worth_it(steps: list[Step]) -> list[Step]:
    """Those to be tried."""
    acts = [step for step in steps if step.what != "asks"]
    if EVERY:
        return acts
    return one_of_each([step for step in acts if step.call != "fsync" and not step.is_of_nothing])


def kill_at(
    changes: Changes, steps: list[Step], again: Collection[tuple[str, str]] = ()
) -> set[tuple[str, str]]:
    """Kills at each of these; the kinds that were not met, of those and of `again`, for which all is quiet before."""
    missed = {*(step.kind for step in steps), *again}
    for step in steps:
        for overtaken in (False, True) if EVERY else (leaves_something(step),):
            if again:
                changes.quiet()
            met = dies_and_goes_on(changes, step, overtaken)
            missed -= {one.kind for one in met}
    return missed


def leaves_something(step: Step) -> bool:
    """Whether a kill there leaves what the same change would clear away. So the hub has changed its mind by then."""
    return step.what.startswith((UNITS, f"{STATE}/instances", f"{STATE}/generations"))


def dies_and_goes_on(changes: Changes, step: Step, overtaken: bool) -> list[Step]:
    """The step it died at, if it did; `overtaken`: there is a newer change before the agent is back."""
    world = changes.world
    try:
        with traced(agent_pid(world.lab, NODE), world.folder / "kill", (step.call,), killed(step)) as agent:
            changes.next()
            died = agent.died(3.0)
        assert changes.staying() == changes.stay
        if overtaken:
            changes.next()
        world.systemctl(NODE, "start", AGENT)
        changes.settled()
        changes.check()
    except AssertionError as error:
        story = f"killed at {step}{', then overtaken' if overtaken else ''}, {changes.out_of_place()}"
        raise AssertionError(f"{story}: {error}") from error
    return agent.steps()[-1:] if died else []
