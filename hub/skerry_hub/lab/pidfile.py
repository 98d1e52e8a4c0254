"""A file that names one process for good: its number, and when it started, which no later process shares."""

from __future__ import annotations

import os
import select
from pathlib import Path


def write(path: Path) -> None:
    """Names the caller."""
    path.write_text(f"{os.getpid()} {_start_time(os.getpid())}", "ascii")


def find(path: Path) -> int | None:
    """A pidfd of the process, or None if it is no more."""
    try:
        number, started = path.read_text("ascii").split()
        pidfd = os.pidfd_open(int(number))
    except (OSError, ValueError):
        return None
    # Read after the pidfd was opened: if the times are the same, so was the process.
    if _start_time(int(number)) == started and not _ended(pidfd):
        return pidfd
    os.close(pidfd)
    return None


def _ended(pidfd: int) -> bool:
    """Also if nobody has waited for it yet."""
    return bool(select.select([pidfd], [], [], 0)[0])


def _start_time(pid: int) -> str:
    """In ticks since boot, see proc(5)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]
    except OSError:
        return ""
