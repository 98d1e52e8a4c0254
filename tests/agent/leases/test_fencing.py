"""The agent and the second line: it runs before a lease opens, hears of every grant first, and is no condition."""

from __future__ import annotations

import os
from pathlib import Path

from skerry_agent.fence import records
from tests.natsrig import started

from ..noderig import Rig, assignment
from .conftest import FENCED
from .test_beating import DB, LENGTH, Counting, beating

FENCE = "skerry-fence.service"


def listening(rig: Rig) -> int:
    """The end of the pipe that a fence reads."""
    folder = rig.places.run / "fence"
    folder.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / records.WAKE)
    return os.open(folder / records.WAKE, os.O_RDWR | os.O_NONBLOCK)


def recorded(rig: Rig) -> dict[int, int]:
    return records.read(str(rig.places.run / "fence"))


async def test_a_fence_hears_of_a_grant(tmp_path: Path, rig: Rig) -> None:
    pipe = listening(rig)
    async with started(tmp_path) as nats, nats.node() as node:
        hub = Counting(node.id)
        async with nats.hub(hub):
            one = beating(rig, node.bus)
            await one.assigned()
            assert await one.beat()
            assert recorded(rig) == {LENGTH: one.state.live[0].deadline_ms}
            assert os.read(pipe, 100)
            assert rig.node.conditions == {}
            rig.systemd.advance(1_000_000)
            assert await one.beat()
            assert recorded(rig) == {LENGTH: one.state.live[0].deadline_ms}
            assert not [call for call in rig.systemd.calls if FENCE in call], "one that runs is left alone"
    os.close(pipe)


async def test_without_a_fence_the_lease_opens_and_the_node_says_so(tmp_path: Path, rig: Rig) -> None:
    async with started(tmp_path) as nats, nats.node() as node:
        hub = Counting(node.id)
        async with nats.hub(hub):
            one = beating(rig, node.bus)
            await one.assigned()
            assert await one.beat()
            assert await rig.up(DB)
            asked = [call.split()[1] for call in rig.systemd.calls if call.startswith(("start", "restart"))]
            assert asked.index(FENCE) < asked.index(next(name for name in asked if name.endswith(".timer")))
            assert "skerry-fence.service does not run" in rig.node.conditions["fence"]
            pipe = listening(rig)
            rig.systemd.advance(1_000_000)
            assert await one.beat()
            assert rig.node.conditions == {}
    os.close(pipe)


async def test_a_grant_that_cannot_be_written_down_is_not_used(tmp_path: Path, rig: Rig) -> None:
    """The fence would kill what systemd lets live."""
    rig.places.run.mkdir(parents=True, exist_ok=True)
    (rig.places.run / "fence").write_text("no folder")
    async with started(tmp_path) as nats, nats.node() as node:
        hub = Counting(node.id)
        async with nats.hub(hub):
            one = beating(rig, node.bus)
            await one.assigned()
            assert await one.beat()
            assert not await rig.up(DB)
            assert one.state.live == ()
            (rig.places.run / "fence").unlink()
            rig.systemd.advance(1_000)
            assert await one.beat()
            assert await rig.up(DB)


async def test_the_fence_is_told_even_where_systemd_does_not_answer(tmp_path: Path, rig: Rig) -> None:
    """What runs on by the hub's word is not killed for systemd's silence."""
    pipe = listening(rig)
    async with started(tmp_path) as nats, nats.node() as node:
        hub = Counting(node.id)
        async with nats.hub(hub):
            one = beating(rig, node.bus)
            await one.assigned()
            assert await one.beat()
            before = recorded(rig)[LENGTH]
            rig.systemd.unreachable = True
            rig.systemd.advance(2_000_000)
            assert await one.beat()
            assert recorded(rig)[LENGTH] == before + 2_000
    os.close(pipe)


async def test_when_nothing_fenced_is_left_the_fence_goes(tmp_path: Path, rig: Rig) -> None:
    pipe = listening(rig)
    async with started(tmp_path) as nats, nats.node() as node:
        hub = Counting(node.id)
        async with nats.hub(hub):
            one = beating(rig, node.bus)
            await one.assigned()
            assert await one.beat()
            first, before = rig.node.assignment, recorded(rig)
            assert first is not None
            await rig.run(assignment(2, since=(first,), removed=(FENCED.instance.id,)))
            rig.systemd.unreachable = True
            await one.assigned()
            assert one.state.claims() == ()
            assert recorded(rig) == before, "nobody knows what runs"
            rig.systemd.unreachable = False
            assert f"stop {FENCE}" not in rig.systemd.calls
            await one.assigned()
            assert recorded(rig) == {}
            assert f"stop {FENCE}" in rig.systemd.calls
    os.close(pipe)
