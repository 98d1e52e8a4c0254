"""A machine's share of the mesh, read from the kernel and changed there, one operation after the other.

`read` and `carry_out` belong together: what one writes the other finds. An operation that fails takes nothing with it
but what needs it: without tunnels a machine still has its instances' namespaces. The next `read` shows how far it came,
and the differ goes on from there.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from itertools import groupby

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
from ..firewall import TABLE
from ..state import DIRECT, HUB_LINK, LINK, Route, State, Tunnel
from . import namespaces, nft
from .links import (
    ALIAS,
    Connection,
    LinkSeen,
    connected,
    inner,
    networks4,
    outside,
    read_links,
    read_routes,
    remove_route,
    set_route,
    set_sysctl,
)
from .netlink import NetlinkError
from .spaces import BY_NOBODY, NO_DAD, add_spaces, read_spaces, remove_space
from .tunnels import Backend, TunnelError, TunnelSeen

TUNNELS = (LINK, DIRECT, HUB_LINK)


class KernelError(RuntimeError):
    """Something cannot be read or changed; says what and why."""


@dataclass
class Kernel:
    """`keys`: public key → private key, of every key that a tunnel may have.

    `tunnels`: those that are this one's, with the routes that lead there; a node's has the namespaces too. `table`: its
    rules; `folder`: where its namespaces are. So a hub and a node on one machine take nothing from each other.

    One run at a time.
    """

    backend: Backend
    keys: Mapping[bytes, bytes] = field(default_factory=dict)
    tunnels: tuple[str, ...] = TUNNELS
    table: str = TABLE
    folder: namespaces.Folder = namespaces.PLAIN
    kept: nft.Kept = field(default_factory=nft.Kept)
    seen: dict[str, TunnelSeen] = field(default_factory=dict)
    """The tunnels when they were read last."""
    outside: tuple[str, ...] = ()
    """The machine's other addresses of global scope then."""
    networks4: tuple[IPv4Network, ...] = ()
    """The IPv4 networks that it was in by those."""
    inner: tuple[str, ...] = ()
    """The bridges then that lead to nothing but guests of its own."""
    _shut: dict[str, str] = field(default_factory=dict)
    """Interfaces that are there and cannot be used: why."""

    async def read(self) -> State:
        """All that is Skerry's and can be read. Raises KernelError."""
        with _told("read the network"):
            async with connected() as ip:
                links = await read_links(ip)
                names = {link.index: link.name for link in links.values()}
                routes = frozenset(one for one in await read_routes(ip, names) if self._is_own(one))
                spaces = await read_spaces(ip, self.folder) if LINK in self.tunnels else {}
        self.outside, self.networks4 = outside(links.values()), networks4(links.values())
        self.inner = inner(links.values())
        self.seen, self._shut, tunnels = {}, {}, {}
        for name in self.tunnels:
            try:
                if name in links:
                    tunnels[name] = await self._tunnel(links[name])
            except (KernelError, TunnelError) as error:
                self._shut[name] = str(error)
        return State(tunnels, spaces, routes, await nft.read_rules(self.kept, self.table))

    async def carry_out(self, operations: Iterable[Operation]) -> None:
        """In order, as far as it goes. Raises KernelError, which says all that failed."""
        shut, said = dict(self._shut), list[str]()
        with _told("change the network"):
            async with connected() as ip:
                for some in _together(operations):
                    said += [reason async for reason in self._tried(ip, some, shut)]
        if said:
            raise KernelError("; ".join(dict.fromkeys(said)))

    def _is_own(self, route: Route) -> bool:
        return route.device in self.tunnels if route.device in TUNNELS else LINK in self.tunnels

    async def _tunnel(self, link: LinkSeen) -> Tunnel:
        if not link.ours and (link.up or link.addresses):
            then = f"rename it, or remove it: ip link del {link.name}"
            raise KernelError(f"there is an interface called {link.name} that is not Skerry's ({then})")
        seen = self.seen[link.name] = await self.backend.read(link.name)
        mtu = link.mtu if link.up and link.ours else 0
        return Tunnel(
            seen.key, seen.port, mtu, link.addresses, {key: one.peer for key, one in seen.peers.items()}
        )

    async def _tried(
        self, ip: Connection, some: Sequence[Operation], shut: dict[str, str]
    ) -> AsyncIterator[str]:
        """What failed, and why. `shut`: interfaces that nothing can be done with from then on."""
        name = _needs(some[0])
        if name is not None and name in shut:
            yield shut[name]
            return
        try:
            await self._some(ip, some)
        except (KernelError, TunnelError, nft.NftError) as error:
            if len(some) == 1:
                yield str(error)
                shut |= {name: str(error)} if name else {}
                return
            for one in some:
                async for reason in self._tried(ip, (one,), shut):
                    yield reason

    async def _some(self, ip: Connection, some: Sequence[Operation]) -> None:
        """One, or several of a kind that are done together."""
        with _told(f"do {type(some[0]).__name__}"):
            if spaces := [one.space for one in some if isinstance(one, AddSpace)]:
                await add_spaces(ip, self.folder, spaces)
                return
            for one in some:
                await self._do_one(ip, one)

    async def _do_one(self, ip: Connection, operation: Operation) -> None:
        match operation:
            case SetRules(rules):
                self.kept = await nft.set_rules(rules, self.table)
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
                await remove_space(ip, self.folder, space)
            case SetRoute(route):
                await set_route(ip, route, _index(route.device))
            case RemoveRoute(route):
                await remove_route(ip, route, _index(route.device))

    async def _set_tunnel(self, ip: Connection, name: str, tunnel: Tunnel) -> None:
        private = self.keys.get(tunnel.key)
        if private is None:
            raise KernelError(f"cannot make {name}: its private key is not here")
        await self.backend.configure(name, private, tunnel.port)
        index = _index(name)
        set_sysctl(f"ipv6/conf/{name}/addr_gen_mode", BY_NOBODY)
        await ip.link("set", index=index, ifalias=ALIAS, mtu=tunnel.mtu, state="up")


def _together(operations: Iterable[Operation]) -> Iterator[tuple[Operation, ...]]:
    """Namespaces are made all in one go."""
    for kind, group in groupby(operations, type):
        some = tuple(group)
        yield from (some,) if kind is AddSpace else ((one,) for one in some)


def _needs(operation: Operation) -> str | None:
    """The interface that it is about."""
    match operation:
        case AddTunnel(name) | SetTunnel(name) | RemoveTunnel(name):
            return name
        case AddAddress(name) | RemoveAddress(name) | SetPeer(name) | RemovePeer(name):
            return name
        case AddSpace(_, space):
            return space.device
        case SetRoute(route) | RemoveRoute(route):
            return route.device
    return None


async def _address(ip: Connection, verb: str, name: str, address: str) -> None:
    text, _, bits = address.partition("/")
    await ip.addr(verb, index=_index(name), address=text, prefixlen=int(bits), flags=NO_DAD)


def _index(name: str | None) -> int | None:
    """By a call of its own: it is needed for every route, and by netlink would take as long as that."""
    if name is None:
        return None
    try:
        return socket.if_nametoindex(name)
    except OSError:
        raise KernelError(f"there is no interface {name}") from None


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except (NetlinkError, OSError) as error:
        raise KernelError(f"cannot {what}: {error}") from error
