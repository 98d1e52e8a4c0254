"""A plan as lines for people, and what differs from one to the next."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Network

from skerry_protocol.network import Neighbour, Network

from .address import node_address


def lines(plan: Network) -> tuple[str, ...]:
    """One for each thing that it says, in the order in which it is read."""
    return tuple(_lines(plan))


def changes(before: Network | None, after: Network | None) -> tuple[str, ...]:
    """`- ` what goes and `+ ` what comes; nothing where both say the same."""
    old, new = lines(before) if before else (), lines(after) if after else ()
    gone, come = set(old) - set(new), set(new) - set(old)
    return (*(f"- {line}" for line in old if line in gone), *(f"+ {line}" for line in new if line in come))


def _lines(plan: Network) -> Iterator[str]:
    yield f"address {node_address(IPv6Network(plan.node))} of {plan.node}, in the region's {plan.region}"
    for hub in plan.hubs:
        yield f"hub {hub.address} by {', '.join(hub.endpoints)}, key {hub.key.hex()[:16]}"
    for mate in plan.mates:
        way = f"direct tunnels, key {mate.key.hex()[:16]}" if mate.key else "through the hub alone"
        yield f"node {mate.name} {mate.network}, {way}"
    yield from (f"instance {name} {address}" for name, address in plan.addresses.items())
    yield from (line for one in plan.neighbours for line in _neighbour(one))


def _neighbour(one: Neighbour) -> Iterator[str]:
    ports = ", ".join(f"{name} {port}" for name, port in one.ports.items()) or "no port"
    reaches = f", reaches {', '.join(one.reaches)}" if one.reaches else ""
    yield f"app {one.app}: {ports}{reaches}"
    yield from (f"copy {one.app}-{copy.number} {copy.address}" for copy in one.copies)
