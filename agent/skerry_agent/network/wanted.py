"""What network this node is to have: its assignment's plan, with every instance that has a process here. Pure.

Owns what the agent writes for skerry-net, and what an instance that is to start waits for. Must never take the network
from under a process: what is being stopped, what waits to be changed and what no record names keeps its own until it is
gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Network

from msgspec import structs

from skerry_netplan.address import instance_address
from skerry_netplan.lower import SPACE
from skerry_protocol.ids import INSTANCE_ID, AppName, InstanceId, NodeName
from skerry_protocol.messages import StepState
from skerry_protocol.network import AppNetwork, Network
from skerry_protocol.sandbox import shares_network

from ..switch.target import Running, State, Target
from ..units.sandbox import NAMESPACES
from .records import Plan, Status

SPACE_LINE = re.compile(f"^NetworkNamespacePath={NAMESPACES}/{SPACE}({INSTANCE_ID.pattern})$", re.MULTILINE)
NOT_RUNNING = "skerry-net has said nothing since the boot (systemctl status skerry-net)"


def wanted(network: Network, target: Target, applied: State, strangers: Iterable[str] = ()) -> Plan:
    """What skerry-net is to make of `network`, the plan of the assignment that `target` was made from.

    `strangers`: texts of unit files that no record names.
    """
    every = [one for one in (*_in_force(applied), *target.instances.values()) if one.rendered.namespace]
    apps = {one.instance.id: one.entry.app.name for one in every}
    spaces = {*apps, *(name for text in strangers for name in spaces_of(text))}
    says: dict[AppName, AppNetwork] = {}
    for one in every:
        app = one.entry.app
        says[app.name] = _either(says[app.name], app.network) if app.name in says else app.network
    hosted = {
        one.entry.app.name: one.entry.app
        for one in target.instances.values()
        if shares_network(one.entry.app)
    }
    says |= {name: app.network for name, app in hosted.items() if name not in says}
    return Plan(
        _with(network, spaces), NodeName(target.ground.node.name), dict(sorted(apps.items())),
        dict(sorted(says.items())), hosted=tuple(sorted(hosted)), metered=target.ground.policy.metered,
    )  # fmt: skip


def first(network: Network, node: NodeName, former: Plan | None) -> Plan:
    """The plan of a node that has just joined. Instances of `former`, which may run, keep their namespaces."""
    if former is None:
        return Plan(network, node)
    return structs.replace(former, network=along(network, former.network), node=node)


def along(way: Network, rest: Network) -> Network:
    """`rest` by another way to the hub. Where that gives the node other addresses, nobody else's are known any more."""
    if (way.whole, way.region, way.node) == (rest.whole, rest.region, rest.node):
        return structs.replace(rest, hubs=way.hubs)
    return _with(structs.replace(way, mates=(), neighbours=(), addresses={}), rest.addresses)


def waits(instance: InstanceId, status: Status | None) -> tuple[StepState, str] | None:
    """Why an instance with a network namespace of its own can't be started yet; None: it can."""
    if status is not None and instance in status.spaces:
        return None
    trouble = ails(status)
    return (StepState.WAITING, trouble) if trouble else (StepState.RUNNING, "skerry-net makes its network")


def ails(status: Status | None) -> str:
    """What is wrong with the network of a node that has a plan, for people; empty where nothing is."""
    if status is None:
        return NOT_RUNNING
    if status.trouble:
        return f"skerry-net: {status.trouble}"
    return f"the node's new network plan was taken back: {status.taken_back}" if status.taken_back else ""


def spaces_of(text: str) -> Iterator[InstanceId]:
    """The instances whose network namespaces a unit's text names."""
    return (InstanceId(found[1]) for found in SPACE_LINE.finditer(text))


def _in_force(applied: State) -> Iterator[Running]:
    return (one for name in sorted(applied.names()) for one in applied.of(name))


def _with(network: Network, spaces: Iterable[InstanceId]) -> Network:
    """With these instances too: an address follows from its id, so that one which was left out has its own still.

    A plan without sense stays as it is: skerry-net does not use it, and says why.
    """
    try:
        room = IPv6Network(network.node)
        left_out = {name: str(instance_address(room, name)) for name in {*spaces} - {*network.addresses}}
    except (ValueError, IndexError):
        return network
    return structs.replace(network, addresses=dict(sorted((left_out | network.addresses).items())))


def _either(one: AppNetwork, other: AppNetwork) -> AppNetwork:
    """What a revision that ends may do until it is gone, and what the one after it may do from its start."""
    return AppNetwork(
        one.ports | other.ports,
        tuple(sorted({*one.reaches, *other.reaches})),
        one.publish | other.publish,
        one.egress or other.egress,
    )
