from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_netplan.model import Region
from skerry_netplan.names import is_ours, zone
from skerry_netplan.planner import Planner
from skerry_protocol.ids import NodeId, NodeName

from .regions import at, copy, region, regions, says

COPIES = (copy("web", 1, 1), copy("db", 1, 2), copy("db", 2, 3), copy("node", 1, 3))
MESH = region(3, *COPIES, web=says("db", "node"), db=says(), node=says())
ZONE = zone(Planner(MESH).plan(NodeId("id1")), NodeName("n1"))
FIRST, SECOND = IPv6Address(at(COPIES[1])), IPv6Address(at(COPIES[2]))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("db.skerry", (FIRST, SECOND)),
        ("DB.Skerry.", (FIRST, SECOND)),
        ("1.db.skerry", (FIRST,)),
        ("2.db.skerry", (SECOND,)),
        ("n1.node.skerry", (IPv6Address("fd01:203:405:100:1::1"),)),
        ("n2.node.skerry", (IPv6Address("fd01:203:405:100:2::1"),)),
        ("hub.node.skerry", (IPv6Address("fd01:203:405:100::1"),)),
        ("1.node.skerry", (IPv6Address(at(COPIES[3])),)),
        ("skerry", ()),
        ("3.db.skerry", None),
        ("web.skerry", None),
        ("db.skerry.example", None),
        ("", None),
    ],
)
def test_names(name: str, found: tuple[IPv6Address, ...] | None) -> None:
    assert ZONE.find(name) == found


def test_what_ails_comes_last_and_is_not_left_out() -> None:
    assert ZONE.find("db.skerry", ailing=[FIRST]) == (SECOND, FIRST)
    assert ZONE.find("db.skerry", ailing=[FIRST, SECOND]) == (FIRST, SECOND)


def test_a_node_called_hub_is_found_by_its_name() -> None:
    plan = Planner(MESH).plan(NodeId("id1"))
    assert zone(plan, NodeName("hub")).find("hub.node.skerry") == (IPv6Address("fd01:203:405:100:1::1"),)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("db.skerry", True),
        ("skerry.", True),
        ("x.SKERRY", True),
        ("notskerry", False),
        ("skerry.example", False),
    ],
)
def test_whose_a_name_is(name: str, ours: bool) -> None:
    assert is_ours(name) == ours


def test_copies_that_share_their_nodes_address_are_one_answer() -> None:
    shared = region(
        2, copy("web", 1, 1), copy("db", 1, 2, True), copy("db", 2, 2, True), web=says("db"), db=says()
    )
    names = zone(Planner(shared).plan(NodeId("id1")), NodeName("n1"))
    assert names.find("db.skerry") == names.find("2.db.skerry") == (IPv6Address("fd01:203:405:100:2::1"),)


@given(regions(), st.data())
def test_health_changes_no_set(one: Region, data: st.DataObject) -> None:
    node = next(iter(one.members.values()))
    found = zone(Planner(one).plan(node.id), node.name)
    for name, addresses in found.names.items():
        ailing = data.draw(st.sets(st.sampled_from(addresses))) if addresses else set()
        assert set(found.find(name, ailing) or ()) == set(addresses)
        assert len(set(addresses)) == len(addresses)
        assert all(address in IPv6Network("fd01:203:405:100::/56") for address in addresses)
