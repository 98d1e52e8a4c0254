"""What `skerry-agent run` and `skerry-agent restore` do. Apart from `cli`, so that the running agent loads no more than
it needs to stay in sync: no command line library, no joining.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from .daemon import Agent, until_signal
from .disk.disk import STATE, DiskError, StateDir
from .joining.identity import Identity, IdentityError, load
from .switch.node import Places
from .systemd.dbus import DbusSystemd
from .units.restore import restore

EXIT_CONFIG = 78  # sysexits.h: EX_CONFIG


def log_to_journal() -> None:
    """Plain lines; the journal knows when and who."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # It warns of every server that closes a TLS connection first; `buslink` says what that means.
    logging.getLogger("asyncio").setLevel(logging.ERROR)


def run(state: Path = STATE) -> int:
    """Run the agent until SIGTERM. An exit code."""
    log_to_journal()
    try:
        identity = load(state)
        if identity is None:
            print(
                "skerry-agent: this machine has not joined a mesh ('skerry-agent join TOKEN')",
                file=sys.stderr,
            )
            return EXIT_CONFIG
        with StateDir(state).locked():
            # Never closed: that would wait for threads of downloads, which may sit in a slow read. `cli` leaves without
            # them; what they write is as good after that as after a power cut.
            asyncio.Runner().run(_run(Places(state), identity))
    except (DiskError, IdentityError) as error:
        print(f"skerry-agent: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(places: Places, identity: Identity) -> None:
    systemd = DbusSystemd()
    systemd.open()
    try:
        await until_signal(Agent(places, identity, systemd))
    finally:
        systemd.close()


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
    systemd = DbusSystemd()
    systemd.open()
    try:
        done = await restore(disk, systemd, places.rendering)
    finally:
        systemd.close()
    if done.put_back or done.started:
        print(f"put back {done.put_back} files and links, started {', '.join(done.started) or 'nothing'}")
    for problem in done.problems:
        print(problem, file=sys.stderr)
    return 1 if done.problems else 0
