"""One turn of skerry-net on the first node, as a process of its own that can be killed at any step."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from skerry_agent.network.files import Places
from skerry_agent.network.keeper import Keeper
from skerry_agent.network.making import Machine
from skerry_agent.network.records import Status
from skerry_netplan.kernel.kernel import Kernel
from skerry_netplan.kernel.runners import Detached
from skerry_netplan.kernel.userspace import Userspace
from skerry_netplan.state import KeyRole
from tests.lab.network import rig
from tests.lab.network.rig import private, public

KEYS = ("link1", "direct1")


async def nobody_knows(endpoint: str) -> str | None:
    return None


def new_kernel() -> Kernel:
    """wireguard-go is nobody's child: it outlives the process that began it."""
    return Kernel(Userspace(Detached()), {public(key): private(key) for key in KEYS})


async def turn(folder: Path) -> Status:
    """By a skerry-net that begins now."""
    keys = {KeyRole.LINK: public(KEYS[0]), KeyRole.DIRECT: public(KEYS[1])}
    machine = Machine(keys, rig.LINK_PORT, rig.DIRECT_PORT, "boot", lambda: 1_000_000, nobody_knows)
    return await Keeper(Places(folder / "state", folder / "run"), machine, new_kernel()).turn()


if __name__ == "__main__":
    sys.stdin.readline()  # until somebody watches
    asyncio.run(turn(Path(sys.argv[1])))
