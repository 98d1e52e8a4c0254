"""Plans carried out on real interfaces: what is wanted is there, packets go where they may, nothing is left over."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from skerry_netplan.differ import SetRules, diff
from skerry_netplan.hubside import HubHere, lower_hub
from skerry_netplan.kernel import namespaces, nft
from skerry_netplan.kernel.kernel import KernelError
from skerry_netplan.kernel.links import connected, read_links
from skerry_netplan.state import DIRECT, HUB_LINK, LINK, State
from tests.lab.network.hosts import DEADLINE, cabled
from tests.lab.network.rig import (
    ALONE,
    DB,
    HUB_PORT,
    NEVER,
    OTHER,
    SQL,
    WEB,
    Machine,
    Machines,
    mesh,
    node_state,
    public,
    region,
    set_up,
    talk,
    udp,
)
from tests.netplan.regions import HUB

HUB_AT = HUB.address
IPV6_FREEBIND = 78  # linux/in6.h


@pytest.fixture
def machines() -> Iterator[Machines]:
    with mesh() as made:
        yield made


def test_what_is_wanted_is_there_and_stays(machines: Machines) -> None:
    one = region(WEB, DB, ALONE)
    wanted = node_state(1, one)
    assert machines[1].read() == State()
    assert machines[1].become(wanted) > 10
    assert machines[1].become(wanted) == 0


def test_an_instance_reaches_what_it_is_to_reach_through_the_hub(
    machines: Machines,
) -> None:
    set_up(machines, region(WEB, DB, ALONE))
    assert talk(machines, WEB, DB, SQL)
    assert not talk(machines, WEB, DB, OTHER, NEVER)
    assert not talk(machines, ALONE, DB, SQL, NEVER)
    assert not talk(machines, DB, WEB, SQL, NEVER)
    assert not talk(machines, WEB, ALONE, SQL, NEVER)


def test_a_direct_tunnel_takes_over_while_the_other_side_still_answers_through_the_hub(
    machines: Machines,
) -> None:
    hub, web, db = machines
    one = region(WEB, DB)
    set_up(machines, one)
    web.become(node_state(1, one, "n2"))
    assert talk(machines, WEB, DB, SQL)
    db.become(node_state(2, one, "n1"))
    hub.become(State())
    assert talk(machines, WEB, DB, SQL)


def test_nothing_is_left_of_what_is_no_longer_wanted(machines: Machines) -> None:
    one = machines[1]
    one.become(node_state(1, region(WEB, ALONE)))
    one.become(State())
    assert one.read() == State()
    assert one.host.run(_listed()) == ({"lo", "eth0"}, [], False)


async def _listed() -> tuple[set[str], list[str], bool]:
    async with connected() as ip:
        return set(await read_links(ip)), list(namespaces.PLAIN.names()), await nft.is_there()


def test_a_run_that_is_cut_anywhere_is_gone_on_from(machines: Machines) -> None:
    node = machines[1]
    before, wanted = node_state(1, region(ALONE, DB)), node_state(1, region(WEB, DB))
    node.become(before)
    number = len(diff(wanted, node.read()))
    assert number > 5
    for cut in range(number):
        operations = diff(wanted, node.read())
        assert node.host.run(node.kernel.carry_out(operations[:1])) is None, cut
    assert diff(wanted, node.read()) == ()


def test_what_an_interrupted_operation_leaves_is_made_whole(
    machines: Machines,
) -> None:
    node, wanted = machines[1], node_state(1, region(WEB, ALONE))
    node.become(wanted)
    node.host.run(_damage())
    assert node.become(wanted) >= 2
    assert diff(wanted, node.read()) == ()


async def _damage() -> None:
    """As if power had gone: a namespace's file without a namespace, and an interface whose other end is down."""
    namespaces.PLAIN.remove(f"skerry-{WEB.id}")
    (namespaces.PLAIN.path / f"skerry-{WEB.id}").touch()
    (sock,) = namespaces.PLAIN.sockets([f"skerry-{ALONE.id}"]).values()
    async with connected(sock) as inside:
        (index,) = await inside.link_lookup(ifname="eth0")
        await inside.link("set", index=index, state="down")


def test_rules_that_somebody_flushed_or_changed_are_put_back(
    machines: Machines,
) -> None:
    node, wanted = machines[1], node_state(1, region(WEB))
    node.become(wanted)
    for words in (
        ("flush", "ruleset"),
        ("flush", "table", "inet", "skerry"),
        ("insert", "rule", "inet", "skerry", "input", "accept"),
    ):
        node.host.run(_nft(*words))
        assert [type(one) for one in diff(wanted, node.read())] == [SetRules]
        node.become(wanted)
        assert diff(wanted, node.read()) == ()


def test_an_instance_that_speaks_by_an_address_of_another_is_not_heard(machines: Machines) -> None:
    node, one = machines[1], region(WEB, ALONE)
    node.become(node_state(1, one))
    own, others = str(one.address_of(WEB)), str(one.address_of(ALONE))
    for words in (
        "add table inet admins",
        "add chain inet admins heard { type filter hook prerouting priority -200; }",
        f"add rule inet admins heard ip6 saddr {own} udp dport 9 counter",
        f"add rule inet admins heard ip6 saddr {others} udp dport 9 counter",
    ):
        node.host.run(_nft(words))
    with node.host.run(udp(WEB)) as sock:
        for address in (others, own):
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
            sock.sendmsg(
                [b"it is I"], [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _from(address))], 0, (HUB_AT, 9)
            )
    until(lambda: "packets 1" in _counted(node, own))
    assert "packets 0" in _counted(node, others), "which it sent before"


def _from(address: str) -> bytes:
    """An in6_pktinfo (RFC 3542): whatever the interface."""
    return socket.inet_pton(socket.AF_INET6, address) + bytes(4)


def _counted(machine: Machine, address: str) -> str:
    """The line of those who count what is heard by this address."""
    listed = machine.host.run(_nft("list", "table", "inet", "admins")).splitlines()
    return next(line for line in listed if f"ip6 saddr {address} " in line)


def until(so: Callable[[], bool]) -> None:
    """Packets take a moment."""
    deadline = time.monotonic() + DEADLINE
    while not so():
        assert time.monotonic() < deadline


def test_the_rules_of_others_stay(machines: Machines) -> None:
    node = machines[1]
    node.host.run(_nft("add", "table", "inet", "admins"))
    node.become(node_state(1, region(WEB)))
    node.become(State())
    assert node.host.run(_nft("list", "tables")) == "table inet admins\n"


async def _nft(*words: str) -> str:
    process = await asyncio.create_subprocess_exec("nft", *words, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


def test_an_interface_of_the_admins_own_is_not_touched(machines: Machines) -> None:
    node = machines[1]
    node.host.run(_own_interface())
    with pytest.raises(KernelError, match=r"called skerry that is not Skerry's .*ip link del skerry"):
        node.become(node_state(1, region(WEB)))
    assert "skerry" in node.host.run(_listed())[0]


async def _own_interface() -> None:
    async with connected() as ip:
        await ip.link("add", ifname="skerry", kind="bridge")
        (index,) = await ip.link_lookup(ifname="skerry")
        await ip.link("set", index=index, state="up")


def test_peers_keep_their_sessions_through_a_change(machines: Machines) -> None:
    one = region(WEB, DB)
    set_up(machines, one)
    assert talk(machines, WEB, DB, SQL)
    before = handshakes(machines[1])
    machines[1].become(node_state(1, region(WEB, DB, ALONE), "n2"))
    assert talk(machines, WEB, DB, SQL)
    assert before.items() <= handshakes(machines[1]).items()


def handshakes(machine: Machine) -> dict[bytes, float]:
    seen = machine.host.run(machine.kernel.backend.read(LINK))
    return {key: peer.handshake for key, peer in seen.peers.items() if peer.handshake}


def test_a_hub_and_a_node_on_one_machine_take_nothing_from_each_other() -> None:
    """But the firewall, of which there is one."""
    with cabled("both") as (host,):
        hub, node = Machine(host, "hub"), Machine(host, "link1", "direct1")
        hub.kernel.tunnels, node.kernel.tunnels = (HUB_LINK,), (LINK, DIRECT)
        one = region(WEB, DB)
        of_hub, of_node = lower_hub(one, HubHere(public("hub"), HUB_PORT, 1420)), node_state(1, one)
        hub.become(of_hub)
        node.become(of_node)
        assert {type(each) for each in diff(of_hub, hub.read())} <= {SetRules}
        hub.become(of_hub)
        assert {type(each) for each in diff(of_node, node.read())} <= {SetRules}
