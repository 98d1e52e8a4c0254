"""A change that is cut after each of its operations in turn: the way to the hub holds, and nothing is left lying about.

Between them the changes have every kind of operation that there is; whoever goes on is a new process each time, which
knows nothing but what the kernel shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from socket import AF_INET6
from typing import get_args

import pytest

from skerry_netplan.address import hub_address
from skerry_netplan.differ import Operation, diff
from skerry_netplan.hubside import HubHere, lower_hub
from skerry_netplan.kernel import namespaces
from skerry_netplan.kernel.links import connected, read_links
from skerry_netplan.kernel.userspace import Userspace
from skerry_netplan.state import DIRECT, LINK, Peer, Route, State, Tunnel
from skerry_protocol.network import Port
from tests.lab.network.rig import (
    ALONE,
    DB,
    HUB_PORT,
    WEB,
    Machine,
    Machines,
    heard,
    mesh,
    node_state,
    public,
    region,
)
from tests.netplan.regions import says

SERVICE = 4222
HUB6 = str(hub_address(region().addresses.region))
SECOND = f"{str(region().network_of(next(iter(region().members)))).partition('/')[0]}beef/128"
"""Another address of the node's own network."""
FULL, OTHER = region(WEB, DB, ALONE), region(DB, web=says())


def with_tunnel(state: State, name: str, changed: Tunnel | None) -> State:
    tunnels = {key: tunnel for key, tunnel in state.tunnels.items() if key != name}
    return replace(state, tunnels=tunnels if changed is None else {**tunnels, name: changed})


def another(state: State) -> State:
    """The same way to the hub with everything else about it changed: address, port, a second hub, routes."""
    link, moved = state.tunnels[LINK], state.tunnels[DIRECT]
    second = Peer(public("other hub"), frozenset(), "192.0.2.9:51820")
    link = replace(
        link,
        port=link.port + 10,
        addresses=frozenset({SECOND}),
        peers={**link.peers, second.key: second},
    )
    moved = replace(moved, port=moved.port + 10)
    routes = {replace(one, source=SECOND[:-4]) if one.source else one for one in state.routes}
    changed = with_tunnel(with_tunnel(state, LINK, link), DIRECT, moved)
    return replace(changed, routes=frozenset({*routes, Route("fd99::/64")}))


BEFORE, AFTER = node_state(1, FULL, "n2"), another(node_state(1, region(DB, WEB)))
ALONE_STATE = with_tunnel(node_state(1, OTHER), DIRECT, None)
CHANGES = {
    "much": (BEFORE, AFTER),
    "back": (AFTER, BEFORE),
    "less": (BEFORE, ALONE_STATE),
    "more": (ALONE_STATE, BEFORE),
    "first": (State(), BEFORE),
    "last": (BEFORE, State()),
}


@pytest.fixture
def machines() -> Iterator[Machines]:
    with mesh() as made:
        made[0].become(lower_hub(FULL, HubHere(public("hub"), HUB_PORT, 1420, (Port(SERVICE),))))
        yield made


def begun_again(machine: Machine) -> None:
    """Another process: it knows what was set before of nothing, and finds wireguard-go running."""
    kernel = machine.kernel
    machine.kernel = type(kernel)(Userspace(machine.host.child), kernel.keys, kernel.tunnels)


def reaches_hub(machines: Machines) -> bool:
    listener = machines[0].opened(AF_INET6)
    listener.bind((HUB6, SERVICE))
    return heard(listener, machines[1].opened(AF_INET6), (HUB6, SERVICE)) is not None


def lies_about(machine: Machine) -> tuple[set[str], set[str]]:
    return machine.host.run(_lies_about())


async def _lies_about() -> tuple[set[str], set[str]]:
    async with connected() as ip:
        return set(await read_links(ip)), set(namespaces.PLAIN.names())


def belongs(state: State) -> tuple[set[str], set[str]]:
    """The interfaces and namespaces that there are to be."""
    devices = {space.device for space in state.spaces.values()}
    return {"lo", "eth0", *state.tunnels, *devices}, {space.name for space in state.spaces.values()}


def is_as(node: Machine, state: State) -> None:
    """By whatever way it comes there."""
    begun_again(node)
    node.become(state)
    assert lies_about(node) == belongs(state)


def test_the_changes_have_every_kind_of_operation() -> None:
    kinds = {type(one) for before, after in CHANGES.values() for one in diff(after, before)}
    assert kinds == set(get_args(Operation))


@pytest.mark.parametrize("change", CHANGES)
def test_a_cut_after_any_operation(machines: Machines, change: str) -> None:
    before, after = CHANGES[change]
    node = machines[1]
    both = LINK in before.tunnels and LINK in after.tunnels
    node.become(before)
    number = len(diff(after, node.read()))
    for cut in range(number):
        is_as(node, before)
        operations = diff(after, node.read())[:cut]
        node.host.run(node.kernel.carry_out(operations))
        assert not both or reaches_hub(machines), f"after {operations[-1:]}"
        is_as(node, after)
        assert diff(after, node.read()) == (), f"after {operations[-1:]}"
        assert not both or reaches_hub(machines), f"gone on after {operations[-1:]}"
