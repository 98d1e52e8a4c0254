"""What `skerry-agent run` does. Apart from `cli`, so that the running agent loads no more than it needs to stay in
sync: no command line library, no joining.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from .daemon import Agent, until_signal
from .disk.disk import STATE, DiskError, StateDir
from .joining.identity import Identity, IdentityError, load
from .restoring import log_to_journal
from .switch.places import Places
from .systemd.dbus import DbusSystemd
from .trim import keep_small

EXIT_CONFIG = 78  # sysexits.h: EX_CONFIG


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
    keep_small(asyncio.get_running_loop())
    try:
        await until_signal(Agent(places, identity, systemd))
    finally:
        systemd.close()
