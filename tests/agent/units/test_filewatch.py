"""The real inotify, on a folder of the test's own."""

import asyncio
import os
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from skerry_agent.units.filewatch import watch

MOST_QUEUED = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


class Heard:
    """How often a change was heard, and a way to wait for the next."""

    def __init__(self) -> None:
        self.count = 0
        self._event = asyncio.Event()

    def changed(self) -> None:
        self.count += 1
        self._event.set()

    async def next(self) -> None:
        async with asyncio.timeout(5):
            await self._event.wait()
        self._event.clear()


@asynccontextmanager
async def watching(path: Path) -> AsyncIterator[Heard]:
    heard = Heard()
    task = asyncio.create_task(watch(path.parent, lambda name: name == path.name, heard.changed))
    await heard.next()
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_each_way_of_changing_it_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "skerry" / "policy.toml"
    async with watching(path) as heard:  # also where the folder was not there
        path.write_text("allow = []")
        await heard.next()
        other = path.with_name("policy.toml.new")
        other.write_text("")
        other.rename(path)  # as editors do
        await heard.next()
        path.unlink()
        await heard.next()


async def test_another_file_in_the_folder_is_none_of_its_business(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    async with watching(path) as heard:
        (tmp_path / "other").write_text("x")
        path.write_text("x")
        await heard.next()
        assert heard.count == 2


async def test_a_folder_that_goes_ends_the_watch_so_that_it_is_begun_again(tmp_path: Path) -> None:
    heard = Heard()
    task = asyncio.create_task(watch(tmp_path / "gone", lambda _: True, heard.changed))
    await heard.next()
    (tmp_path / "gone").rmdir()
    with pytest.raises(OSError, match="is gone"):
        await asyncio.wait_for(task, 5)


async def test_what_cannot_be_watched_is_looked_at_each_time_it_is_tried(tmp_path: Path) -> None:
    heard = Heard()
    with no_more_files():
        for tries in (1, 2):
            with pytest.raises(OSError, match="no inotify"):
                await watch(tmp_path, lambda _: True, heard.changed)
            assert heard.count == tries


@contextmanager
def no_more_files() -> Iterator[None]:
    """This process can open none."""
    limits, spare = resource.getrlimit(resource.RLIMIT_NOFILE), list[int]()
    last = max(int(fd.name) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink())
    resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1, limits[1]))
    try:
        with suppress(OSError):
            while True:
                spare.append(os.dup(0))
        yield
    finally:
        for fd in spare:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_more_changes_than_the_kernel_keeps_are_heard_by_all(tmp_path: Path) -> None:
    path = tmp_path / "one" / "policy.toml"
    async with watching(path) as heard, watching(tmp_path / "two" / "other") as other:
        heard.count = other.count = 0
        for _ in range(MOST_QUEUED // 2 + 1):
            path.with_name("many").touch()
            path.with_name("many").unlink()
        path.write_text("lost")
        await heard.next()
        await other.next()
        assert (heard.count, other.count) == (1, 1)


def inotifies() -> int:
    """How many inotify instances this process has."""
    fds = [fd for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    return sum("inotify" in str(fd.readlink()) for fd in fds)


async def test_all_watches_share_one_instance_and_each_hears_its_own(tmp_path: Path) -> None:
    before, heard = inotifies(), asyncio.Queue[str]()
    names = ("one", "two", "two")
    tasks = [
        asyncio.create_task(watch(tmp_path / name, lambda _: True, partial(heard.put_nowait, f"{name} {at}")))
        for at, name in enumerate(names)
    ]
    assert {await heard.get() for _ in names} == {"one 0", "two 1", "two 2"}
    assert inotifies() == before + 1
    (tmp_path / "two" / "file").write_text("x")
    assert {await heard.get() for _ in range(2)} == {"two 1", "two 2"}
    for task in tasks[:2]:
        task.cancel()
    await asyncio.gather(*tasks[:2], return_exceptions=True)
    (tmp_path / "two" / "file").unlink()
    assert await heard.get() == "two 2", "the other's end is not its own"
    tasks[2].cancel()
    await asyncio.gather(tasks[2], return_exceptions=True)
    assert inotifies() == before
