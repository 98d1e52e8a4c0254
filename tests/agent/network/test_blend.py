from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from skerry_agent.network.blend import blend
from skerry_agent.network.records import Plan
from skerry_netplan.address import UniqueLocal
from skerry_netplan.linter import faults
from skerry_netplan.model import Region
from skerry_netplan.planner import Planner
from skerry_protocol.ids import NodeId, NodeName
from skerry_protocol.network import HubAt
from tests.netplan.regions import HUB, copy, member, region, regions, says

WEB, DB, LOG = copy("web", 1, 1), copy("db", 1, 2), copy("log", 1, 1)
SAID = {"web": says("db"), "db": says(sql=5432), "log": says()}
OTHER_HUB = HubAt(b"x" * 32, HUB.address, ("192.0.2.7:1",))


def plan(one: Region, node: str = "id1") -> Plan:
    apps = {each.id: each.app for each in one.copies if each.node == node}
    says = {app: one.apps[app] for app in apps.values()}
    return Plan(Planner(one).plan(NodeId(node)), NodeName("n1"), apps, says)


def led(one: Plan, **words: object) -> Plan:
    return replace(one, network=replace(one.network, **words))


OLD = plan(region(2, WEB, DB, **SAID))
NEW = plan(region(2, WEB, DB, LOG, **SAID))


def test_a_way_is_what_can_cost_the_hub_and_nothing_else() -> None:
    assert OLD.way == NEW.way
    assert OLD.digest != NEW.digest
    assert led(OLD, hubs=(OTHER_HUB,)).way != OLD.way
    for word in ("whole", "region", "node"):
        assert led(OLD, **{word: "fd00::/80"}).way != OLD.way


def test_by_the_same_way_the_newest_is_all() -> None:
    assert blend(OLD, NEW) is NEW


def test_another_hub_is_left_out_and_the_instances_are_not() -> None:
    assert blend(OLD, led(NEW, hubs=(OTHER_HUB,))) == NEW


def test_in_another_network_of_the_node_instances_keep_the_address_that_they_have() -> None:
    moved = region([member(1), member(2)], WEB, DB, LOG, **SAID)
    elsewhere = plan(Region(UniqueLocal(bytes(5), 1), (HUB,), moved.members, moved.copies, moved.apps))
    found = blend(OLD, elsewhere)
    assert found.network.addresses == OLD.network.addresses
    assert (found.way, found.apps) == (OLD.way, elsewhere.apps)
    assert faults(found.network) == ()


def test_what_is_gone_from_the_newest_is_gone() -> None:
    fewer = led(plan(region(2, DB, LOG, **SAID)), hubs=(OTHER_HUB,))
    assert set(blend(OLD, fewer).network.addresses) == {LOG.id}


@given(regions(), regions(), st.booleans())
def test_whatever_comes_the_way_stays_and_the_linter_is_content(
    kept: Region, newest: Region, other: bool
) -> None:
    old = plan(kept, min(kept.members))
    new = plan(newest, min(newest.members))
    found = blend(old, led(new, hubs=(OTHER_HUB,)) if other else new)
    assert found.way == old.way
    assert faults(found.network) == ()
    assert set(found.network.addresses) <= {*old.network.addresses, *new.network.addresses}
    assert found == old or found.apps == new.apps
    if old.network.node == new.network.node:
        assert found.network.addresses == new.network.addresses
