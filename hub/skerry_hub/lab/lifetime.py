"""How a lab begins and ends, as seen from outside: starting the outer process, ending it, and removing what is left."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

import msgspec

from . import leftovers, pidfile
from .errors import LabError
from .layout import Config, Paths

_END = 10.0


def start(config: Config, tied: int = -1) -> None:
    """Returns when the keeper answers: the internet is there, machines are off. `tied`: see outer."""
    paths = Paths(config.name)
    lock = leftovers.lock(paths)
    if lock is None:
        raise LabError(f"cannot start the lab '{config.name}': it is up ('{paths.command} down' ends it)")
    try:
        leftovers.clear(paths)
        leftovers.make_folder(paths.store)
        fault = _spawn(config, lock, tied)
        if fault:
            raise LabError(f"cannot start the lab '{config.name}': {fault}")
    finally:
        os.close(lock)


def _spawn(config: Config, lock: int, tied: int) -> str:
    """The lab's own processes hold the lock from here on. Gives why it failed, or nothing."""
    paths = Paths(config.name)
    read, write = os.pipe()
    argv = [sys.executable, "-m", "skerry_hub.lab.outer", str(lock), str(write), str(tied)]
    with paths.log.open("ab") as log, open(read, "rb") as ready:  # noqa: PTH123 - a file by its number
        try:
            subprocess.run(
                [*argv, msgspec.json.encode(config).decode()],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", check=False,
                pass_fds=[lock, write, *([tied] if tied >= 0 else [])],
            )  # fmt: skip
        finally:
            os.close(write)
        said = ready.read().decode()
    if said == "ok":
        return ""
    return said or f"its processes ended: {paths.log.read_text('utf-8', 'replace')[-500:]}"


def end(paths: Paths) -> bool:
    """Ends the lab if it is up, and removes what is left of it; says whether there was anything."""
    there = paths.name in leftovers.labs()
    outer = pidfile.find(paths.outer)
    if outer is not None:
        _end_process(outer)
    if there and not leftovers.swept(paths, wait=True):
        raise LabError(f"cannot end the lab '{paths.name}': a process still holds {paths.lock}")
    return there


def _end_process(pidfd: int) -> None:
    """SIGTERM makes outer tidy; if it is stuck, SIGKILL ends it and everything below."""
    try:
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signum)
            if select.select([pidfd], [], [], _END)[0]:
                return
    finally:
        os.close(pidfd)
