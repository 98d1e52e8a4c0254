"""Instances that are watched: crash loops, restarts, leases that are away, and nothing that polls."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from skerry_agent.disk.disk import DiskError
from skerry_agent.health import health
from skerry_agent.health.health import Life, RollBack, State
from skerry_agent.health.lives import Lives
from skerry_agent.switch.target import Running
from skerry_agent.systemd import Resync
from skerry_protocol.app import Health
from tests.natsrig import running, until

from .. import builders as b
from ..noderig import Copy, Rig, assignment

WEB, DB = "skerry-web-0.service", "skerry-db-0.service"


class Watched:
    """Lives on a rig's machine, fed by its signals; keeps what they say and ask for."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.actions: list[health.Action] = []
        self.states: list[Life] = []
        self.faults = 0
        self.lives = Lives(
            rig.systemd, self.act, lambda _, life: self.states.append(life), rig.places.run_units
        )

    async def act(self, _running: Running, action: health.Action) -> None:
        if self.faults:
            self.faults -= 1
            raise DiskError(28, "No space left")
        self.actions.append(action)

    async def feed(self) -> None:
        async for change in self.rig.systemd.changes():
            if isinstance(change, Resync):
                self.lives.look_at_all()
            else:
                self.lives.changed(change)

    def only(self) -> Running:
        (one,) = self.rig.node.applied.instances.values()
        return one

    def life(self) -> Life:
        found = self.lives.life(self.only().instance.id)
        assert found is not None
        return found


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


async def exits(watched: Watched, wanted: int) -> None:
    await until(lambda: watched.life().exits == wanted)


async def crash(watched: Watched, times: int) -> None:
    """Each time seen, as crashes with pauses between them are."""
    for _ in range(times):
        wanted = watched.life().exits + 1
        watched.rig.systemd.crash(WEB)
        await exits(watched, wanted)


async def test_a_crash_loop_after_a_change_is_counted_end_by_end_and_rolled_back_once(rig: Rig) -> None:
    await rig.run(assignment(1, Copy(b.an_app())))
    watched = Watched(rig)
    async with running(watched.feed()):
        watched.lives.begin(watched.only(), has_previous=True, changed=True)
        await until(lambda: watched.life().active_since_ms is not None)
        await crash(watched, 2)
        assert watched.actions == []
        await crash(watched, 1)
        assert [type(action) for action in watched.actions] == [RollBack]
        assert "3 times" in watched.actions[0].reason
        await crash(watched, 2)
        assert len(watched.actions) == 1
    await watched.lives.close()


async def test_an_agent_that_begins_says_nothing_of_a_copy_before_it_looked(rig: Rig) -> None:
    """Else each of its restarts would tell that every copy that runs is starting."""
    await rig.run(assignment(1, Copy(b.an_app())))
    watched = Watched(rig)
    watched.lives.begin(watched.only(), has_previous=False, changed=False)
    assert watched.states == []
    await until(lambda: bool(watched.states))
    assert watched.states[0].active_since_ms is not None
    await watched.lives.close()


async def test_a_copy_that_is_down_when_the_agent_begins_is_told_of_once_it_looked(rig: Rig) -> None:
    await rig.run(assignment(1, Copy(b.an_app())))
    await rig.systemd.stop(WEB, 1)
    watched = Watched(rig)
    watched.lives.begin(watched.only(), has_previous=False, changed=False)
    await until(lambda: bool(watched.states))
    assert watched.states[0].active_since_ms is None
    await watched.lives.close()


async def test_ends_between_two_looks_are_all_counted(rig: Rig) -> None:
    await rig.run(assignment(1, Copy(b.an_app())))
    watched = Watched(rig)
    watched.lives.begin(watched.only(), has_previous=True, changed=True)
    await until(lambda: watched.life().active_since_ms is not None)
    for _ in range(3):
        rig.systemd.crash(WEB)
    watched.lives.look_at_all()
    await until(lambda: bool(watched.actions))
    assert watched.life().exits == 3
    await watched.lives.close()


async def test_a_decision_that_could_not_be_kept_is_made_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skerry_agent.health.lives.RETRY_S", 0.01)
    await rig.run(assignment(1, Copy(b.an_app())))
    watched = Watched(rig)
    watched.faults = 2
    watched.lives.begin(watched.only(), has_previous=True, changed=True)
    await until(lambda: watched.life().active_since_ms is not None)
    for _ in range(3):
        rig.systemd.crash(WEB)
    watched.lives.look_at_all()
    await until(lambda: bool(watched.actions))
    assert watched.life().state is State.ROLLED_BACK
    await watched.lives.close()


async def test_a_fenced_copy_without_a_lease_does_not_grow_old(rig: Rig) -> None:
    check = Health(tcp=1, grace_ms=1, every_ms=60_000)
    await rig.run(assignment(1, Copy(b.fenced("db", health=check))))
    watched = Watched(rig)
    watched.lives.begin(watched.only(), has_previous=True, changed=True)
    watch = watched.lives._watched[watched.only().instance.id]
    begun = watch.life
    for _ in range(3):
        await until(lambda: not watch.look.is_set())
        watched.lives.look_at_all()
    assert watch.waits_for_lease
    assert (watched.actions, watch.life) == ([], begun)
    await watched.lives.close()


async def test_an_instance_that_goes_is_asked_no_more(rig: Rig) -> None:
    await rig.run(
        assignment(1, Copy(b.an_app(health=Health(exec=("/bin/true",), every_ms=1, timeout_ms=500))))
    )
    watched = Watched(rig)
    watched.lives.begin(watched.only(), has_previous=False, changed=True)
    await until(lambda: watched.life().state is State.HEALTHY)
    name = watched.only().instance.id
    task = watched.lives._watched[name].task
    assert task is not None
    watched.lives.end(name)
    await asyncio.wait([task])
    assert watched.lives.life(name) is None
    assert watched.lives.known() == frozenset()


async def test_instances_without_checks_cost_nothing_once_they_have_settled(rig: Rig) -> None:
    """Takes 1 s: so long a unit has to be up to count as settled."""
    await rig.run(assignment(1, *(Copy(b.an_app(f"app{number}")) for number in range(20))))
    watched = Watched(rig)
    for one in rig.node.applied.instances.values():
        watched.lives.begin(one, has_previous=True, changed=True)
    watches = tuple(watched.lives._watched.values())
    await until(lambda: all(watch.life.state is State.HEALTHY for watch in watches))
    said = len(watched.states)
    assert {health.next_tick_ms(watch.life) for watch in watches} == {None}
    assert len(watched.states) == said
    await watched.lives.close()
