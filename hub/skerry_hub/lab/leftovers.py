"""What the kernel does not remove when a lab ends: cgroup folders, sockets, logs, data on disk. And what is left of
labs whose every process was killed.

A lab's lock says whether any of its own processes lives; only the holder of the lock may remove. The lock's file goes
last: who then gets it looks whether it is still the one on disk, and if not, tries again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import cgroups, pidfile
from .errors import LabError
from .layout import CGROUP, RUN, STORE, Paths

_PATIENCE = 10.0
_STEP = 0.02  # there is no event for a lock with a deadline


def lock(paths: Paths) -> int | None:
    """An open, locked file, or None if a lab of that name is up. Who only removes leftovers is waited for."""
    deadline = time.monotonic() + _PATIENCE
    while (found := try_lock(paths)) is None:
        outer = pidfile.find(paths.outer)
        if outer is not None:
            os.close(outer)
            return None
        if time.monotonic() > deadline:
            return None
        time.sleep(_STEP)
    return found


def make_folder(path: Path) -> None:
    """With its parents, which another lab may be removing because they are empty."""
    for _ in range(100):
        with suppress(FileNotFoundError):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            return
    raise LabError(f"cannot make {path}: something removes what it is in")


def try_lock(paths: Paths) -> int | None:
    """The same without waiting."""
    while True:
        make_folder(paths.run)
        try:
            file = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue  # removed in between by its former holder
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        if _still_there(file, paths.lock):
            return file
        os.close(file)


def _still_there(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def cgroup(paths: Paths) -> Path | None:
    """The lab's folder, as the host sees it."""
    root = cgroups.on_host()
    return root / CGROUP / paths.name if root else None


def remove(paths: Paths) -> None:
    """Call it with the lock held, from the host's namespaces."""
    clear(paths)
    with suppress(FileNotFoundError):
        paths.lock.unlink()
    for folder in (paths.run, RUN):
        _remove_if_empty(folder)


def clear(paths: Paths) -> None:
    """All but the lock."""
    folder = cgroup(paths)
    if folder is not None and folder.exists():
        cgroups.remove(folder)
        _remove_if_empty(folder.parent)
    if paths.store.exists():
        shutil.rmtree(paths.store)
    _remove_if_empty(STORE)
    for path in paths.run.iterdir():
        if path != paths.lock:
            path.unlink(missing_ok=True)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def labs() -> list[str]:
    """Names of which anything exists, up or left over."""
    known = {path.name for folder in (RUN, STORE) for path in _folders(folder)}
    root = cgroups.on_host()
    bare = _folders(root / CGROUP) if root else []
    # What runs in a control group without a file here is not ours: containers may share the tree, each with its labs.
    return sorted(known | {path.name for path in bare if not cgroups.populated(path)})


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def sweep() -> list[str]:
    """Removes what is left of labs that are no more, and names them."""
    return [name for name in labs() if swept(Paths(name))]


def swept(paths: Paths, wait: bool = False) -> bool:
    with locked(paths, wait) as held:
        if held:
            remove(paths)
        return held


@contextmanager
def locked(paths: Paths, wait: bool) -> Iterator[bool]:
    """Whether the lock was free; if so it is held meanwhile."""
    found = lock(paths) if wait else try_lock(paths)
    try:
        yield found is not None
    finally:
        if found is not None:
            os.close(found)
