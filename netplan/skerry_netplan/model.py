"""What the planner is told of a region: frozen data, gathered by the hub from its store.

`Region` is all of it. Numbers are those of `address`; nothing here has been checked against anything else, because an
operator's word may be wrong in more than one place, and the planner says so for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network

from skerry_protocol.ids import AppName, InstanceId, NodeId, NodeName
from skerry_protocol.network import AppNetwork, HubAt

from .address import AddressSource, instance_address, node_address, node_network


@dataclass(frozen=True)
class Member:
    """A node of the region. Its public keys: of its tunnel to the hub, of those to other nodes; None: it has none."""

    id: NodeId
    name: NodeName
    number: int
    link_key: bytes | None = None
    direct_key: bytes | None = None


@dataclass(frozen=True)
class Copy:
    """An instance and where it is. `host`: it has its node's own network, and no address of its own."""

    id: InstanceId
    app: AppName
    number: int
    node: NodeId
    host: bool = False


@dataclass(frozen=True)
class Region:
    """Everything that plans follow from."""

    addresses: AddressSource
    hubs: tuple[HubAt, ...]
    members: Mapping[NodeId, Member]
    copies: tuple[Copy, ...] = ()
    apps: Mapping[AppName, AppNetwork] = field(default_factory=dict)

    def network_of(self, node: NodeId) -> IPv6Network:
        """A member's /80."""
        return node_network(self.addresses.region, self.members[node].number)

    def address_of(self, copy: Copy) -> IPv6Address:
        """Where a copy is."""
        network = self.network_of(copy.node)
        return node_address(network) if copy.host else instance_address(network, copy.id)
