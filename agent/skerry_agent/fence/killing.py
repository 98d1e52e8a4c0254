"""The control groups of fenced copies: which have processes, and killing all in one. Asks nobody but the kernel.

cgroup version 2 with cgroup.kill (Linux 5.14) kills a whole slice in one step. Where that file is missing (older
kernels, version 1), each process is killed by its number, again and again until none is left: one that makes others
faster than it is killed can outlive that for a while. Never raises.
"""

from __future__ import annotations

import os
import signal

from .records import listed
from .verdict import Slice, slice_of

# Version 2; version 2 beside version 1 ("hybrid"); version 1.
ROOTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")
PARENT = "skerry.slice"


def slices(roots: tuple[str, ...] = ROOTS) -> dict[Slice, list[str]]:
    """Each lease's slice that there is, with its folders."""
    found: dict[Slice, list[str]] = {}
    for root in roots:
        for name in listed(f"{root}/{PARENT}"):
            one = slice_of(name)
            if one is not None:
                found.setdefault(one, []).append(f"{root}/{PARENT}/{name}")
    return found


def alive(folder: str) -> bool:
    """Whether there is a process in it or below. In doubt there is."""
    events = _read(f"{folder}/cgroup.events")
    if events is not None:
        return "populated 1" in events
    return any(True for _ in pids(folder))


def kill(folder: str) -> None:
    """SIGKILL to all that is in it and below."""
    if _write(f"{folder}/cgroup.kill", b"1"):
        return
    for pid in pids(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            continue  # it is gone


def pids(folder: str) -> list[int]:
    """The processes in it and below; 0, one that cannot be seen from here, is left out."""
    found: list[int] = []
    for path, _, _ in os.walk(folder):
        text = _read(f"{path}/cgroup.procs") or ""
        found += [int(pid) for pid in text.split() if pid != "0"]
    return found


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - pathlib is not worth its memory here
            return file.read()
    except OSError:
        return None


def _write(path: str, data: bytes) -> bool:
    """Into a file that is there: none is made."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(file, data)
    except OSError:
        return False
    finally:
        os.close(file)
    return True
