"""A disk that can fail at any step: the real file system, and what a power cut may undo of it.

A write ends with its own fsync, so its bytes are safe; names are safe once their folder was synced. A cut undoes the
last few changes of names that were not: they reach a disk in order. `dead` is a process that is no more: whatever it
still tries does nothing.
"""

from __future__ import annotations

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
        super().write(path, data, mode)

    def rename(self, old: Path, new: Path) -> None:
        self._step()
        if old.is_dir() and not old.is_symlink():
            super().rename(old, new)
            return
        self._unsynced.append((new.parent, _putting_back(new)))
        super().rename(old, new)

    def sync(self, folder: Path) -> None:
        self._step()
        self._unsynced = [one for one in self._unsynced if one[0] != folder]
        super().sync(folder)

    def mkdir(self, folder: Path, mode: int) -> None:
        self._step()
        super().mkdir(folder, mode)

    def symlink(self, target: str, path: Path) -> None:
        self._step()
        super().symlink(target, path)

    def unlink(self, path: Path) -> None:
        self._step()
        if path.is_symlink() or path.is_file():
            self._unsynced.append((path.parent, _putting_back(path)))
        super().unlink(path)

    def rmtree(self, folder: Path) -> None:
        self._step()
        super().rmtree(folder)


def _putting_back(path: Path) -> Callable[[], None]:
    """What makes the name what it is now."""
    target = str(path.readlink()) if path.is_symlink() else None
    data = path.read_bytes() if target is None and path.is_file() else None
    mode = path.stat().st_mode & 0o7777 if data is not None else 0

    def undo() -> None:
        if not path.parent.is_dir():
            return
        path.unlink(missing_ok=True)
        if target is not None:
            path.symlink_to(target)
        elif data is not None:
            path.write_bytes(data)
            path.chmod(mode)

    return undo
