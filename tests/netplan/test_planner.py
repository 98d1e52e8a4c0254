from dataclasses import replace

from hypothesis import given

from skerry_netplan.linter import faults_between
from skerry_netplan.model import Region
from skerry_netplan.planner import Planner
from skerry_protocol.codec import decode, encode
from skerry_protocol.ids import NodeId, NodeName
from skerry_protocol.network import CopyAt, Network, Port

from .regions import DB, HUB, LOG, WEB, at, copy, key, member, region, regions, says


def plans(one: Region) -> dict[NodeName, Network]:
    planner = Planner(one)
    return {member.name: planner.plan(member.id) for member in one.members.values()}


def test_a_node_with_nothing_to_reach_knows_its_hub_alone() -> None:
    plan = Planner(region(2, copy("db", 1, 1), db=says())).plan(NodeId("id1"))
    assert plan == Network(
        whole="fd01:203:405::/48",
        region="fd01:203:405:100::/56",
        node="fd01:203:405:100:1::/80",
        hubs=(HUB,),
        addresses={copy("db", 1, 1).id: at(copy("db", 1, 1))},
    )


def test_both_ends_know_each_other() -> None:
    found = plans(region(3, copy("web", 1, 1), copy("db", 1, 2), web=says("db"), db=says(sql=5432)))
    web, db, other = found[NodeName("n1")], found[NodeName("n2")], found[NodeName("n3")]
    assert [(mate.name, mate.network, mate.key) for mate in web.mates] == [
        ("n2", "fd01:203:405:100:2::/80", key(2))
    ]
    assert [mate.name for mate in db.mates] == ["n1"]
    assert web.neighbours[0].copies == (CopyAt(1, at(copy("db", 1, 2))),)
    assert web.neighbours[0].ports == {"sql": Port(5432)}
    assert (db.neighbours[0].app, db.neighbours[0].reaches) == (WEB, (DB,))
    assert (other.mates, other.neighbours) == ((), ())


def test_copies_on_the_same_node_are_no_mates() -> None:
    plan = Planner(region(1, copy("web", 1, 1), copy("db", 1, 1), web=says("db"), db=says())).plan(
        NodeId("id1")
    )
    assert plan.mates == ()
    assert [one.app for one in plan.neighbours] == [DB, WEB]


def test_one_number_has_two_addresses_while_its_copy_moves() -> None:
    moving = region(
        3,
        copy("web", 1, 1),
        copy("db", 1, 2),
        copy("db", 1, 3),
        copy("db", 2, 3),
        web=says("db"),
        db=says(),
    )
    (db,) = Planner(moving).plan(NodeId("id1")).neighbours
    assert [(one.number, one.address) for one in db.copies] == [
        (1, at(copy("db", 1, 2))),
        (1, at(copy("db", 1, 3))),
        (2, at(copy("db", 2, 3))),
    ]


def test_a_node_whose_agent_makes_no_direct_tunnels_is_reached_through_the_hub() -> None:
    members = [member(1), member(2, direct=False)]
    plan = Planner(region(members, copy("web", 1, 1), copy("db", 1, 2), web=says("db"), db=says())).plan(
        NodeId("id1")
    )
    assert [(mate.name, mate.key) for mate in plan.mates] == [("n2", None)]


def test_what_is_reached_and_not_there_is_said() -> None:
    planner = Planner(region(1, copy("web", 1, 1), web=says("db", "log"), log=says("nothing")))
    assert [str(one) for one in planner.missing()] == [
        "log reaches nothing, but the region has no app of that name",
        "web reaches db, but the region has no app of that name",
    ]
    assert [one.app for one in planner.plan(NodeId("id1")).neighbours] == [LOG]


def test_copies_on_the_network_of_their_node_are_at_its_address() -> None:
    one = region(
        2,
        copy("web", 1, 1),
        copy("db", 1, 2, True),
        copy("db", 2, 2, True),
        web=says("db"),
        db=says(sql=5432),
    )
    found = plans(one)
    assert found[NodeName("n2")].addresses == {}
    (db,) = found[NodeName("n1")].neighbours
    assert db.copies == (CopyAt(1, "fd01:203:405:100:2::1"), CopyAt(2, "fd01:203:405:100:2::1"))
    assert [mate.name for mate in found[NodeName("n2")].mates] == ["n1"]


def test_two_of_one_number_at_one_address_are_one() -> None:
    first = copy("db", 1, 2, True)
    moved = replace(first, id=copy("db", 1, 3).id)
    (db,) = (
        Planner(region(2, copy("web", 1, 1), first, moved, web=says("db"), db=says()))
        .plan(NodeId("id1"))
        .neighbours
    )
    assert db.copies == (CopyAt(1, "fd01:203:405:100:2::1"),)


def test_another_app_changes_no_plan_but_those_around_it() -> None:
    before = region(
        4, copy("web", 1, 1), copy("db", 1, 2), copy("log", 1, 3), web=says("db"), db=says(), log=says()
    )
    after = replace(before, copies=(*before.copies, copy("log", 2, 4)))
    changed = {name for name, plan in plans(after).items() if plan != plans(before)[name]}
    assert changed == {"n4"}


@given(regions())
def test_the_linter_finds_nothing_in_any_plan(one: Region) -> None:
    assert faults_between(plans(one)) == ()


@given(regions())
def test_no_order_matters(one: Region) -> None:
    turned = replace(
        one,
        members=dict(reversed(list(one.members.items()))),
        copies=tuple(reversed(one.copies)),
        apps=dict(reversed(list(one.apps.items()))),
    )
    assert {name: encode(plan) for name, plan in plans(one).items()} == {
        name: encode(plan) for name, plan in plans(turned).items()
    }


@given(regions())
def test_who_may_talk_is_known_at_both_ends(one: Region) -> None:
    found = plans(one)
    for client in one.copies:
        for server in one.copies:
            if server.app not in one.apps[client.app].reaches:
                continue
            here = found[one.members[client.node].name]
            there = found[one.members[server.node].name]
            assert str(one.address_of(server)) in addresses(here, server.app)
            assert str(one.address_of(client)) in addresses(there, client.app)
            assert client.node == server.node or one.members[server.node].name in {m.name for m in here.mates}


@given(regions())
def test_what_has_an_address_of_its_own_is_on_no_host_network(one: Region) -> None:
    for plan in plans(one).values():
        assert plan.addresses.keys() <= {copy.id for copy in one.copies if not copy.host}
    assert sum(len(plan.addresses) for plan in plans(one).values()) == sum(
        not copy.host for copy in one.copies
    )


@given(regions())
def test_a_plan_names_nothing_that_its_instances_have_no_part_in(one: Region) -> None:
    for node in one.members:
        own = {copy.app for copy in one.copies if copy.node == node}
        for neighbour in Planner(one).plan(node).neighbours:
            reaches = any(neighbour.app in one.apps[app].reaches for app in own)
            assert reaches or own & set(neighbour.reaches)


@given(regions())
def test_a_plan_travels(one: Region) -> None:
    for plan in plans(one).values():
        assert decode(Network, encode(plan)) == plan


def addresses(plan: Network, app: str) -> set[str]:
    return {copy.address for one in plan.neighbours if one.app == app for copy in one.copies}
