"""The region as the network's planner takes it, from rows: who is a member, what runs where, who reaches whom. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Network

from msgspec import structs

from skerry_netplan.address import AddressSource, Routed, UniqueLocal, hub_address, node_number
from skerry_netplan.model import Copy, Member, Region
from skerry_netplan.planner import Planner
from skerry_protocol.app import App
from skerry_protocol.ids import AppName, NodeId
from skerry_protocol.network import AppNetwork, HubAt, Network
from skerry_protocol.sandbox import shares_network

from ..model import AppRow, Mesh, NodeRow, NodeState, Placement

REGIONS = 256
Revisions = Mapping[tuple[AppName, int], AppRow]


@dataclass(frozen=True)
class Door:
    """How nodes come in: the hub's public key, its UDP port, and the hosts where it is (none: each node's `via`).

    `root`: the mesh's public key, from which its network follows.
    """

    key: bytes
    port: int
    hosts: tuple[str, ...]
    root: bytes


def addresses(mesh: Mesh, root: bytes) -> AddressSource:
    """Where the region's addresses come from. The mesh's own follow from its root key, which is random (RFC 4193
    section 3.2.2), and from the region's name, so that a hub which was rebuilt has them again."""
    if mesh.prefix is not None:
        return Routed(IPv6Network(mesh.prefix))
    global_id = hashlib.sha256(b"skerry network\0" + root).digest()[:5]
    number = hashlib.sha256(b"skerry region\0" + mesh.region.encode()).digest()[0] % REGIONS
    return UniqueLocal(global_id, number)


def number_for(mesh: Mesh, root: bytes, node: NodeId, others: Iterable[NodeRow]) -> int:
    """The number of a node that comes in. Raises NoAddress."""
    return node_number(node, addresses(mesh, root).region, {one.number for one in others})


def inside(mesh: Mesh, root: bytes) -> str:
    """The hub's address in the mesh."""
    return str(hub_address(addresses(mesh, root).region))


def region(
    mesh: Mesh,
    door: Door,
    nodes: Sequence[NodeRow],
    placements: Sequence[Placement] = (),
    apps: Sequence[AppRow] = (),
    revisions: Revisions | None = None,
) -> Region:
    """Everything that plans follow from. Nodes that were not let in, or have no keys, have no part in it."""
    members = {one.id: _member(one) for one in nodes if has_part(one)}
    newest = {row.name: row.app for row in apps if row.app is not None}
    placed = {(one.app, one.revision) for one in placements}
    of_copies = {
        key: row.app for key in placed if (row := (revisions or {}).get(key)) and row.app is not None
    }
    says: dict[AppName, AppNetwork] = {name: app.network for (name, _), app in sorted(of_copies.items())}
    says |= {name: app.network for name, app in newest.items()}
    hub = HubAt(door.key, inside(mesh, door.root), places(door))
    return Region(
        addresses(mesh, door.root), (hub,), members, tuple(_copies(placements, members, of_copies)), says
    )


def places(door: Door) -> tuple[str, ...]:
    """Where nodes are told to come in, HOST:PORT of UDP; nothing where each is told where it found the hub."""
    return tuple(_endpoints(door.hosts, door.port))


def has_part(node: NodeRow) -> bool:
    """Whether the node has tunnels."""
    return node.state is not NodeState.WAITING and node.link_key is not None and node.number > 0


def plan(planner: Planner, door: Door, node: NodeRow) -> Network | None:
    """The node's plan; None for one that has no part."""
    if node.id not in planner.region.members:
        return None
    made = planner.plan(node.id)
    if door.hosts or not node.via:
        return made
    # Nobody said where this hub is: where this very node found it.
    hubs = tuple(
        structs.replace(hub, endpoints=tuple(_endpoints((node.via,), door.port))) for hub in made.hubs
    )
    return structs.replace(made, hubs=hubs)


def _member(node: NodeRow) -> Member:
    return Member(node.id, node.name, node.number, node.link_key, node.direct_key)


def _copies(
    placements: Iterable[Placement], members: Mapping[NodeId, Member], apps: Mapping[tuple[AppName, int], App]
) -> Iterator[Copy]:
    for one in placements:
        app = apps.get((one.app, one.revision))
        if app is not None and one.node in members:
            yield Copy(one.instance, one.app, one.number, one.node, shares_network(app))


def _endpoints(hosts: Iterable[str], port: int) -> Iterator[str]:
    """`host:port`; a port that a host has is that of the API."""
    for host in hosts:
        bare = _bare(host)
        yield f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def _bare(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.count(":") > 1 else host.partition(":")[0]
