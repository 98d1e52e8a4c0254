"""Interfaces, addresses and routes by rtnetlink(7), through one connection for as long as a reading or a change takes.

A connection that lives on leaks memory in the library, so there is none that does. Skerry's routes are known by their
protocol number, its interfaces by their alias: whatever lacks it is somebody else's and is never touched.
"""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any

from ..state import Route
from .netlink import AsyncIPRoute

ALIAS = "Skerry"
KIND = "wireguard"
PROTOCOL = 207  # rt_protos of iproute2 has no such number; bird, zebra and the others have theirs
GATEWAY6 = "fe80::1"
# Less than that of a route which somebody else has to the same network, and which stays beside it.
_METRIC = 207
_OF_GUESTS = {"veth", "tun"}
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
_UNREACHABLE = 7
_MAIN = 254
_MTU_LOCKED = 1 << 2  # RTAX_MTU: without it the kernel heeds an MTU for what the machine sends itself alone
_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR
Connection = Any


@dataclass(frozen=True)
class LinkSeen:
    """An interface as it is now. `ours`: it has Skerry's alias. `pair`: of a pair, the index of the other end.

    `kind`: of one that is not a piece of hardware. `bridge`: the index of the one that it is in.
    """

    index: int
    name: str
    up: bool
    mtu: int
    ours: bool
    addresses: frozenset[str] = frozenset()
    pair: int = 0
    kind: str | None = None
    bridge: int = 0


def outside(links: Iterable[LinkSeen]) -> tuple[str, ...]:
    """The addresses of interfaces that are not Skerry's, in the order in which those were made; not the loopback's."""
    others = (link for link in links if link.up and not link.ours and link.name != "lo")
    found = (text for link in sorted(others, key=lambda link: link.index) for text in sorted(link.addresses))
    return tuple(text.partition("/")[0] for text in found)


def networks4(links: Iterable[LinkSeen]) -> tuple[IPv4Network, ...]:
    """The IPv4 networks that the machine is in by these interfaces."""
    texts = (text for link in links if link.up and not link.ours for text in sorted(link.addresses))
    return tuple(IPv4Network(text, strict=False) for text in texts if ":" not in text)


def inner(links: Collection[LinkSeen]) -> tuple[str, ...]:
    """Bridges that lead to nothing but containers and virtual machines of this one. A name that no rule could have is
    left out."""
    others = {one.bridge for one in links if one.kind not in _OF_GUESTS}
    return tuple(
        sorted(
            one.name
            for one in links
            if one.kind == "bridge" and one.index not in others and _PLAIN.fullmatch(one.name)
        )
    )


@asynccontextmanager
async def connected(sock: socket.socket | None = None) -> AsyncIterator[Connection]:
    """A connection to the caller's namespace, or to the one that `sock` was opened in."""
    async with AsyncIPRoute(fileno=sock.detach()) if sock else AsyncIPRoute() as ip:
        yield ip


async def dump(of: Callable[..., Any], **words: object) -> list[Any]:
    """All there is of a kind. Read again where something came or went meanwhile, because then some may be left out."""
    while True:
        found = [one async for one in await of("dump", **words)]
        if not any(one["header"]["flags"] & _INTERRUPTED for one in found):
            return found


async def read_links(ip: Connection) -> dict[str, LinkSeen]:
    """All interfaces, with their addresses of global scope."""
    addresses: dict[int, set[str]] = {}
    for one in await dump(ip.addr):
        if one["scope"] == 0:
            addresses.setdefault(one["index"], set()).add(f"{one.get_attr('IFA_ADDRESS')}/{one['prefixlen']}")
    found = {}
    for one in await dump(ip.link):
        name, index = one.get_attr("IFLA_IFNAME"), one["index"]
        ours = one.get_attr("IFLA_IFALIAS") == ALIAS
        up = one["state"] == "up"
        found[name] = LinkSeen(
            index,
            name,
            up,
            one.get_attr("IFLA_MTU"),
            ours,
            frozenset(addresses.get(index, ())),
            one.get_attr("IFLA_LINK") or 0,
            info.get_attr("IFLA_INFO_KIND") if (info := one.get_attr("IFLA_LINKINFO")) else None,
            one.get_attr("IFLA_MASTER") or 0,
        )
    return found


async def read_routes(ip: Connection, names: dict[int, str]) -> frozenset[Route]:
    """Skerry's own routes; `names`: index → interface."""
    found = set()
    for family in (socket.AF_INET6, socket.AF_INET):
        for one in await dump(ip.route, family=family):
            if one["proto"] == PROTOCOL and one["table"] == _MAIN:
                found.add(_route(one, names))
    return frozenset(found)


def _route(one: Any, names: dict[int, str]) -> Route:
    network = f"{one.get_attr('RTA_DST') or '::'}/{one['dst_len']}"
    device = None if one["type"] == _UNREACHABLE else names.get(one.get_attr("RTA_OIF"))
    metrics = one.get_attr("RTA_METRICS")
    mtu = metrics.get_attr("RTAX_MTU") if metrics else None
    return Route(str(ip_network(network)), device, one.get_attr("RTA_PREFSRC"), mtu)


async def set_route(ip: Connection, route: Route, index: int | None) -> None:
    """Adds it or takes the place of the one to the same network, in one step."""
    family = socket.AF_INET6 if ":" in route.network else socket.AF_INET
    words: dict[str, object] = {
        "dst": route.network,
        "proto": PROTOCOL,
        "family": family,
        "priority": _METRIC,
    }
    if index is None:
        words |= {"type": "unreachable"}
    else:
        words |= {"oif": index} | ({"prefsrc": route.source} if route.source else {})
        words |= {"scope": 253} if family == socket.AF_INET else {}
        words |= {"metrics": {"mtu": route.mtu, "lock": _MTU_LOCKED}} if route.mtu else {}
    await ip.route("replace", **words)


async def remove_route(ip: Connection, route: Route, index: int | None) -> None:
    """Nothing where it has gone with its interface."""
    family = socket.AF_INET6 if ":" in route.network else socket.AF_INET
    words: dict[str, object] = {
        "dst": route.network,
        "proto": PROTOCOL,
        "family": family,
        "priority": _METRIC,
    }
    words |= {"type": "unreachable"} if index is None else {"oif": index}
    await ip.route("del", **words)


def set_sysctl(path: str, value: str) -> None:
    """/proc/sys/net/PATH, where it differs."""
    file = Path("/proc/sys/net") / path
    if file.read_text(encoding="ascii").strip() != value:
        file.write_text(value, encoding="ascii")
