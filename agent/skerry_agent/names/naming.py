"""The names of the plan in use: answered on the node's own address, for its instances and for the machine itself.

Instances find the resolver by the resolv.conf that is made for them, systemd-resolved by being told. Without that the
machine's own lookup is left as it is.
"""

from __future__ import annotations

import socket
from collections.abc import Collection
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

from skerry_netplan.address import node_address
from skerry_netplan.names import zone
from skerry_netplan.state import LINK
from skerry_protocol.ids import NodeName
from skerry_protocol.network import Network

from . import resolvconf, upstream
from .listening import Listening
from .rebinding import Rebinding
from .resolved import Resolved
from .server import PORT, Resolver

RESOLV_CONF = "resolv.conf"


class Naming:
    """`folder`: where the instances' resolv.conf is. `machines`: the machine's own. `listening`: see `Resolver`."""

    def __init__(
        self,
        folder: Path,
        machines: Path = upstream.RESOLV_CONF,
        resolved: Resolved | None = None,
        port: int = PORT,
        asks: int = upstream.PORT,
        listening: Listening | None = None,
    ) -> None:
        self._file = folder / RESOLV_CONF
        self._machines = upstream.Machines(machines)
        self._rebinding = Rebinding(self._file, machines)
        self._resolved = resolved or Resolved()
        self._address = ""
        self.resolver = Resolver(
            lambda: upstream.servers(self._machines.text(), (self._address,)), port, asks, listening
        )

    async def follow(self, plan: Network, own: NodeName, ailing: Collection[IPv6Address]) -> str:
        """Answers by this plan from now on. What could not be done, and why: the rest is."""
        self.resolver.use(zone(plan, own), ailing)
        self._address = str(node_address(IPv6Network(plan.node)))
        troubles = [self._written(), await self._listening(), await self._told()]
        troubles.append(await self._rebinding.look(plan.addresses))
        return "; ".join(filter(None, troubles))

    async def close(self) -> None:
        """Nobody is answered any more."""
        await self.resolver.close()

    def _written(self) -> str:
        try:
            resolvconf.write(self._file, resolvconf.text(self._address, self._machines.text()))
        except OSError as error:
            return f"cannot write {self._file}: {error.strerror}"
        return ""

    async def _listening(self) -> str:
        try:
            await self.resolver.listen(self._address)
        except OSError as error:
            return str(error.strerror)
        return ""

    async def _told(self) -> str:
        try:
            index = socket.if_nametoindex(LINK)
        except OSError:
            return ""  # gone again: the next turn
        return await self._resolved.tell(LINK, index, self._address)
