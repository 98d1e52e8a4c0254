"""The names that a node answers, from its stored plan alone: `db.skerry`, `1.db.skerry`, `n1.node.skerry`.

Who is healthy changes the order of the answers and never their set: what cannot be known is not left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network

from skerry_protocol.ids import NodeName
from skerry_protocol.network import CopyAt, Network

from .address import node_address

DOMAIN = "skerry"
NODES = f"node.{DOMAIN}"


@dataclass(frozen=True)
class Zone:
    """Every name under DOMAIN, in lower case and without a last dot → its addresses in the order of the plan."""

    names: dict[str, tuple[IPv6Address, ...]] = field(default_factory=dict)

    def find(self, name: str, ailing: Iterable[IPv6Address] = ()) -> tuple[IPv6Address, ...] | None:
        """The addresses of a name, those that are `ailing` last; None where the zone has no such name."""
        found = self.names.get(_plain(name))
        if found is None:
            return None
        last = set(ailing)
        return tuple(sorted(found, key=last.__contains__))


def is_ours(name: str) -> bool:
    """Whether a name is under DOMAIN, so that nobody else is asked for it."""
    plain = _plain(name)
    return plain == DOMAIN or plain.endswith(f".{DOMAIN}")


def zone(plan: Network, own: NodeName) -> Zone:
    """The names of a node called `own`."""
    names = {DOMAIN: (), NODES: ()} | dict(_nodes(plan, own))
    for neighbour in plan.neighbours:
        names[f"{neighbour.app}.{DOMAIN}"] = _addresses(neighbour.copies)
        for copy in neighbour.copies:
            one = f"{copy.number}.{neighbour.app}.{DOMAIN}"
            names[one] = (*names.get(one, ()), IPv6Address(copy.address))
    return Zone(names)


def _addresses(copies: Iterable[CopyAt]) -> tuple[IPv6Address, ...]:
    """Each once: copies on the own network of one node share its address."""
    return tuple(dict.fromkeys(IPv6Address(copy.address) for copy in copies))


def _nodes(plan: Network, own: NodeName) -> Iterator[tuple[str, tuple[IPv6Address, ...]]]:
    """The hub is `hub`, unless a node has that name."""
    if plan.hubs:
        yield f"hub.{NODES}", tuple(IPv6Address(hub.address) for hub in plan.hubs)
    for name, network in ((own, plan.node), *((mate.name, mate.network) for mate in plan.mates)):
        yield f"{name}.{NODES}", (node_address(IPv6Network(network)),)


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")
