"""The addresses of a mesh: a /48 of unique local IPv6 (RFC 4193), a region's /56, a node's /80, an instance's /128.

Owns the arithmetic and nothing else: who has which number is stored elsewhere. The numbers are dense, so a region holds
16,777,216 nodes and a node 2^48 - 1 instances; number 0 of a node is the node itself.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

ULA = 0xFD << 120
MESH_BITS, REGION_BITS, NODE_BITS, ALL_BITS = 48, 56, 80, 128
GLOBAL_ID_BYTES = 5


class NoAddress(ValueError):
    """A number that the network has no room for."""


def mesh_network(global_id: bytes) -> IPv6Network:
    """The mesh's /48 from 5 random bytes (RFC 4193 section 3.2: the global ID must be random)."""
    if len(global_id) != GLOBAL_ID_BYTES:
        raise NoAddress(f"a global ID is {GLOBAL_ID_BYTES} bytes, not {len(global_id)}")
    return IPv6Network((ULA | int.from_bytes(global_id, "big") << 80, MESH_BITS))


def region_network(mesh: IPv6Network, number: int) -> IPv6Network:
    """The /56 of region `number` (0 to 255)."""
    return _part(mesh, REGION_BITS, number)


def node_network(region: IPv6Network, number: int) -> IPv6Network:
    """The /80 of node `number` (0 to 16,777,215) in its region."""
    return _part(region, NODE_BITS, number)


def node_address(node: IPv6Network) -> IPv6Address:
    """The node's own address: the first of its /80 that is not the subnet-router anycast address."""
    return node[1]


def instance_address(node: IPv6Network, number: int) -> IPv6Address:
    """The address of the node's instance `number` (1 and up)."""
    if number < 1:
        raise NoAddress(f"instances are numbered from 1, not {number}")
    return _part(node, ALL_BITS, number + 1).network_address


def _part(whole: IPv6Network, bits: int, number: int) -> IPv6Network:
    room = 1 << (bits - whole.prefixlen)
    if not 0 <= number < room:
        raise NoAddress(
            f"{whole} has room for {room} networks of /{bits}; number {number} is not one of them"
        )
    return IPv6Network((int(whole.network_address) | number << (ALL_BITS - bits), bits))
