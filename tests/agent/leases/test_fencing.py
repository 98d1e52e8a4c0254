"""The agent and the second line: it runs before a lease opens, hears of every grant first, and is no condition."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from skerry_agent.disk.files import Files
from skerry_agent.fence import records
from skerry_agent.units.leaseunits import timer_name

from .. import builders as b
from ..noderig import Copy, Rig, assignment
from .line import DB, FENCED, LENGTH, Line

FENCE = "skerry-fence.service"


def listening(rig: Rig) -> int:
    """The end of the pipe that a fence reads."""
    folder = rig.places.run / "fence"
    folder.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / records.WAKE)
    return os.open(folder / records.WAKE, os.O_RDWR | os.O_NONBLOCK)


def recorded(rig: Rig) -> dict[int, int]:
    return records.read(str(rig.places.run / "fence"))


async def test_a_fence_hears_of_a_grant(rig: Rig, line: Line) -> None:
    pipe = listening(rig)
    one = await line.agent()
    assert await one.beat()
    assert recorded(rig) == {LENGTH: one.state.live[0].deadline_ms}
    assert os.read(pipe, 100)
    assert rig.node.conditions == {}
    rig.systemd.advance(1_000_000)
    assert await one.beat()
    assert recorded(rig) == {LENGTH: one.state.live[0].deadline_ms}
    assert not [call for call in rig.systemd.calls if FENCE in call], "one that runs is left alone"
    os.close(pipe)


async def test_without_a_fence_the_lease_opens_and_the_node_says_so(rig: Rig, line: Line) -> None:
    one = await line.agent()
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


async def test_a_grant_that_cannot_be_written_down_is_not_used(rig: Rig, line: Line) -> None:
    """The fence would kill what systemd lets live."""
    rig.places.run.mkdir(parents=True, exist_ok=True)
    (rig.places.run / "fence").write_text("no folder")
    one = await line.agent()
    assert await one.beat()
    assert not await rig.up(DB)
    assert one.state.live == ()
    (rig.places.run / "fence").unlink()
    rig.systemd.advance(1_000)
    assert await one.beat()
    assert await rig.up(DB)


async def test_the_fence_is_told_even_where_systemd_does_not_answer(rig: Rig, line: Line) -> None:
    """What runs on by the hub's word is not killed for systemd's silence."""
    pipe = listening(rig)
    one = await line.agent()
    assert await one.beat()
    before = recorded(rig)[LENGTH]
    rig.systemd.unreachable = True
    rig.systemd.advance(2_000_000)
    assert await one.beat()
    assert recorded(rig)[LENGTH] == before + 2_000
    os.close(pipe)


async def test_when_nothing_fenced_is_left_the_fence_goes(rig: Rig, line: Line) -> None:
    pipe = listening(rig)
    one = await line.agent()
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


class HalfWritten(Files):
    """A disk that fills up while `full`: what does not fit lies there in part."""

    full = False

    def write(self, path: Path, data: bytes, mode: int) -> None:
        super().write(path, data[: len(data) // 2] if self.full else data, mode)
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_run_folder_without_room_is_said_leaves_nothing_and_is_used_again(
    rig: Rig, line: Line
) -> None:
    """What was granted before ends in time, and nothing is longer than a grant that could be written down."""
    pipe, disk = listening(rig), HalfWritten()
    one = await line.agent(disk)
    assert await one.beat()
    assert await rig.up(DB)
    disk.full = True
    for _ in range(3):
        rig.systemd.advance(1_000_000)
        assert await one.beat()
    assert "No space left on device" in rig.node.conditions["disk"]
    assert not list(rig.places.run_units.glob(".tmp-*"))
    rig.systemd.advance(LENGTH * 1000)
    assert not await rig.up(DB)
    disk.full = False
    assert await one.beat()
    assert await rig.up(DB)
    assert rig.node.conditions == {}
    os.close(pipe)


@pytest.mark.parametrize("still", [True, False])
async def test_timers_that_cannot_be_written_leave_nothing_and_are_said(
    tmp_path: Path, rig: Rig, line: Line, still: bool
) -> None:
    """As above, where only systemd's folder takes no write; or its app is removed meanwhile."""
    pipe = listening(rig)
    rig.places.run_units.rename(tmp_path / "away")
    rig.places.run_units.write_text("no folder")
    one = await line.agent()
    assert await one.beat()
    assert not await rig.up(DB)
    assert "cannot" in rig.node.conditions["disk"]
    if still:
        rig.places.run_units.unlink()
        (tmp_path / "away").rename(rig.places.run_units)
        rig.systemd.advance(1_000)
        assert await one.beat()
        assert await rig.up(DB)
    else:
        first = rig.node.assignment
        assert first is not None
        await rig.run(assignment(2, since=(first,), removed=(FENCED.instance.id,)))
        await one.assigned()
    assert rig.node.conditions == {}
    os.close(pipe)


async def test_what_an_agent_that_died_did_not_come_to_shut_is_shut_by_the_next(rig: Rig, line: Line) -> None:
    """Also where other copies are fenced here, so that the fence goes on."""
    other = Copy(b.fenced("other", lost_after_ms=40_000))
    pipe, first = listening(rig), rig.node.assignment
    assert first is not None
    await rig.run(assignment(2, FENCED, other, since=(first,)))
    both = rig.node.assignment
    assert both is not None
    one = await line.agent()
    assert await one.beat()
    assert len(recorded(rig)) == 2
    await rig.run(assignment(3, FENCED, since=(both,), removed=(other.instance.id,)))
    rig.systemd.unreachable = True
    await one.assigned()  # as one that dies before systemd was asked: what is recorded is ahead
    rig.systemd.unreachable = False
    again = line.beating()
    await again.look()
    await again.assigned()
    assert list(recorded(rig)) == [LENGTH]
    assert [path.name for path in rig.places.run_units.glob("*.timer")] == [
        timer_name(LENGTH, recorded(rig)[LENGTH], opens=True)
    ]
    assert await rig.up(DB)
    os.close(pipe)


async def test_half_written_timers_of_agents_that_died_are_swept(rig: Rig, line: Line) -> None:
    pipe = listening(rig)
    left = rig.places.run_units / f".tmp-{timer_name(LENGTH, 5, opens=False)}"
    left.write_text("[Timer]\nOn")
    one = await line.agent()
    assert await one.beat()
    assert not left.exists()
    os.close(pipe)
