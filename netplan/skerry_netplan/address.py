"""The addresses of a mesh: a region's network, a node's /80, an instance's /128, from one of two sources.

Owns the arithmetic and nothing else: which node has which number is stored elsewhere. A region's /56 holds 16,777,216
nodes. Node 0 is the hub.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property, lru_cache
from ipaddress import IPv6Address, IPv6Network
from typing import Protocol

from skerry_protocol.ids import InstanceId, NodeId

ULA = 0xFD << 120
MESH_BITS, REGION_BITS, NODE_BITS, ALL_BITS = 48, 56, 80, 128
ROUTED_BITS = range(16, 73)  # a routed prefix leaves room for 256 nodes at least
GLOBAL_ID_BYTES = 5
HUB_NUMBER = 0
CACHE = 1 << 16  # a hub asks for the same thousands in each run of its loops, and one takes 30 µs
OWN = 2  # of a node's addresses: the subnet-router anycast address (RFC 4291 section 2.6.1), and itself
GLOBAL = IPv6Network("2000::/3")
"""What the internet routes (RFC 4291 section 2.4)."""


class NoAddress(ValueError):
    """A number that the network has no room for, or a prefix that cannot be used."""


class AddressSource(Protocol):
    """Where a region's addresses come from."""

    @property
    def whole(self) -> IPv6Network:
        """All that belongs to the mesh, as far as its other regions are known by it."""
        ...

    @property
    def region(self) -> IPv6Network:
        """The region's own network: every node's /80 is in it."""
        ...


@dataclass(frozen=True)
class UniqueLocal:
    """A mesh's own /48 of unique local addresses (RFC 4193), which needs nobody's permission; the region has a /56."""

    global_id: bytes
    number: int

    @cached_property
    def whole(self) -> IPv6Network:
        return mesh_network(self.global_id)

    @cached_property
    def region(self) -> IPv6Network:
        return region_network(self.whole, self.number)


@dataclass(frozen=True)
class Routed:
    """A prefix that the operator owns: its addresses are nobody else's in any of their networks."""

    prefix: IPv6Network

    def __post_init__(self) -> None:
        if self.prefix.prefixlen not in ROUTED_BITS:
            raise NoAddress(
                f"{self.prefix} cannot be used: a routed prefix has {ROUTED_BITS[0]} to {ROUTED_BITS[-1]} bits"
            )
        if not self.prefix.subnet_of(GLOBAL):
            raise NoAddress(f"{self.prefix} cannot be used: the internet routes nothing outside of {GLOBAL}")

    @property
    def whole(self) -> IPv6Network:
        return self.prefix

    @property
    def region(self) -> IPv6Network:
        return self.prefix


def mesh_network(global_id: bytes) -> IPv6Network:
    """The mesh's /48 from 5 random bytes (RFC 4193 section 3.2: the global ID must be random)."""
    if len(global_id) != GLOBAL_ID_BYTES:
        raise NoAddress(f"a global ID is {GLOBAL_ID_BYTES} bytes, not {len(global_id)}")
    return IPv6Network((ULA | int.from_bytes(global_id, "big") << 80, MESH_BITS))


def region_network(mesh: IPv6Network, number: int) -> IPv6Network:
    """The /56 of region `number` (0 to 255)."""
    return _part(mesh, REGION_BITS, number)


def node_number(node: NodeId, region: IPv6Network, taken: Container[int]) -> int:
    """A number that nobody has `taken`. It follows from the node's id, so that a hub which lost everything gives most
    nodes the same again. Raises NoAddress where none is left."""
    room = 1 << (NODE_BITS - region.prefixlen)
    first = int.from_bytes(hashlib.sha256(b"skerry node number\0" + node.encode()).digest()[:16], "big")
    for step in range(room):
        number = (first + step) % room
        if number != HUB_NUMBER and number not in taken:
            return number
    raise NoAddress(f"{region} has room for {room - 1} nodes, and all of that is taken")


@lru_cache(maxsize=CACHE)
def node_network(region: IPv6Network, number: int) -> IPv6Network:
    """The /80 of node `number` in its region: 0 to 16,777,215 in a /56. Number 0 is the hub's."""
    return _part(region, NODE_BITS, number)


def node_address(node: IPv6Network) -> IPv6Address:
    """The node's own address: the first of its /80 that is not the subnet-router anycast address."""
    return node[1]


def hub_address(region: IPv6Network) -> IPv6Address:
    """The region's hub, as seen from inside."""
    return node_address(node_network(region, HUB_NUMBER))


@lru_cache(maxsize=CACHE)
def instance_address(node: IPv6Network, instance: InstanceId) -> IPv6Address:
    """An instance's address on its node: it follows from the id, so that nobody has to keep it, nor gives it twice."""
    room = (1 << (ALL_BITS - NODE_BITS)) - OWN
    digest = hashlib.sha256(b"skerry address\0" + instance.encode()).digest()
    return node[OWN + int.from_bytes(digest[:16], "big") % room]


def _part(whole: IPv6Network, bits: int, number: int) -> IPv6Network:
    room = 1 << (bits - whole.prefixlen)
    if not 0 <= number < room:
        raise NoAddress(
            f"{whole} has room for {room} networks of /{bits}; number {number} is not one of them"
        )
    return IPv6Network((int(whole.network_address) | number << (ALL_BITS - bits), bits))
