"""Ports of the nodes' own addresses: which of them an app's copies take, who has one, where two copies want the same.

A node gives each of its ports to one copy. That is seen to when a copy is placed; what is placed stays, so a change may
make two copies want one port where they are. The first by the order of ids has it then, as in the node's firewall.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from skerry_protocol.app import App
from skerry_protocol.ids import AppName, NodeId
from skerry_protocol.network import Port
from skerry_protocol.sandbox import shares_network

from ..model import Placement


@dataclass(frozen=True)
class Clash:
    """A copy that does not get `port` of its node, because one of `holder` has it there."""

    placement: Placement
    port: Port
    holder: AppName

    def text(self, node: str) -> str:
        """For people, who know the node by this name."""
        where = f"port {self.port} of {node}"
        own = self.placement.app == self.holder
        return f"{where} leads to another of its copies" if own else f"{where} is that of {self.holder}"


def taken_by(app: App) -> tuple[Port, ...]:
    """The ports of its node that a copy takes: what it publishes; on the node's own network, what it listens on."""
    network = app.network
    if shares_network(app):
        return tuple(network.ports.values())
    if not network.publish:  # of nearly all, and this is asked for each copy in every run
        return ()
    ports = network.ports
    return tuple(
        Port(number, ports[name].transport) for name, number in network.publish.items() if name in ports
    )


def has_it(port: Port, holder: AppName) -> str:
    """The filter's words."""
    return f"port {port} ({holder} has it)"


def clashes(placements: Iterable[Placement], apps: Mapping[AppName, App | None]) -> Iterator[Clash]:
    """Each copy that does not get a port, in the order of their ids."""
    takes = {name: ports for name, app in apps.items() if app is not None and (ports := taken_by(app))}
    holders: dict[tuple[NodeId, Port], Placement] = {}
    for placement in sorted((one for one in placements if one.app in takes), key=lambda one: one.instance):
        for port in takes[placement.app]:
            holder = holders.setdefault((placement.node, port), placement)
            if holder is not placement:
                yield Clash(placement, port, holder.app)
