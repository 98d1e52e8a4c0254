"""Hears when the machine's admin changes the policy or touches a unit file, so that it is heeded at once.

By inotify(7) on the folder: editors put a new file in the place of the old one, which ends a watch on the file itself.
Must never read what changed: each switch does.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from ..disk.files import make_folder
from ..libc import LIBC

CLOSE_WRITE, MOVED_FROM, MOVED_TO, DELETE, IGNORED = 0x8, 0x40, 0x80, 0x200, 0x8000
HEAD = struct.Struct("iIII")
READ_MAX = 64 << 10


async def watch(folder: Path, concerns: Callable[[str], bool], changed: Callable[[], None]) -> None:
    """Calls `changed` at each change of a file in `folder` whose name `concerns` somebody, until cancelled.

    Raises OSError where it cannot be watched.
    """
    make_folder(folder)
    fd = _watching(folder)
    ready = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(fd, ready.set)
    try:
        changed()  # before there was a watch, anything may have been
        while True:
            await ready.wait()
            ready.clear()
            heard = list(events(_read(fd)))
            if any(concerns(name) for _, name in heard):
                changed()
            if any(mask & IGNORED for mask, _ in heard):
                changed()
                raise OSError(f"{folder} is gone")
    finally:
        loop.remove_reader(fd)
        os.close(fd)


def _watching(folder: Path) -> int:
    fd = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "cannot watch a folder: no inotify")
    mask = CLOSE_WRITE | MOVED_FROM | MOVED_TO | DELETE
    if LIBC.inotify_add_watch(fd, os.fsencode(folder), mask) < 0:
        error = OSError(ctypes.get_errno(), f"cannot watch {folder}")
        os.close(fd)
        raise error
    return int(fd)


def _read(fd: int) -> bytes:
    """The loop may say twice that there is something."""
    try:
        return os.read(fd, READ_MAX)
    except BlockingIOError:
        return b""


def events(data: bytes) -> Iterator[tuple[int, str]]:
    """(mask, file name) of each event in what was read."""
    at = 0
    while at + HEAD.size <= len(data):
        _, mask, _, length = HEAD.unpack_from(data, at)
        at += HEAD.size
        yield mask, os.fsdecode(data[at : at + length].rstrip(b"\0"))
        at += length
