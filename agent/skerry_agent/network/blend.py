"""Where the way to the hub is not the newest plan's, the instances are: a way taken back takes no namespace with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv6Network

from msgspec import structs

from skerry_netplan.address import node_address
from skerry_netplan.linter import faults
from skerry_protocol.ids import InstanceId
from skerry_protocol.network import CopyAt, Network

from .records import Plan


def blend(kept: Plan, newest: Plan) -> Plan:
    """The way of `kept` with what else is in `newest`, as far as that makes sense together.

    Both have been through the linter. Where the node's network differs, an instance has the address that `kept` knows;
    one that it does not know has none. With no fault left to avoid, it is `kept` itself.
    """
    if kept.way == newest.way:
        return newest
    for network in _tries(kept.network, newest.network):
        if not faults(network):
            return structs.replace(newest, network=network)
    return kept


def _tries(kept: Network, newest: Network) -> Iterator[Network]:
    """The most of `newest` first."""
    moved = _moved(kept, newest)
    addresses = {one: at for one, address in newest.addresses.items() if (at := moved[address]) is not None}
    yield _with(kept, newest, addresses, moved)
    here: dict[str, str | None] = dict.fromkeys(kept.addresses.values())
    yield _with(kept, kept, addresses, here | {address: address for address in addresses.values()})


def _moved(kept: Network, newest: Network) -> dict[str, str | None]:
    """Of the node's own addresses in `newest`: what they are under the way of `kept`; None: nothing."""
    if kept.node == newest.node:
        return {address: address for address in newest.addresses.values()}
    moved = {address: kept.addresses.get(one) for one, address in newest.addresses.items()}
    return moved | {_own(newest): _own(kept)}


def _with(
    way: Network, rest: Network, addresses: dict[InstanceId, str], moved: Mapping[str, str | None]
) -> Network:
    neighbours = tuple(
        structs.replace(
            one,
            copies=tuple(
                CopyAt(copy.number, at)
                for copy in one.copies
                if (at := moved.get(copy.address, copy.address)) is not None
            ),
        )
        for one in rest.neighbours
    )
    return structs.replace(way, mates=rest.mates, addresses=addresses, neighbours=neighbours)


def _own(plan: Network) -> str:
    return str(node_address(IPv6Network(plan.node)))
