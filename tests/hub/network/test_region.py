"""The region's network from rows: addresses that last, plans without a fault, and a change that concerns few."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from ipaddress import IPv6Network

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_hub.loops.loops import Moment, State, run
from skerry_hub.model import Mesh, NodeRow, NodeState, Placement
from skerry_hub.network.region import Door, addresses, inside, number_for, plan, region
from skerry_netplan.address import NoAddress, node_number
from skerry_netplan.linter import faults, faults_between
from skerry_netplan.planner import Planner
from skerry_protocol import signing
from skerry_protocol.codec import decode
from skerry_protocol.ids import AppName, NodeId, NodeName
from skerry_protocol.messages import Assignment
from skerry_protocol.network import AppNetwork, Network, Port

from .. import builders as b

ROOT = b"r" * 32
DOOR = Door(b"h" * 32, 51820, ("hub.example",), ROOT)
HUB_KEY = signing.new_key()


def key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def member(name: str, **more: object) -> NodeRow:
    row = b.node(name)
    number = number_for(b.MESH, ROOT, row.id, ())
    made = msgspec.structs.replace(
        row, number=number, link_key=key(f"{name} link"), direct_key=key(f"{name} direct")
    )
    return msgspec.structs.replace(made, **more)


def plan_of(node: NodeRow, door: Door = DOOR, mesh: Mesh = b.MESH) -> Network:
    made = plan(Planner(region(mesh, door, [node])), door, node)
    assert made is not None
    return made


@given(st.binary(min_size=32, max_size=32), st.sampled_from(["north", "south", "a", "zzz"]))
def test_the_regions_network_follows_from_the_root_and_its_name(root: bytes, name: str) -> None:
    mesh = msgspec.structs.replace(b.MESH, region=name)
    found = addresses(mesh, root)
    assert found.whole.subnet_of(IPv6Network("fd00::/8"))
    assert (found.whole.prefixlen, found.region.prefixlen) == (48, 56)
    assert found.region.subnet_of(found.whole)
    assert addresses(mesh, root) == found
    assert inside(mesh, root) == str(found.region[1])


def test_an_operators_own_prefix_takes_the_place_of_the_meshs() -> None:
    mesh = msgspec.structs.replace(b.MESH, prefix="2001:db8:7::/56")
    assert plan_of(member("a"), mesh=mesh).whole == "2001:db8:7::/56"
    assert inside(mesh, ROOT) == "2001:db8:7::1"


def test_where_the_hub_is_said_to_be_or_else_where_the_node_found_it() -> None:
    def ends(door: Door, via: str) -> tuple[str, ...]:
        return plan_of(member("a", via=via), door).hubs[0].endpoints

    assert ends(replace(DOOR, hosts=("hub.example:8443", "192.0.2.1", "2001:db8::1", "[2001:db8::2]:8443")), "x") == (
        "hub.example:51820", "192.0.2.1:51820", "[2001:db8::1]:51820", "[2001:db8::2]:51820",
    )  # fmt: skip
    unsaid = replace(DOOR, hosts=())
    assert ends(unsaid, "192.0.2.7") == ("192.0.2.7:51820",)
    assert faults(plan_of(member("a"), unsaid)) != (), "nobody knows where the hub is"


def test_who_waits_for_approval_or_has_no_keys_has_no_part() -> None:
    rows = [member("a"), member("b", state=NodeState.WAITING), member("c", link_key=None), b.node("d")]
    planner = Planner(region(b.MESH, DOOR, rows))
    assert [plan(planner, DOOR, row) is not None for row in rows] == [True, False, False, False]


@given(st.integers(2, 9), st.data())
def test_numbers_are_never_shared(many: int, data: st.DataObject) -> None:
    """In a network that is nearly full."""
    whole = IPv6Network("2001:db8::/77")
    taken: set[int] = set()
    for at in range(7):
        number = node_number(NodeId(f"n{many}{data.draw(st.integers(0, 99))}-{at}"), whole, taken)
        assert 0 < number < 8
        assert number not in taken
        taken.add(number)
    with pytest.raises(NoAddress):
        node_number(NodeId("one more"), whole, taken)


def web(reaches: tuple[str, ...] = ("db",)) -> AppNetwork:
    return AppNetwork(ports={"http": Port(80)}, reaches=tuple(map(AppName, reaches)))


def state(placements: list[Placement]) -> State:
    apps = [
        b.row(msgspec.structs.replace(b.best_effort("web"), network=web())),
        b.row(b.best_effort("db")),
        b.row(b.best_effort("alone")),
    ]
    nodes = [member(name) for name in "abcd"]
    return State(
        b.MESH, apps, {(one.name, one.revision): one for one in apps}, nodes, {}, [], placements, [], {}
    )


def plans(now: State) -> dict[str, Network]:
    """By the node's name."""
    moment = Moment(
        0, b.entropy(), HUB_KEY, signing.Signed(b"", b""), frozenset(one.id for one in now.nodes), door=DOOR
    )
    found = {}
    for row in run(now, moment).assignments:
        payload = decode(signing.Envelope, row.envelope).assignment.payload
        network = decode(Assignment, payload).network
        assert network is not None
        found[row.node.removeprefix("id-")] = network
    return found


def copy(app: str, number: int, on: str) -> Placement:
    return b.placement(f"{app}-{number}-aaaaaaaaaa", app, number, on, revision=1)


def test_assignments_carry_plans_that_fit_each_other() -> None:
    found = plans(state([copy("web", 1, "a"), copy("db", 1, "b"), copy("alone", 1, "c")]))
    assert set(found) == {"a", "b", "c"}
    assert faults_between({NodeName(name): one for name, one in found.items()}) == ()
    assert {name: [mate.name for mate in one.mates] for name, one in found.items()} == {
        "a": ["b"], "b": ["a"], "c": [],
    }  # fmt: skip
    (neighbour,) = found["b"].neighbours
    assert neighbour.app == "web"
    assert [one.address for one in neighbour.copies] == list(found["a"].addresses.values())
