"""Puts back what is missing at boot. Loaded only where something is: see `boot`."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from .disk.disk import STATE, DiskError, StateDir
from .switch.places import Places
from .systemd.dbus import DbusSystemd
from .units.restore import restore


def log_to_journal() -> None:
    """Plain lines; the journal knows when and who."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # It warns of every server that closes a TLS connection first; `buslink` says what that means.
    logging.getLogger("asyncio").setLevel(logging.ERROR)


def put_back(state: Path = STATE) -> int:
    """Put back what is missing of the applied state. An exit code."""
    log_to_journal()
    disk = StateDir(state)
    if not state.is_dir():
        return 0
    try:
        with disk.locked():
            return asyncio.run(_put_back(disk, Places(state)))
    except DiskError as error:
        print(f"skerry-agent: {error}", file=sys.stderr)
        return 1


async def _put_back(disk: StateDir, places: Places) -> int:
    systemd = DbusSystemd()  # it connects when it is asked something, and mostly it is not
    try:
        done = await restore(disk, systemd, places.rendering)
    finally:
        systemd.close()
    if done.put_back or done.started:
        print(f"put back {done.put_back} files and links, started {', '.join(done.started) or 'nothing'}")
    for problem in done.problems:
        print(problem, file=sys.stderr)
    return 1 if done.problems else 0
