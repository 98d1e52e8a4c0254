"""A disk that can fail at any step: the real file system, and what a power cut may undo of it.

A write ends with its own fsync, so its bytes are safe; names are safe once their folder was synced. A cut undoes the
last few changes of names that were not: they reach a disk in order. `dead` is a process that is no more: whatever it
still tries does nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from random import Random

from skerry_agent.disk.files import Files


class Dead(BaseException):
    """The process is gone. No Exception: nothing may take it for an error and go on."""


class Disk(Files):
    """The files of one machine. `steps_left`: the process dies at this step; `died` hears of it."""

    def __init__(self, random: Random, died: Callable[[], None]) -> None:
        self.dead = False
        self.steps_left: int | None = None
        self.steps = 0
        self._random = random
        self._died = died
        self._unsynced: list[tuple[Path, Callable[[], None]]] = []

    def _step(self) -> None:
        if self.dead:
            raise Dead
        self.steps += 1
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left <= 0:
                self.kill()
                self._died()
                raise Dead

    def kill(self) -> None:
        """Nothing is written from now on by the process that is there."""
        self.dead, self.steps_left = True, None

    def revive(self) -> None:
        """Another process begins."""
        self.dead = False

    def cut_power(self) -> None:
        """What was not synced may be undone, the last first."""
        for _, undo in reversed(self._unsynced[self._random.randint(0, len(self._unsynced)) :]):
            undo()
        self._unsynced.clear()

    def write(self, path: Path, data: bytes, mode: int) -> None:
        if self.steps_left == 1 and not self.dead:
            path.write_bytes(data[: self._random.randint(0, len(data))])  # torn
        self._step()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        try:
            os.fchmod(fd, mode)
            os.write(fd, data)
        finally:
            os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        self._step()
        if not stat.S_ISDIR(_kind(old)):
            self._unsynced.append((new.parent, _putting_back(new)))
        super().rename(old, new)

    def sync(self, folder: Path) -> None:
        self._step()
        self._unsynced = [one for one in self._unsynced if one[0] != folder]
        if not stat.S_ISDIR(_kind(folder)):
            super().sync(folder)  # only to fail as it does: nothing here is on a disk that loses anything

    def mkdir(self, folder: Path, mode: int) -> None:
        self._step()
        super().mkdir(folder, mode)

    def symlink(self, target: str, path: Path) -> None:
        self._step()
        super().symlink(target, path)

    def unlink(self, path: Path) -> None:
        self._step()
        if stat.S_ISLNK(_kind(path)) or stat.S_ISREG(_kind(path)):
            self._unsynced.append((path.parent, _putting_back(path)))
        super().unlink(path)

    def rmtree(self, folder: Path) -> None:
        self._step()
        super().rmtree(folder)


def _kind(path: Path) -> int:
    """Its mode; 0 where nothing is, or nothing can be."""
    try:
        return os.lstat(path).st_mode
    except OSError:
        return 0


def _content(path: Path) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - as above
        return file.read()


def _putting_back(path: Path) -> Callable[[], None]:
    """What makes the name what it is now."""
    mode = _kind(path)
    target = os.readlink(path) if stat.S_ISLNK(mode) else None  # noqa: PTH115 - far quicker than by Path
    data = _content(path) if stat.S_ISREG(mode) else None

    def undo() -> None:
        if not path.parent.is_dir():
            return
        path.unlink(missing_ok=True)
        if target is not None:
            path.symlink_to(target)
        elif data is not None:
            path.write_bytes(data)
            path.chmod(stat.S_IMODE(mode))

    return undo
