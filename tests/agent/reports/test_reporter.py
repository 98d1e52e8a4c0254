"""What is reported: kept on disk before it is sent, sent again as it was, told again when the hub lost it."""

from __future__ import annotations

from pathlib import Path

from skerry_agent.disk.disk import StateDir
from skerry_agent.reports.reporter import RECORD, Reporter, Told
from skerry_protocol.messages import StepName, StepState, Version
from tests.natsrig import Hub, running, started, until

from .. import builders as b
from ..noderig import FullDisk

WEB = b.an_instance(b.an_app())


def disk_at(folder: Path, files: FullDisk | None = None) -> StateDir:
    disk = StateDir(folder / "state", files or FullDisk())
    disk.prepare()
    return disk


def step(reporter: Reporter, name: StepName, state: StepState = StepState.DONE) -> None:
    reporter.step(WEB, 1, Version(1, 1, 1), name, state)


async def test_everything_arrives_once_and_again_when_it_is_to_be_told_again(tmp_path: Path) -> None:
    hub = Hub()
    reporter = Reporter(disk_at(tmp_path))
    step(reporter, StepName.RECEIVED)
    step(reporter, StepName.STARTED)
    async with started(tmp_path) as rig, rig.hub(hub), rig.node() as node, running(reporter.run(node.bus)):
        _, first = await hub.next_report()
        assert [entry.step and entry.step.step for entry in first.entries] == ["received", "started"]
        reporter.retell()
        _, again = await hub.next_report()
        assert [entry.step for entry in again.entries] == [entry.step for entry in first.entries]
        assert min(entry.seq for entry in again.entries) > max(entry.seq for entry in first.entries)
        step(reporter, StepName.STARTED)  # no news
        reporter.event("x", "one more")
        _, last = await hub.next_report()
        assert [entry.event and entry.event.code for entry in last.entries] == ["x"]


async def test_a_number_that_is_not_on_disk_is_not_sent(tmp_path: Path) -> None:
    """Takes 0.5 s: a real server."""
    hub, files = Hub(), FullDisk()
    heard: dict[str, str | None] = {}
    reporter = Reporter(disk_at(tmp_path, files), heard.__setitem__)
    reporter.event("a", "first")
    assert reporter.save()
    files.left = 0
    async with started(tmp_path) as rig, rig.hub(hub), rig.node() as node, running(reporter.run(node.bus)):
        await until(lambda: heard["reports"] is not None)
        assert "No space left" in str(heard["reports"])
        assert hub.reports.empty()
        files.left = None
        reporter.event("b", "second")
        _, batch = await hub.next_report()
        assert {entry.event and entry.event.code for entry in batch.entries} == {"a", "b"}
        assert heard["reports"] is None


async def test_a_lost_book_goes_on_above_every_number_that_was_given(tmp_path: Path) -> None:
    disk = disk_at(tmp_path)
    reporter = Reporter(disk)
    for state in (StepState.RUNNING, StepState.DONE):
        step(reporter, StepName.STARTED, state)
    reporter.save()
    told = disk.saved(RECORD, Told)
    assert isinstance(told, Told)
    for name in (RECORD, f"{RECORD}.twin"):
        (disk.root / name).write_bytes(b"rubbish")
    again = Reporter(disk)
    step(again, StepName.STARTED, StepState.FAILED)
    assert again.book.seq > told.book.seq
    (lost,) = again._told.box.events
    assert lost.code == "outbox-damaged"


async def test_a_restart_goes_on_with_what_was_not_sent(tmp_path: Path) -> None:
    disk = disk_at(tmp_path)
    first = Reporter(disk)
    step(first, StepName.STARTED)
    first.save()
    hub = Hub()
    reporter = Reporter(disk)
    reporter.wake()
    async with started(tmp_path) as rig, rig.hub(hub), rig.node() as node, running(reporter.run(node.bus)):
        _, batch = await hub.next_report()
        assert [entry.step and entry.step.step for entry in batch.entries] == ["started"]
        await until(lambda: reporter._told.box.empty)


def test_what_a_boot_started_is_news_with_its_own_moment(tmp_path: Path) -> None:
    disk = disk_at(tmp_path)
    first = Reporter(disk, boot="boot-1")
    for name in (StepName.STORAGE, StepName.STARTED, StepName.HEALTHY):
        step(first, name)
    first.save()
    same = Reporter(disk, boot="boot-1")
    assert (same.book, same._told.box.events) == (first.book, ())
    booted = Reporter(disk, boot="boot-2")
    assert [event.code for event in booted._told.box.events] == ["booted"]
    for name in (StepName.STORAGE, StepName.STARTED, StepName.HEALTHY):
        step(booted, name)
    fresh = [one.step for one in booted.newest() if one.seq > first.book.seq]
    assert fresh == [StepName.STARTED, StepName.HEALTHY]


def test_who_knows_of_no_former_boot_has_seen_none(tmp_path: Path) -> None:
    disk = disk_at(tmp_path)
    old = Reporter(disk)
    step(old, StepName.STARTED)
    old.save()
    assert Reporter(disk, boot="boot-1")._told.box.events == ()
    assert Reporter(disk_at(tmp_path / "new"), boot="boot-1")._told.box.events == ()
