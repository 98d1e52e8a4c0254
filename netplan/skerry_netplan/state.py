"""A machine's share of the mesh as its kernel has it, or is to have it: interfaces, routes, namespaces, rules.

The same words for what is wanted (`lower`) and for what was read (the edges that observe), so that `differ` compares
like with like. Only what is Skerry's is ever in it. Networks and addresses are text in the form of RFC 5952.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from skerry_protocol.ids import InstanceId

LINK, DIRECT, HUB_LINK = "skerry", "skerry-direct", "skerry-hub"
"""The interfaces: a node's tunnel to its hub, its tunnels to other nodes, a hub's tunnels to its nodes."""


class KeyRole(StrEnum):
    """What each of the machine's own keys is for. Private keys are never in a state."""

    LINK = "link"
    DIRECT = "direct"
    HUB = "hub"


@dataclass(frozen=True)
class Peer:
    """`endpoint` is where to begin (`address:port`); the kernel follows the peer from there, so it is not compared.

    `keepalive`: seconds between packets that keep a NAT's mapping open; 0: none.
    """

    key: bytes
    allowed: frozenset[str] = frozenset()
    endpoint: str | None = None
    keepalive: int = 0


@dataclass(frozen=True)
class Tunnel:
    """A WireGuard interface. `key`: its public key; `port`: UDP; `mtu`: bytes; `addresses`: /128, of the machine."""

    key: bytes
    port: int
    mtu: int
    addresses: frozenset[str] = frozenset()
    peers: Mapping[bytes, Peer] = field(default_factory=dict)


@dataclass(frozen=True)
class Space:
    """An instance's network namespace, and a pair of interfaces that leads into it; `device` is the machine's end."""

    name: str
    device: str
    address: str
    address4: str | None = None
    mtu: int = 1420


@dataclass(frozen=True)
class Route:
    """`device` None: what has no instance is refused at once, rather than sent around.

    `mtu`: bytes, where the way takes less than its interface; who sends more through it is told so. None: as much.
    """

    network: str
    device: str | None = None
    source: str | None = None
    mtu: int | None = None


@dataclass(frozen=True)
class Rules:
    """The table of the firewall as nft(8) reads it. Tables are compared by `mark`, which is in the table as well."""

    mark: str = ""
    text: str = field(default="", compare=False)


@dataclass(frozen=True)
class State:
    """All of it."""

    tunnels: Mapping[str, Tunnel] = field(default_factory=dict)
    spaces: Mapping[InstanceId, Space] = field(default_factory=dict)
    routes: frozenset[Route] = frozenset()
    rules: Rules = Rules()


def device_of(instance: InstanceId) -> str:
    """The machine's end of an instance's pair; at most 15 characters, and the id's tail is random."""
    return f"sk-{instance.rpartition('-')[2][:12]}"
