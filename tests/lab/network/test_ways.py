"""Ways into and out of the mesh: published ports, the internet, and addresses that are not one's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from socket import AF_INET, AF_INET6, SOCK_DGRAM, SOCK_STREAM, socket

import pytest

from skerry_netplan.address import hub_address
from skerry_netplan.hubside import HubHere, lower_hub
from skerry_netplan.kernel import forwarding, namespaces
from skerry_netplan.kernel.links import connected
from skerry_netplan.kernel.spaces import NO_DAD
from skerry_netplan.lower import namespace_of
from skerry_netplan.model import Copy
from skerry_netplan.slots import address, slots
from skerry_protocol.network import AppNetwork, Port, Transport
from tests.lab.network.hosts import iproute
from tests.lab.network.rig import (
    ALONE,
    CONNECTS,
    DB,
    HUB_PORT,
    NEVER,
    SQL,
    WEB,
    Machine,
    Machines,
    heard,
    mesh,
    node_state,
    public,
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


def test_containers_that_come_later_have_their_network(machines: Machines) -> None:
    """As a container engine makes them, on a machine that forwarded nothing when it booted."""
    hub, node, _ = machines
    node.become(node_state(1, ALL))
    hub.host.run(_route("198.51.100.0/24", node.host.address))
    node.host.run(_guest())

    def passes(within: float = CONNECTS) -> bool:
        listener = node.host.run(_tcp_of_guest())
        listener.bind(("198.51.100.2", HTTP))
        return heard(listener, hub.opened(AF_INET), ("198.51.100.2", HTTP), within) is not None

    assert not passes(NEVER)
    node.read()
    assert node.kernel.inner == ("br-guests",)
    node.become(node_state(1, ALL, inner=node.kernel.inner))
    assert passes()


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
    (sock,) = namespaces.PLAIN.sockets([namespace_of(ALONE.id)]).values()
    async with connected(sock) as inside:
        (index,) = await inside.link_lookup(ifname="eth0")
        await inside.addr("add", index=index, address=address, prefixlen=128, flags=NO_DAD)


def test_nobody_on_the_cable_speaks_as_one_of_the_mesh(machines: Machines) -> None:
    """Web may talk to db; who takes web's address, and sends to db's machine past all tunnels, is not heard."""
    hub, _, node = machines
    one = replace(ALL, apps={**ALL.apps, DB.app: AppNetwork({"sql": Port(SQL, Transport.UDP)})})
    set_up(machines, one)
    db6 = str(one.address_of(DB))
    hub.host.run(_past_tunnels(db6, node.host.run(_mac()), f"{WEB6}/128"))
    hears = node.host.run(_udp(DB, db6))
    said = hub.host.run(_udp(None, WEB6))
    with hears, said:
        said.sendto(b"false", (db6, SQL))
        hears.settimeout(NEVER)
        with pytest.raises(TimeoutError):
            hears.recv(9)


async def _mac() -> str:
    async with connected() as ip:
        (found,) = [one async for one in await ip.link("dump", ifname="eth0")]
        return str(found.get_attr("IFLA_ADDRESS"))


async def _past_tunnels(address: str, mac: str, own: str) -> None:
    await iproute(
        f"addr add {own} dev eth0 nodad",
        f"-6 route add {address} dev eth0",
        f"neigh add {address} lladdr {mac} dev eth0",
    )


async def _guest() -> None:
    """198.51.100.2, behind a bridge."""
    await iproute(
        "netns add guest",
        "link add br-guests type bridge",
        "link add guest0 type veth peer name eth0 netns guest",
        "link set guest0 master br-guests up",
        "link set br-guests up",
        "addr add 198.51.100.1/24 dev br-guests",
        "-n guest link set eth0 up",
        "-n guest addr add 198.51.100.2/24 dev eth0",
        "-n guest route add default via 198.51.100.1",
    )


async def _tcp_of_guest() -> socket:
    return namespaces.PLAIN.open_socket("guest", AF_INET, SOCK_STREAM)


async def _udp(copy: Copy | None, address: str) -> socket:
    """Bound there, to the port that db has."""
    if copy is None:
        sock = socket(AF_INET6, SOCK_DGRAM)
    else:
        sock = namespaces.PLAIN.open_socket(namespace_of(copy.id), AF_INET6, SOCK_DGRAM)
    sock.bind((address, SQL))
    return sock


def test_nobody_on_the_cable_reaches_what_the_hub_has_for_nodes(machines: Machines) -> None:
    hub, node, stranger = machines
    hub.become(lower_hub(ALL, HubHere(public("hub"), HUB_PORT, 1420, services=(Port(SQL),))))
    node.become(node_state(1, ALL))
    at = str(hub_address(ALL.addresses.region))

    def reached(machine: Machine, within: float = CONNECTS) -> bool:
        listener = hub.opened(AF_INET6)
        listener.bind((at, SQL))
        return heard(listener, machine.opened(AF_INET6), (at, SQL), within) is not None

    assert reached(node)
    hub.host.run(_past_tunnels("2001:db8::2", stranger.host.run(_mac()), "2001:db8::1/64"))
    stranger.host.run(_past_tunnels(at, hub.host.run(_mac()), "2001:db8::2/64"))
    assert not reached(stranger, NEVER)
