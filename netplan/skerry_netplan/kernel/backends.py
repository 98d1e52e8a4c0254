"""Which WireGuard this machine has: the kernel's own, or wireguard-go. Chosen once, when a process starts."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..state import DIRECT, HUB_LINK, LINK
from .links import KIND, connected
from .netlink import NetlinkError
from .runners import answers
from .tunnels import Backend
from .userspace import SOCKETS, Runner, Userspace

_TRIAL = "skerry-trial"


async def choose(runner: Runner, sockets: Path = SOCKETS) -> Backend:
    """`runner`: of wireguard-go, which stays where it has tunnels already: they would end. Raises nothing."""
    if any(answers(sockets, name) for name in (LINK, DIRECT, HUB_LINK)) or not await in_kernel():
        return Userspace(runner, sockets)
    from .inkernel import InKernel  # noqa: PLC0415 - costs memory where it is not used

    return InKernel()


async def in_kernel() -> bool:
    """Whether it makes an interface of this kind, for which it loads its module by itself."""
    with suppress(NetlinkError, OSError):
        async with connected() as ip:
            for index in await ip.link_lookup(ifname=_TRIAL):
                await ip.link("del", index=index)
            await ip.link("add", ifname=_TRIAL, kind=KIND)
            for index in await ip.link_lookup(ifname=_TRIAL):
                await ip.link("del", index=index)
            return True
    return False
