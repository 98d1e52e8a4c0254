"""The hub's own end of every tunnel: an interface whose peers are the region's nodes, kept as the store has them.

What is there survives the hub: a hub that starts finds it and changes what differs, so that no node notices. Each turn
reads the kernel, compares, and carries out the difference; one that fails is said, and made again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from skerry_netplan.differ import Operation, RemovePeer, diff
from skerry_netplan.firewall import HUB_TABLE
from skerry_netplan.hubside import HubHere, lower_hub
from skerry_netplan.kernel import forwarding
from skerry_netplan.kernel.kernel import Kernel, KernelError
from skerry_netplan.kernel.nft import NftError
from skerry_netplan.kernel.tunnels import Backend, PeerSeen, TunnelError
from skerry_netplan.lower import MTU, MTU_LEAST
from skerry_netplan.state import HUB_LINK
from skerry_protocol.ids import NodeId
from skerry_protocol.network import Port

from ..clock import monotonic_ms
from ..model import Mesh, NodeRow
from ..store import StoreError
from .region import Door, region

LOG = logging.getLogger(__name__)
LOOK_S = 30.0
LAST_WORDS_S = 2.0
FORWARDED = "network.forwarded"
Members = Callable[[], Awaitable[tuple[Mesh, Sequence[NodeRow]]]]


class Tunnel:
    """`trouble` says why nodes may not reach the hub. Order of calls: `start`, then `run` beside everything else.

    `services`: the hub's own ports that nodes reach inside; `data`: its folder; `narrow`: see `HubHere`.
    """

    def __init__(
        self,
        door: Door,
        private_key: bytes,
        services: tuple[Port, ...],
        members: Members,
        backend: Backend,
        data: Path,
        narrow: Callable[[], Mapping[NodeId, int]] = dict,
    ) -> None:
        self.trouble: str | None = None
        self._door = door
        self._services = services
        self._members, self._narrow = members, narrow
        self._kernel = Kernel(backend, {door.key: private_key}, (HUB_LINK,), HUB_TABLE)
        self._forwarded = data / FORWARDED
        self._going: dict[bytes, float] = {}
        self._wanted = asyncio.Event()

    @property
    def backend(self) -> str:
        """For people: "kernel" or "wireguard-go"."""
        return self._kernel.backend.name

    def look(self) -> None:
        """Nodes changed."""
        self._wanted.set()

    async def start(self) -> None:
        """The interface is there when this returns, or there is `trouble`."""
        await self._turn()

    async def run(self) -> None:
        """Until cancelled. What is there stays."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wanted.wait()
            self._wanted.clear()
            await self._turn()

    async def endpoints(self) -> dict[bytes, str]:
        """Where each peer was last, by its public key. Raises TunnelError."""
        seen = await self.peers()
        return {key: one.peer.endpoint for key, one in seen.items() if one.peer.endpoint is not None}

    async def peers(self) -> Mapping[bytes, PeerSeen]:
        """Each peer as it is now, by its public key. Raises TunnelError."""
        return (await self._kernel.backend.read(HUB_LINK)).peers

    async def _turn(self) -> None:
        try:
            await self._made_so()
        except (KernelError, TunnelError, NftError, StoreError) as error:
            if self.trouble != str(error):
                LOG.warning("%s", error)
            self.trouble = str(error)
        else:
            self.trouble = None

    async def _made_so(self) -> None:
        mesh, nodes = await self._members()
        there = await self._kernel.read()
        here = HubHere(
            self._door.key,
            self._door.port,
            MTU,
            self._services,
            self._forward(),
            self._kernel.inner,
            narrow=_sane(self._narrow()),
        )
        wanted = lower_hub(region(mesh, self._door, nodes), here)
        operations = diff(wanted, there)
        await self._kernel.carry_out(self._not_at_once(operations))

    def _not_at_once(self, operations: Sequence[Operation]) -> list[Operation]:
        """Without what ends a tunnel that was wanted a moment ago: what its node is told last goes through it."""
        now = monotonic_ms() / 1000
        gone = {one.key for one in operations if isinstance(one, RemovePeer)}
        self._going = {key: self._going.get(key, now) for key in gone}
        due = {key for key, since in self._going.items() if now - since >= LAST_WORDS_S}
        if gone - due:
            asyncio.get_running_loop().call_later(LAST_WORDS_S, self.look)
        return [one for one in operations if not isinstance(one, RemovePeer) or one.key in due]

    def _forward(self) -> bool:
        """Whether the machine forwarded anything before Skerry had it do so: what it did not stays shut."""
        try:
            return forwarding.switched_on(self._forwarded)
        except OSError as error:
            raise KernelError(f"cannot forward what nodes send each other: {error}") from error


def _sane(narrow: Mapping[NodeId, int]) -> dict[NodeId, int]:
    """What a node says may harm none but itself, and that by no more than IPv6 allows."""
    return {node: max(MTU_LEAST, mtu) for node, mtu in narrow.items() if mtu < MTU}
