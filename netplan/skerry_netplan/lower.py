"""A node's plan → what its kernel is to have. Pure: what differs from one moment to the next is an argument.

Two interfaces, because WireGuard takes a packet only from the one peer that its source is allowed for: with one, two
nodes that turn from the hub to a direct tunnel a moment apart would drop what the other still sends the former way.
So the hub's tunnel always carries everything, direct tunnels carry what the routes lead to them, and either is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Network

from skerry_protocol.ids import InstanceId, NodeName
from skerry_protocol.network import Network, Port

from . import slots
from .address import node_address
from .firewall import Guarded, rules
from .state import DIRECT, LINK, KeyRole, Peer, Route, Space, State, Tunnel, device_of

MTU, MTU_LEAST = 1420, 1280
KEEPALIVE = 25
SPACE = "skerry-"
"""What the names of instances' namespaces begin with."""


@dataclass(frozen=True)
class Here:
    """What the node knows of itself and of its links.

    `keys`: its public ones. `endpoints`: where the peer with a key was last. `direct`: mates whose direct tunnel is up.
    `narrow`: how much the way to the peer with a key takes (bytes of a packet inside), where that is less than `mtu`.
    `hold_open`: keep the way in open through a NAT. `slots`: see there. `hosted`: the copies here that have the node's
    own network, so no address in the plan, and that its policy permits. `guarded`, `open_ports`, `forwards`, `inner`:
    see `firewall.rules`.
    """

    keys: Mapping[KeyRole, bytes]
    link_port: int
    direct_port: int
    mtu: int = MTU
    endpoints: Mapping[bytes, str] = field(default_factory=dict)
    direct: frozenset[NodeName] = frozenset()
    narrow: Mapping[bytes, int] = field(default_factory=dict)
    hold_open: bool = True
    slots: Mapping[InstanceId, int] = field(default_factory=dict)
    guarded: Mapping[InstanceId, Guarded] = field(default_factory=dict)
    hosted: tuple[Guarded, ...] = ()
    open_ports: tuple[Port, ...] = ()
    forwards: bool = False
    inner: tuple[str, ...] = ()


def lower(plan: Network, here: Here) -> State:
    """What the kernel of the node with this plan is to have. The plan has been through the linter."""
    spaces = {name: _space(name, text, here) for name, text in plan.addresses.items()}
    own = str(node_address(IPv6Network(plan.node)))
    tunnels = {LINK: _link(plan, here, own)}
    if any(mate.key for mate in plan.mates):
        tunnels[DIRECT] = _direct(plan, here)
    routes = {
        Route(plan.whole, LINK, own, here.narrow.get(plan.hubs[0].key)),
        Route(plan.node),
        *(Route(f"{space.address}/128", space.device) for space in spaces.values()),
        *(Route(f"{space.address4}/32", space.device) for space in spaces.values() if space.address4),
        *(
            Route(mate.network, DIRECT, own, here.narrow.get(mate.key))
            for mate in plan.mates
            if mate.key is not None and mate.name in here.direct
        ),
    }
    table = rules(plan, spaces, here.guarded, here.open_ports, here.forwards, here.hosted, here.inner)
    return State(tunnels, spaces, frozenset(routes), table)


def namespace_of(instance: InstanceId) -> str:
    """The name of its network namespace."""
    return f"{SPACE}{instance}"


def _space(instance: InstanceId, address: str, here: Here) -> Space:
    slot = here.slots.get(instance)
    four = None if slot is None else str(slots.address(slot))
    return Space(namespace_of(instance), device_of(instance), address, four, here.mtu)


def _link(plan: Network, here: Here, own: str) -> Tunnel:
    """Only the first hub's peer leads anywhere: two peers cannot be allowed the same."""
    peers = {}
    for hub, allowed in zip(
        plan.hubs, (frozenset({plan.whole}), *[frozenset[str]()] * len(plan.hubs)), strict=False
    ):
        endpoint = here.endpoints.get(hub.key)
        peers[hub.key] = Peer(hub.key, allowed, endpoint, KEEPALIVE if here.hold_open else 0)
    return Tunnel(here.keys[KeyRole.LINK], here.link_port, here.mtu, frozenset({f"{own}/128"}), peers)


def _direct(plan: Network, here: Here) -> Tunnel:
    """With a peer for the hub too, which sees by its packets where this interface is from outside."""
    hub = plan.hubs[0]
    peers = {hub.key: Peer(hub.key, frozenset(), here.endpoints.get(hub.key), KEEPALIVE)}
    for mate in plan.mates:
        if mate.key is not None:
            endpoint = here.endpoints.get(mate.key)
            peers[mate.key] = Peer(
                mate.key, frozenset({mate.network}), endpoint, KEEPALIVE if endpoint else 0
            )
    return Tunnel(here.keys[KeyRole.DIRECT], here.direct_port, here.mtu, frozenset(), peers)
