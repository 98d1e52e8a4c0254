"""What the machine's admin has under a name like Skerry's is said where it is in the way, and never harmed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from skerry_netplan.kernel.kernel import KernelError
from skerry_netplan.slots import RANGE
from skerry_netplan.state import State, device_of
from tests.lab.network.rig import (
    ALONE,
    DB,
    SQL,
    WEB,
    Machine,
    Machines,
    mesh,
    node_state,
    region,
    set_up,
    talk,
)

ALL = region(WEB, DB, ALONE)
TABLE = "table inet skerry { chain admins { tcp dport 22 accept; }; }"


@pytest.fixture
def machines() -> Iterator[Machines]:
    with mesh() as made:
        yield made


def ran(machine: Machine, *words: str) -> str:
    return machine.host.run(_ran(*words))


async def _ran(*words: str) -> str:
    """On the host's thread, so in its namespaces."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout  # noqa: ASYNC221


def refused(machine: Machine, wanted: State) -> str:
    """Why not all of it can be made; it is the same each time, and all else is there."""
    said = []
    for _ in range(2):
        with pytest.raises(KernelError) as refusal:
            machine.become(wanted)
        said.append(str(refusal.value))
    assert said[0] == said[1]
    assert machine.read().spaces.keys() == wanted.spaces.keys()
    return said[0]


def test_another_skerry_direct_costs_the_direct_tunnels_alone(machines: Machines) -> None:
    set_up(machines, ALL)
    node = machines[1]
    node.become(State())
    ran(node, "ip", "link", "add", "skerry-direct", "up", "type", "bridge")
    said = refused(node, node_state(1, ALL))
    assert "called skerry-direct that is not Skerry's (rename it, or remove it: ip link del" in said
    assert "bridge" in ran(node, "ip", "-details", "link", "show", "skerry-direct")
    assert talk(machines, WEB, DB, SQL), "through the hub"


@pytest.mark.parametrize("up", [(), ("up",)])
def test_interfaces_with_names_like_those_of_instances_stay(machines: Machines, up: tuple[str, ...]) -> None:
    node, names = machines[1], ("sk-lan", "sk-lan2", "sk-abcdefghij")
    ran(node, "ip", "link", "add", names[0], *up, "type", "veth", "peer", "name", names[1])
    ran(node, "ip", "link", "add", names[2], *up, "type", "bridge")
    node.become(node_state(1, ALL))
    node.become(State())
    assert all(name in ran(node, "ip", "link", "show", name) for name in names)


def test_one_with_the_very_name_of_an_instances_is_said_and_stays(machines: Machines) -> None:
    node, name = machines[1], device_of(WEB.id)
    wanted = node_state(1, ALL)
    ran(node, "ip", "link", "add", name, "up", "type", "bridge")
    with pytest.raises(KernelError, match=f"an interface called {name} that is not Skerry's .*ip link del"):
        node.become(wanted)
    assert "bridge" in ran(node, "ip", "-details", "link", "show", name)
    assert node.read().spaces[ALONE.id] == wanted.spaces[ALONE.id], "the other instance has its own"
    ran(node, "ip", "link", "delete", name)
    node.become(wanted)
    assert node.become(wanted) == 0


def test_namespaces_with_names_like_those_of_instances_stay(machines: Machines) -> None:
    node = machines[1]
    node.become(State())
    ran(node, "ip", "netns", "add", "skerry-lab")
    ran(node, "ip", "netns", "add", "skerry-web-1")
    node.become(node_state(1, ALL))
    node.become(State())
    assert set(ran(node, "ip", "netns", "list").split()) == {"skerry-lab", "skerry-web-1"}


def test_a_table_of_the_admins_is_said_and_stays(machines: Machines) -> None:
    node, wanted = machines[1], node_state(1, ALL)
    ran(node, "nft", TABLE)
    said = refused(node, wanted)
    assert "there is a table 'inet skerry' that is not Skerry's" in said
    assert "nft delete table inet skerry" in said
    assert "dport 22" in ran(node, "nft", "list", "table", "inet", "skerry")
    ran(node, "nft", "delete", "table", "inet", "skerry")
    node.become(wanted)
    assert node.become(wanted) == 0


def test_a_route_of_the_admins_to_the_same_network_is_back_when_skerrys_is_gone(machines: Machines) -> None:
    node, wanted = machines[1], node_state(1, ALL)
    whole = str(ALL.addresses.whole)
    ran(node, "ip", "-6", "route", "add", whole, "dev", "eth0")
    node.become(wanted)
    assert node.become(wanted) == 0
    assert "dev skerry" in ran(node, "ip", "-6", "route", "get", whole.partition("/")[0] + "1")
    node.become(State())
    assert "dev eth0" in ran(node, "ip", "-6", "route", "show", whole)


def test_the_networks_that_a_machine_is_in_are_known_for_instances_to_keep_out_of(machines: Machines) -> None:
    node = machines[1]
    node.become(node_state(1, ALL))
    ran(node, "ip", "address", "add", "100.127.240.9/30", "dev", "eth0")
    node.read()
    assert set(map(str, node.kernel.networks4)) >= {"192.0.2.0/24", "100.127.240.8/30"}
    assert not {RANGE, *(RANGE.subnets(new_prefix=32))} & set(node.kernel.networks4), (
        "but not by its instances"
    )
