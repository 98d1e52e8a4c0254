"""In a machine: what the agent or the hub would do with the network, by Skerry's own code.

accept      keeps the plan on standard input as the newest one that the node accepted
hub         makes its kernel what a hub's is to be: a pickled (State, {public key: private key}) on standard input
"""

from __future__ import annotations

import sys
from pathlib import Path

STATE = Path("/var/lib/skerry")


def accept(data: bytes) -> None:
    from skerry_agent.disk import sealed  # noqa: PLC0415 - a machine under emulation loads what it needs, no more
    from skerry_agent.disk.files import make_folder  # noqa: PLC0415
    from skerry_agent.network.records import WANTED  # noqa: PLC0415

    make_folder((STATE / WANTED).parent)
    sealed.write_twice(STATE / WANTED, data)


def hub(data: bytes) -> None:
    import asyncio  # noqa: PLC0415
    import pickle  # noqa: PLC0415

    from skerry_netplan.differ import diff  # noqa: PLC0415
    from skerry_netplan.kernel import forwarding  # noqa: PLC0415
    from skerry_netplan.kernel.inkernel import InKernel  # noqa: PLC0415
    from skerry_netplan.kernel.kernel import Kernel  # noqa: PLC0415
    from skerry_netplan.state import HUB_LINK  # noqa: PLC0415

    wanted, keys = pickle.loads(data)
    kernel = Kernel(InKernel(), keys, (HUB_LINK,))

    async def done() -> None:
        forwarding.switch_on()
        await kernel.carry_out(diff(wanted, await kernel.read()))
        left = diff(wanted, await kernel.read())
        assert not left, left

    asyncio.run(done())


if __name__ == "__main__":
    {"accept": accept, "hub": hub}[sys.argv[1]](sys.stdin.buffer.read())
