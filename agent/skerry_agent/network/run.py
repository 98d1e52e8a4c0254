"""What `skerry-agent net` does: skerry-net, until SIGTERM. Tunnels, namespaces and rules stay when it ends: an upgrade
is not noticed.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from skerry_netplan.kernel import forwarding
from skerry_netplan.kernel.backends import choose
from skerry_netplan.kernel.kernel import Kernel
from skerry_netplan.kernel.namespaces import HELD
from skerry_netplan.kernel.runners import Systemd
from skerry_netplan.state import DIRECT, LINK, KeyRole
from skerry_protocol.messages import Hint

from ..disk.files import STATE, DiskError, make_folder
from ..fence.kernel import boottime_ms
from ..names.listening import Listening
from ..names.naming import Naming
from ..notify import keep, kept, notify
from ..trim import keep_small
from ..units.filewatch import watch
from .changes import Changes
from .clockfile import ClockFile
from .files import Places
from .keeper import AGAIN_S, Keeper
from .keys import port_of, private_keys, public_key
from .making import Machine
from .records import FOLDER, FORWARDED, HINT, WANTED, Plan, ailing
from .seeking import resolve

RUN = Path("/run/skerry")
NAMES = "names"  # what systemd keeps the sockets by, on which names are asked for
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def main(state: Path = STATE, run: Path = RUN) -> int:
    """An exit code."""
    try:
        asyncio.Runner().run(_run(Places(state, run)))
    except (DiskError, OSError) as error:
        say(f"cannot keep the network: {error}")
        return 1
    return 0


def say(text: str) -> None:
    """To the journal."""
    print(f"skerry-net: {text}", file=sys.stderr, flush=True)


async def _run(places: Places) -> None:
    loop = asyncio.get_running_loop()
    keep_small(loop)
    keys = private_keys(places.state)
    make_folder(places.run / "net")
    kernel = Kernel(
        await choose(Systemd()),
        {public_key(key): key for key in keys.values()},
        (LINK, DIRECT),
        folder=HELD,
    )
    clock = ClockFile(places.state, places.run)
    if done := clock.begin():
        say(done)
    listening = Listening(kept(), lambda sockets: keep(NAMES, sockets))
    naming = Naming(places.run / "net", listening=listening)

    async def follow(plan: Plan, hint: Hint) -> str:
        return await naming.follow(plan.network, plan.node, ailing(hint))

    keeper = Keeper(places, _machine(keys, places), kernel, say, follow)
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, keeper.end)
    changes = Changes(keeper.look)
    changes.open()
    watching = asyncio.create_task(_watched(places.state / FOLDER, keeper.look))
    ticking = asyncio.create_task(clock.run())
    await keeper.run(lambda: notify("READY=1"))
    notify("STOPPING=1")
    changes.close()
    ticking.cancel()
    clock.keep()
    await naming.close()
    watching.cancel()


def _machine(keys: dict[KeyRole, bytes], places: Places) -> Machine:
    public = {role: public_key(key) for role, key in keys.items()}
    boot = _BOOT_ID.read_text("ascii").strip()
    link, direct = port_of(public[KeyRole.LINK]), port_of(public[KeyRole.DIRECT])
    before = forwarding.was_on(places.run / FORWARDED)
    return Machine(public, link, direct, boot, boottime_ms, resolve, before)


async def _watched(folder: Path, changed: Callable[[], None]) -> None:
    """Where the folder cannot be watched, or is gone, each turn looks at the files anyway."""
    names = {Path(one).name for one in (WANTED, HINT)}
    while True:
        try:
            await watch(folder, names.__contains__, changed)
        except (DiskError, OSError):
            await asyncio.sleep(AGAIN_S)
