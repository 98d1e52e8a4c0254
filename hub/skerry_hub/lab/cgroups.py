"""The lab's folders in the cgroup2 tree: who is in them, killing all in one at once, removing them.

On the host the tree is wherever cgroup2 is mounted (it may be beside cgroup v1); in the keeper's namespaces it is
/sys/fs/cgroup, and its root is the lab's own folder. Must never touch a folder outside of the lab's.
"""

from __future__ import annotations

import select
from contextlib import suppress
from pathlib import Path

from .errors import LabError

INSIDE = Path("/sys/fs/cgroup")


def on_host(mounts: str | None = None) -> Path | None:
    """Where the host has mounted cgroup2."""
    for line in (mounts if mounts is not None else Path("/proc/mounts").read_text("utf-8")).splitlines():
        _, target, fstype, *_ = line.split(" ")
        if fstype == "cgroup2":
            return Path(target)
    return None


def join(folder: Path) -> None:
    """Moves the calling process."""
    (folder / "cgroup.procs").write_text("0", "utf-8")


def pids(folder: Path) -> list[int]:
    """The processes in this very folder, as numbered in the caller's own PID namespace; lowest first."""
    with suppress(OSError):
        return sorted(int(pid) for pid in (folder / "cgroup.procs").read_text("ascii").split() if pid != "0")
    return []


def init(folder: Path) -> int | None:
    """Of the processes in this very folder, the one that is the first of its PID namespace.

    Not simply the lowest: numbers begin again once they are used up, and an init has children for moments.
    """
    for pid in pids(folder):
        with suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
            if any(line.split()[-1] == "1" for line in status.splitlines() if line.startswith("NSpid:")):
                return pid
    return None


def delegate(folder: Path) -> None:
    """Hands down what controllers there are: none where the host has them in cgroup v1."""
    for name in (folder / "cgroup.controllers").read_text("ascii").split():
        with suppress(OSError):
            (folder / "cgroup.subtree_control").write_text(f"+{name}", "ascii")


def freeze(folder: Path, frozen: bool) -> None:
    (folder / "cgroup.freeze").write_text(str(int(frozen)), "ascii")


def populated(folder: Path) -> bool:
    try:
        return "populated 1" in (folder / "cgroup.events").read_text("ascii")
    except OSError:
        return False


def kill(folder: Path, seconds: float = 10.0) -> None:
    """SIGKILL to all that is in or below, at once; returns when they are gone."""
    if not folder.exists():
        return
    with (folder / "cgroup.events").open("rb") as events, suppress(FileNotFoundError):
        (folder / "cgroup.kill").write_text("1", "ascii")
        poller = select.poll()
        poller.register(events, select.POLLPRI)
        while populated(folder):
            events.seek(0)
            events.read()
            if populated(folder) and not poller.poll(seconds * 1000):
                raise LabError(f"cannot end what runs in {folder}: it is still there after {seconds:g} s")


def remove(folder: Path) -> None:
    """Kills and removes, leaves first. What is not there is fine."""
    kill(folder)
    below = [path for path in folder.rglob("*") if path.is_dir()] if folder.exists() else []
    for path in [*sorted(below, key=lambda path: len(path.parts), reverse=True), folder]:
        with suppress(FileNotFoundError):
            path.rmdir()
