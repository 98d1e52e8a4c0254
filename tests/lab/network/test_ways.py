"""Ways into and out of the mesh: published ports, the internet, and addresses that are not one's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from socket import AF_INET, AF_INET6

import pytest

from skerry_netplan.kernel import forwarding, namespaces
from skerry_netplan.kernel.links import connected
from skerry_netplan.lower import namespace_of
from skerry_netplan.slots import address, slots
from skerry_protocol.network import AppNetwork, Port
from tests.lab.network.rig import (
    ALONE,
    CONNECTS,
    DB,
    NEVER,
    SQL,
    WEB,
    Machines,
    heard,
    mesh,
    node_state,
    region,
    set_up,
)

HTTP, OUTSIDE = 8080, 8443
ANY = "0.0.0.0"
ACCEPT_RA = Path("/proc/sys/net/ipv6/conf/eth0/accept_ra")
ALL = region(WEB, DB, ALONE)
WEB6 = str(ALL.address_of(WEB))
WEB4 = str(address(slots([WEB.id, ALONE.id], {})[WEB.id]))


@pytest.fixture
def machines() -> Iterator[Machines]:
    with mesh() as made:
        yield made


def test_towards_the_internet_an_instance_is_its_node(machines: Machines) -> None:
    hub, node, _ = machines
    node.become(node_state(1, ALL))
    listener = hub.opened(AF_INET)
    listener.bind((hub.host.address, HTTP))
    assert heard(listener, node.opened(AF_INET, WEB), (hub.host.address, HTTP)) == node.host.address


def test_without_egress_an_instance_reaches_nothing_outside(machines: Machines) -> None:
    hub, node, _ = machines
    node.become(node_state(1, region(WEB, web=AppNetwork(egress=False))))
    listener = hub.opened(AF_INET)
    listener.bind((hub.host.address, HTTP))
    assert heard(listener, node.opened(AF_INET, WEB), (hub.host.address, HTTP), NEVER) is None


def test_a_published_port_leads_to_the_instance(machines: Machines) -> None:
    hub, node, _ = machines
    node.become(node_state(1, region(WEB, web=AppNetwork({"http": Port(HTTP)}, publish={"http": OUTSIDE}))))
    listener = node.opened(AF_INET, WEB)
    listener.bind((ANY, HTTP))
    assert heard(listener, hub.opened(AF_INET), (node.host.address, OUTSIDE)) == hub.host.address


def test_what_is_not_published_is_not_reached_from_outside(machines: Machines) -> None:
    """By somebody on the same cable, who knows where instances are."""
    hub, node, _ = machines
    node.become(node_state(1, ALL))
    hub.host.run(_route(f"{WEB4}/32", node.host.address))
    listener = node.opened(AF_INET, WEB)
    listener.bind((ANY, HTTP))
    assert heard(listener, hub.opened(AF_INET), (WEB4, HTTP), NEVER) is None


def test_a_machine_that_forwarded_nothing_still_forwards_nothing(machines: Machines) -> None:
    """Only what is an instance's passes, although forwarding is on."""
    hub, node, other = machines
    node.host.run(_forwards())
    other.host.run(_second_address("198.51.100.1"))
    hub.host.run(_route("198.51.100.1/32", node.host.address))
    node.host.run(_route("198.51.100.1/32", other.host.address))

    def passes(within: float = CONNECTS) -> bool:
        listener = other.opened(AF_INET)
        listener.bind(("198.51.100.1", HTTP))
        return heard(listener, hub.opened(AF_INET), ("198.51.100.1", HTTP), within) is not None

    assert passes()
    node.become(node_state(1, ALL))
    assert not passes(NEVER)


def test_an_instance_cannot_speak_by_the_address_of_another(machines: Machines) -> None:
    set_up(machines, ALL)
    _, node, db = machines
    node.host.run(_take(WEB6))
    listener, thief = db.opened(AF_INET6, DB), node.opened(AF_INET6, ALONE)
    there = (str(ALL.address_of(DB)), SQL)
    listener.bind(there)
    thief.bind((WEB6, 0))
    assert heard(listener, thief, there, NEVER) is None


def test_a_machine_that_forwards_goes_on_taking_its_own_address_from_the_network(machines: Machines) -> None:
    _, node, _ = machines
    assert node.host.run(asyncio.to_thread(_forwards_and_takes)) == (False, "1")
    node.become(node_state(1, ALL))
    assert node.host.run(asyncio.to_thread(_forwards_and_takes)) == (True, "2")


def _forwards_and_takes() -> tuple[bool, str]:
    return forwarding.is_on(), ACCEPT_RA.read_text("ascii").strip()


async def _forwards() -> None:
    forwarding.switch_on()


async def _route(network: str, gateway: str) -> None:
    async with connected() as ip:
        await ip.route("add", dst=network, gateway=gateway)


async def _second_address(address: str) -> None:
    async with connected() as ip:
        await ip.addr("add", index=1, address=address, prefixlen=32)


async def _take(address: str) -> None:
    """Into the namespace of an instance whose address it is not."""
    (sock,) = namespaces.sockets([namespace_of(ALONE.id)]).values()
    async with connected(sock) as inside:
        (index,) = await inside.link_lookup(ifname="eth0")
        await inside.addr("add", index=index, address=address, prefixlen=128)
