"""A region → what the kernel of its hub is to have: a tunnel that every node comes through, and the way on to others.

The hub takes part in no app's traffic but by passing it on; each end judges what it lets in (`firewall`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from skerry_protocol.ids import NodeId
from skerry_protocol.network import Port

from .address import hub_address, node_address
from .firewall import hub_rules
from .model import Member, Region
from .state import HUB_LINK, Peer, Route, State, Tunnel


@dataclass(frozen=True)
class HubHere:
    """What the hub knows of itself. `key`: its public one. `services`: its own ports that nodes may reach.

    `forwards`, `inner`: see `firewall.hub_rules`. `narrow`: how much the way to a node takes (bytes of a packet
    inside), where that is less than `mtu`.
    """

    key: bytes
    port: int
    mtu: int
    services: tuple[Port, ...] = ()
    forwards: bool = False
    inner: tuple[str, ...] = ()
    endpoints: Mapping[bytes, str] = field(default_factory=dict)
    narrow: Mapping[NodeId, int] = field(default_factory=dict)


def lower_hub(region: Region, here: HubHere) -> State:
    """What the hub's kernel is to have."""
    peers = {peer.key: peer for member in region.members.values() for peer in _peers(region, member, here)}
    address = str(hub_address(region.addresses.region))
    tunnel = Tunnel(here.key, here.port, here.mtu, frozenset({f"{address}/128"}), peers)
    routes = frozenset(
        {Route(str(region.addresses.region), HUB_LINK, address), *_narrow(region, here, address)}
    )
    rules = hub_rules(str(region.addresses.whole), address, here.services, here.forwards, here.inner)
    return State({HUB_LINK: tunnel}, {}, routes, rules)


def _narrow(region: Region, here: HubHere, own: str) -> Iterator[Route]:
    """What a node itself is sent goes whole: it measures its way by the answers, and no TCP sends it too much, because
    it says how much it takes by its own, narrow route.
    """
    for node in here.narrow.keys() & region.members.keys():
        network = region.network_of(node)
        yield Route(str(network), HUB_LINK, own, here.narrow[node])
        yield Route(f"{node_address(network)}/128", HUB_LINK, own)


def _peers(region: Region, member: Member, here: HubHere) -> Iterator[Peer]:
    """A node's second key may send nothing in: by its packets the hub only sees where it is."""
    if member.link_key is not None:
        allowed = frozenset({str(region.network_of(member.id))})
        yield Peer(member.link_key, allowed, here.endpoints.get(member.link_key))
    if member.direct_key is not None:
        yield Peer(member.direct_key, frozenset(), here.endpoints.get(member.direct_key))
