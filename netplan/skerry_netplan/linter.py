"""Whether plans make sense, judged without the planner's code: a hub asks before it signs, a node before it obeys.

`faults` judges one plan by itself, which is all that a node can do; `faults_between` all plans of a region. A fault is
a sentence for people. A plan with a fault is never used: the node keeps the one it has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network

from skerry_protocol.ids import INSTANCE_ID, NodeName
from skerry_protocol.network import HubAt, Network

from .state import device_of

NODE_BITS = 80
CACHE = 1 << 16  # the same texts are in the plans of many nodes, and reading one takes 20 µs
_ENDPOINT = re.compile(
    r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9._-]{1,253})):(?P<port>[0-9]{1,5})"
)


def faults(plan: Network) -> tuple[str, ...]:
    """What is wrong with one node's plan; all of it at once."""
    texts = (plan.whole, plan.region, plan.node, *(mate.network for mate in plan.mates))
    broken = tuple(f"'{text}' is not an IPv6 network" for text in texts if _network(text) is None)
    if broken:
        return broken
    return (*_of_parts(plan), *_of_hubs(plan), *_of_mates(plan), *_of_addresses(plan), *_of_neighbours(plan))


def faults_between(plans: Mapping[NodeName, Network]) -> tuple[str, ...]:
    """What is wrong with a region's plans: each by itself, and what one says against another."""
    found = [f"{name}: {fault}" for name, plan in plans.items() for fault in faults(plan)]
    if found:
        return tuple(found)
    return (*_shared_networks(plans), *_shared_keys(plans), *_strange_routes(plans))


def endpoint(text: str) -> tuple[str, int] | None:
    """(host or address, UDP port) of `host:port` or `[address]:port`; None where it is neither."""
    match = _ENDPOINT.fullmatch(text)
    if match is None or not 1 <= int(match["port"]) <= 65535:
        return None
    if match["six"] is not None and _address(match["six"]) is None:
        return None
    return match["six"] or match["host"], int(match["port"])


def _of_parts(plan: Network) -> Iterator[str]:
    whole, region, node = _parsed(plan.whole), _parsed(plan.region), _parsed(plan.node)
    if not region.subnet_of(whole):
        yield f"the region's {region} is not in the mesh's {whole}"
    if node.prefixlen != NODE_BITS:
        yield f"the node's network {node} is a /{node.prefixlen}, not a /{NODE_BITS}"
    if not node.subnet_of(region):
        yield f"the node's {node} is not in the region's {region}"


def _of_hubs(plan: Network) -> Iterator[str]:
    if not plan.hubs:
        yield "it names no hub, so the node would be cut off"
    for hub in plan.hubs:
        yield from _of_hub(hub, plan)
    yield from (f"two hubs have the key {key}" for key in _twice(hub.key.hex() for hub in plan.hubs))
    yield from (f"two hubs have the address {one}" for one in _twice(hub.address for hub in plan.hubs))


def _of_hub(hub: HubAt, plan: Network) -> Iterator[str]:
    address = _address(hub.address)
    if address is None:
        yield f"the hub's '{hub.address}' is not an IPv6 address"
    elif address not in _parsed(plan.region):
        yield f"the hub's {address} is not in the region's {plan.region}"
    elif address in _parsed(plan.node):
        yield f"the hub's {address} is one of the node's own, so the node would be cut off"
    elif away := [mate.name for mate in plan.mates if address in _parsed(mate.network)]:
        yield f"the way to the hub's {address} would lead to {away[0]}, so the node would be cut off"
    if not hub.endpoints:
        yield f"the hub at {hub.address} has no endpoint, so the node would be cut off"
    for text in hub.endpoints:
        if endpoint(text) is None:
            yield f"the hub's endpoint '{text}' is not like host:51820 or [2001:db8::1]:51820"


def _of_mates(plan: Network) -> Iterator[str]:
    networks = [(mate.name, _parsed(mate.network)) for mate in plan.mates]
    region, node = _parsed(plan.region), _parsed(plan.node)
    for name, network in networks:
        if network.prefixlen != NODE_BITS or not network.subnet_of(region):
            yield f"{name}'s {network} is not a /{NODE_BITS} in the region's {region}"
        elif network == node:
            yield f"{name}'s {network} is the node's own"
    yield from (f"two nodes have the network {one}" for one in _twice(str(one) for _, one in networks))
    yield from (f"two nodes are called {name}" for name in _twice(name for name, _ in networks))
    keys = [key.hex() for key in (*(hub.key for hub in plan.hubs), *(mate.key for mate in plan.mates)) if key]
    yield from (f"two of its peers have the key {key}" for key in _twice(keys))


def _of_addresses(plan: Network) -> Iterator[str]:
    node = _parsed(plan.node)
    for instance in plan.addresses:
        if INSTANCE_ID.fullmatch(instance) is None:  # it becomes a path, and a word in the firewall's table
            yield f"'{instance}' is no instance's id"
    devices = _twice(map(device_of, plan.addresses))
    yield from (f"two instances would have the interface {device}" for device in devices)
    for instance, text in plan.addresses.items():
        address = _address(text)
        if address is None:
            yield f"{instance}'s '{text}' is not an IPv6 address"
        elif address not in node:
            yield f"{instance}'s {address} is not in the node's {node}"
        elif address in (node[0], node[1]):
            yield f"{instance}'s {address} is the node's own"
    yield from (f"two instances have the address {text}" for text in _twice(plan.addresses.values()))


def _of_neighbours(plan: Network) -> Iterator[str]:
    own, reached = _parsed(plan.node), {_prefix(_parsed(mate.network).network_address) for mate in plan.mates}
    yield from (f"{app} is named twice" for app in _twice(one.app for one in plan.neighbours))
    for one in plan.neighbours:
        for text in (copy.address for copy in one.copies):
            address = _address(text)
            if address is None:
                yield f"{one.app}'s '{text}' is not an IPv6 address"
            elif address in own:
                if address != own[1] and text not in plan.addresses.values():
                    yield f"{one.app}'s {address} would be here, but no instance has it"
            elif _prefix(address) not in reached:
                yield f"{one.app}'s {address} is on no node that the plan leads to"


def _shared_networks(plans: Mapping[NodeName, Network]) -> Iterator[str]:
    last: tuple[IPv6Network, NodeName] | None = None
    for network, name in sorted((_parsed(plan.node), name) for name, plan in plans.items()):
        if last is not None and network.overlaps(last[0]):
            yield f"{last[1]} and {name} share {network}"
        last = (network, name)


def _shared_keys(plans: Mapping[NodeName, Network]) -> Iterator[str]:
    owner: dict[bytes, NodeName] = {}
    for mate in (mate for plan in plans.values() for mate in plan.mates if mate.key is not None):
        assert mate.key is not None
        if owner.setdefault(mate.key, mate.name) != mate.name:
            yield f"{owner[mate.key]} and {mate.name} have the same key {mate.key.hex()}"


def _strange_routes(plans: Mapping[NodeName, Network]) -> Iterator[str]:
    for name, plan in plans.items():
        for mate in plan.mates:
            there = plans.get(mate.name)
            if there is None:
                yield f"{name} has a route to {mate.name}, which has no plan"
            elif there.node != mate.network:
                yield f"{name} looks for {mate.name} at {mate.network}, but it is at {there.node}"


def _prefix(address: IPv6Address) -> int:
    """The /80 that an address is in."""
    return int(address) >> (128 - NODE_BITS)


def _twice(found: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    again: list[str] = []
    for one in found:
        if one in seen and one not in again:
            again.append(one)
        seen.add(one)
    return again


@lru_cache(CACHE)
def _network(text: str) -> IPv6Network | None:
    try:
        return IPv6Network(text) if "%" not in text else None
    except ValueError:
        return None


def _parsed(text: str) -> IPv6Network:
    """What was found to be a network."""
    network = _network(text)
    assert network is not None
    return network


@lru_cache(CACHE)
def _address(text: str) -> IPv6Address | None:
    try:
        return IPv6Address(text) if "%" not in text else None
    except ValueError:
        return None
