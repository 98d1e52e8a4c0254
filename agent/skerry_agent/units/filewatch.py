"""Hears when the machine's admin changes the policy or touches a unit file, so that it is heeded at once.

By inotify(7) on the folder: editors put a new file in the place of the old one, which ends a watch on the file itself.
Must never read what changed: each switch does.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, groupby
from pathlib import Path
from typing import ClassVar
from weakref import WeakKeyDictionary

from ..disk.files import make_folder
from ..libc import LIBC

CLOSE_WRITE, MOVED_FROM, MOVED_TO, DELETE, OVERFLOW, IGNORED = 0x8, 0x40, 0x80, 0x200, 0x4000, 0x8000
NO_WATCH = -1  # what an overflow names
HEAD = struct.Struct("iIII")
READ_MAX = 64 << 10
Watch = Callable[[Path, Callable[[str], bool], Callable[[], None]], Awaitable[None]]
"""(folder, whom a file name concerns, what is called) as `watch`."""


async def watch(folder: Path, concerns: Callable[[str], bool], changed: Callable[[], None]) -> None:
    """Calls `changed` at each change of a file in `folder` whose name `concerns` somebody, until cancelled.

    Calls it when the watch begins, too, and when that fails: before there was a watch, anything may have been. Raises
    OSError where it cannot be watched: whoever begins again now and then has looked now and then.
    """
    make_folder(folder)
    watches = Watches.of(asyncio.get_running_loop())
    with ExitStack() as stack:
        try:
            heard = stack.enter_context(watches.on(folder))
        finally:
            changed()
        while True:
            some = await heard.get()
            if any(concerns(name) or mask & OVERFLOW for mask, name in some):
                changed()
            if any(mask & IGNORED for mask, _ in some):
                changed()
                raise OSError(f"{folder} is gone")


Heard = asyncio.Queue[list[tuple[int, str]]]


class Watches:
    """All watches of an event loop, with one inotify instance: a machine has few (128 for a user, by default)."""

    _all: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Watches]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._fd = -1
        self._heard: dict[int, list[Heard]] = {}

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Watches:
        """The loop's."""
        return cls._all.setdefault(loop, cls())

    @contextmanager
    def on(self, folder: Path) -> Iterator[Heard]:
        """What happens in the folder, while this lasts: (mask, file name) of each event. Raises OSError."""
        number, heard = self._add(folder), Heard()
        self._heard.setdefault(number, []).append(heard)
        try:
            yield heard
        finally:
            self._remove(number, heard)

    def _add(self, folder: Path) -> int:
        if self._fd < 0:
            self._fd = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            if self._fd < 0:
                raise OSError(ctypes.get_errno(), "cannot watch a folder: no inotify")
            asyncio.get_running_loop().add_reader(self._fd, self._read)
        mask = CLOSE_WRITE | MOVED_FROM | MOVED_TO | DELETE
        number = LIBC.inotify_add_watch(self._fd, os.fsencode(folder), mask)
        if number < 0:
            error = OSError(ctypes.get_errno(), f"cannot watch {folder}")
            self._close_unused()
            raise error
        return int(number)

    def _remove(self, number: int, heard: Heard) -> None:
        self._heard[number].remove(heard)
        if not self._heard[number]:
            del self._heard[number]
            LIBC.inotify_rm_watch(self._fd, number)  # of a folder that is gone it went by itself
        self._close_unused()

    def _close_unused(self) -> None:
        if not self._heard and self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _read(self) -> None:
        """The loop may say twice that there is something."""
        try:
            data = os.read(self._fd, READ_MAX)
        except BlockingIOError:
            return
        for number, some in groupby(events(data), key=lambda event: event[0]):
            found = [(mask, name) for _, mask, name in some]
            for heard in self._of(number):
                heard.put_nowait(found)

    def _of(self, number: int) -> list[Heard]:
        """Whoever is to hear of it: all, where the kernel had more to tell than it keeps."""
        if number == NO_WATCH:
            return list(chain.from_iterable(self._heard.values()))
        return self._heard.get(number, [])


def events(data: bytes) -> Iterator[tuple[int, int, str]]:
    """(watch, mask, file name) of each event in what was read."""
    at = 0
    while at + HEAD.size <= len(data):
        number, mask, _, length = HEAD.unpack_from(data, at)
        at += HEAD.size
        yield number, mask, os.fsdecode(data[at : at + length].rstrip(b"\0"))
        at += length
