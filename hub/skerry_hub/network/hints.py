"""What a node is told of others beside its plan: where their tunnels may be reached, and who is not well. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from skerry_netplan.linter import endpoint
from skerry_protocol.ids import NodeName
from skerry_protocol.messages import Hint
from skerry_protocol.network import Network

LAN_MOST = 4


@dataclass(frozen=True)
class Seen:
    """Where a node's direct tunnels end: as its hub sees it, and in its own network as it says itself.

    `narrow`: how much the way to it takes (bytes of a packet inside), where that is less than usual.
    """

    outside: str | None = None
    lan: tuple[str, ...] = ()
    narrow: int = 0


def hint(plan: Network, own: Seen, others: Mapping[NodeName, Seen], ailing: Collection[str]) -> Hint:
    """For the node with this plan."""
    found = {mate.name: tuple(_ends(own, others[mate.name])) for mate in plan.mates if mate.name in others}
    near = {copy.address for one in plan.neighbours for copy in one.copies}
    return Hint(
        {name: ends for name, ends in sorted(found.items()) if ends}, tuple(sorted(near & set(ailing)))
    )


def _ends(own: Seen, other: Seen) -> Iterator[str]:
    """Who is seen at one address shares a network: by that it is nearest, and perhaps by nothing else."""
    together = _host(own.outside) is not None and _host(own.outside) == _host(other.outside)
    if together:
        yield from (one for one in other.lan[:LAN_MOST] if endpoint(one) is not None)
    if other.outside is not None and other.outside not in (other.lan[:LAN_MOST] if together else ()):
        yield other.outside


def _host(text: str | None) -> str | None:
    found = endpoint(text) if text is not None else None
    return found[0] if found else None
