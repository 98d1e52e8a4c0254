"""A machine's share of the mesh, read from the kernel and changed there, one operation after the other.

`read` and `carry_out` belong together: what one writes the other finds. An operation that fails ends the run; the next
`read` shows how far it came, and the differ goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby

from pyroute2 import NetlinkError

from ..differ import (
    AddAddress,
    AddSpace,
    AddTunnel,
    Operation,
    RemoveAddress,
    RemovePeer,
    RemoveRoute,
    RemoveSpace,
    RemoveTunnel,
    SetPeer,
    SetRoute,
    SetRules,
    SetTunnel,
)  # fmt: skip
from ..state import DIRECT, HUB_LINK, LINK, State, Tunnel
from . import nft
from .links import (
    ALIAS,
    Connection,
    LinkSeen,
    connected,
    read_links,
    read_routes,
    remove_route,
    set_route,
    set_sysctl,
)
from .spaces import BY_NOBODY, NO_DAD, add_spaces, read_spaces, remove_space
from .tunnels import Backend

TUNNELS = (LINK, DIRECT, HUB_LINK)


class KernelError(RuntimeError):
    """Something cannot be read or changed; says what and why."""


@dataclass
class Kernel:
    """`keys`: public key → private key, of every key that a tunnel may have. One run at a time."""

    backend: Backend
    keys: Mapping[bytes, bytes] = field(default_factory=dict)
    kept: nft.Kept = field(default_factory=nft.Kept)

    async def read(self) -> State:
        """All that is Skerry's. Raises KernelError, TunnelError."""
        with _told("read the network"):
            async with connected() as ip:
                links = await read_links(ip)
                names = {link.index: link.name for link in links.values()}
                routes = await read_routes(ip, names)
                spaces = await read_spaces(ip)
        tunnels = {name: await self._tunnel(links[name]) for name in TUNNELS if name in links}
        return State(tunnels, spaces, routes, await nft.read_rules(self.kept))

    async def carry_out(self, operations: Iterable[Operation]) -> None:
        """In order. Raises KernelError, TunnelError, NftError at the first that fails."""
        async with connected() as ip:
            for kind, some in groupby(operations, type):
                with _told(f"do {kind.__name__}"):
                    await self._do(ip, tuple(some))

    async def _tunnel(self, link: LinkSeen) -> Tunnel:
        if not link.ours and (link.up or link.addresses):
            then = f"rename it, or remove it: ip link del {link.name}"
            raise KernelError(f"there is an interface called {link.name} that is not Skerry's ({then})")
        seen = await self.backend.read(link.name)
        mtu = link.mtu if link.up and link.ours else 0
        return Tunnel(
            seen.key, seen.port, mtu, link.addresses, {key: one.peer for key, one in seen.peers.items()}
        )

    async def _do(self, ip: Connection, some: Sequence[Operation]) -> None:
        """Operations of one kind: namespaces are made together."""
        first = some[0]
        if isinstance(first, AddSpace):
            await add_spaces(ip, [one.space for one in some if isinstance(one, AddSpace)])
            return
        for one in some:
            await self._do_one(ip, one)

    async def _do_one(self, ip: Connection, operation: Operation) -> None:
        match operation:
            case SetRules(rules):
                self.kept = await nft.set_rules(rules)
            case AddTunnel(name, tunnel):
                await self.backend.create(name)
                await self._set_tunnel(ip, name, tunnel)
                for address in sorted(tunnel.addresses):
                    await _address(ip, "add", name, address)
            case SetTunnel(name, key, port, mtu):
                await self._set_tunnel(ip, name, Tunnel(key, port, mtu))
            case RemoveTunnel(name):
                await self.backend.remove(name)
            case AddAddress(name, address):
                await _address(ip, "add", name, address)
            case RemoveAddress(name, address):
                await _address(ip, "del", name, address)
            case SetPeer(name, peer, begins):
                await self.backend.set_peer(name, peer, peer.endpoint if begins else None)
            case RemovePeer(name, key):
                await self.backend.remove_peer(name, key)
            case RemoveSpace(_, space):
                await remove_space(ip, space)
            case SetRoute(route):
                await set_route(ip, route, await _index(ip, route.device))
            case RemoveRoute(route):
                await remove_route(ip, route, await _index(ip, route.device))

    async def _set_tunnel(self, ip: Connection, name: str, tunnel: Tunnel) -> None:
        private = self.keys.get(tunnel.key)
        if private is None:
            raise KernelError(f"cannot make {name}: its private key is not here")
        await self.backend.configure(name, private, tunnel.port)
        index = await _index(ip, name)
        set_sysctl(f"ipv6/conf/{name}/addr_gen_mode", BY_NOBODY)
        await ip.link("set", index=index, ifalias=ALIAS, mtu=tunnel.mtu, state="up")


async def _address(ip: Connection, verb: str, name: str, address: str) -> None:
    text, _, bits = address.partition("/")
    await ip.addr(verb, index=await _index(ip, name), address=text, prefixlen=int(bits), flags=NO_DAD)


async def _index(ip: Connection, name: str | None) -> int | None:
    if name is None:
        return None
    found = await ip.link_lookup(ifname=name)
    if not found:
        raise KernelError(f"there is no interface {name}")
    return int(found[0])


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except (NetlinkError, OSError) as error:
        raise KernelError(f"cannot {what}: {error}") from error
