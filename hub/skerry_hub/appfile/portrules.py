"""The rules between what an app says of the network: its ports, those of its nodes that lead to them, the way out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from skerry_protocol import sandbox
from skerry_protocol.network import Port

from .draft import Draft
from .faults import Finding, did_you_mean, quoted


def same_ports(draft: Draft) -> Iterator[Finding]:
    """Two names for one port: whichever is meant, the other is a slip."""
    for (first, one), (name, other) in combinations(draft.app.network.ports.items(), 2):
        if one == other:
            yield Finding(("ports", name), str(other), f"a port apart from that of {first}")


def published(draft: Draft) -> Iterator[Finding]:
    """What is published is one of the app's ports, each where no other is, and no copy is without a node for it."""
    network = draft.app.network
    taken: dict[Port, str] = {}
    for name, number in network.publish.items():
        leads_to = network.ports.get(name)
        if leads_to is None:
            known = ", ".join(network.ports)
            hint = did_you_mean(name, network.ports) or (f"known: {known}" if known else "it has no ports")
            yield Finding(("publish", name), f"the unknown port {quoted(name)}", "a name from ports", hint)
            continue
        outside = Port(number, leads_to.transport)
        if (other := taken.setdefault(outside, name)) != name:
            yield Finding(("publish", name), str(outside), f"a port apart from that of {other}")
    yield from _too_many(draft)


def _too_many(draft: Draft) -> Iterator[Finding]:
    app, nodes = draft.app, len(draft.app.place.nodes)
    if app.network.publish and not app.per_node and 0 < nodes < app.replicas:
        found = f"replicas = {app.replicas} on {nodes} node{'s' if nodes > 1 else ''} of place.nodes"
        hint = "a port of a node leads to one copy"
        yield Finding(("publish",), found, "no more copies than nodes, with publish", hint)


def of_machine(draft: Draft) -> Iterator[Finding]:
    """What an app on its node's own network cannot have."""
    if not sandbox.shares_network(draft.app):
        return
    if draft.app.network.publish:
        hint = "it has its node's addresses already: what it listens on is reached there"
        yield Finding(("publish",), "publish with host-network", "ports alone", hint)
    if not draft.app.network.egress:
        hint = "the machine's own network cannot be shut for one app"
        yield Finding(("egress",), "egress = false with host-network", "one of them", hint)
