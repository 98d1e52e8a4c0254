"""Ports of the nodes' own addresses: each node gives one to one copy, and nothing that is placed moves for it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from skerry_hub.loops.nodeports import taken_by
from skerry_hub.model import Loss, NodeState, Placement
from skerry_protocol.app import App, OnReturn, Overlap, Place, Resources
from skerry_protocol.network import AppNetwork, Port, Transport

from .. import builders as b

ABC = [b.node("a"), b.node("b"), b.node("c")]
WEB, LOG = b.publishing("web", 2), b.publishing("log")
HOST = b.best_effort("host", network=AppNetwork({"main": Port(80)}), sandbox_allow=("host-network",))


@pytest.mark.parametrize(
    ("network", "taken"),
    [
        (AppNetwork(), ()),
        (AppNetwork({"http": Port(8080)}), ()),
        (AppNetwork({"http": Port(8080)}, publish={"http": 80}), (Port(80),)),
        (AppNetwork({"dns": Port(5353, Transport.UDP)}, publish={"dns": 53}), (Port(53, Transport.UDP),)),
        (AppNetwork(publish={"http": 80}), ()),
    ],
)
def test_what_an_app_takes(network: AppNetwork, taken: tuple[Port, ...]) -> None:
    assert taken_by(b.best_effort("web", network=network)) == taken


def test_on_the_nodes_own_network_it_takes_what_it_listens_on() -> None:
    assert taken_by(HOST) == (Port(80),)


def test_two_copies_with_one_port_are_on_two_nodes() -> None:
    made = b.planned([b.row(WEB), b.row(LOG)], ABC)
    assert b.where(made) == [("log", 1, "a"), ("web", 1, "b"), ("web", 2, "c")]
    host = b.planned([b.row(HOST), b.row(WEB)], ABC)
    assert b.where(host) == [("host", 1, "a"), ("web", 1, "b"), ("web", 2, "c")]


def test_the_report_names_the_port_and_who_has_it() -> None:
    made = b.planned([b.row(LOG), b.row(replace(WEB, replicas=4))], ABC)
    assert [(one.app, one.number) for one in made.turned] == [("web", 3), ("web", 4)]
    assert made.turned[0].by == {"port 80/tcp (log has it)": 1, "port 80/tcp (web has it)": 2}
    assert made.turned[0].by == made.turned[1].by


def test_other_numbers_and_transports_are_no_hindrance() -> None:
    dns = AppNetwork({"main": Port(80, Transport.UDP)}, publish={"main": 80})
    apps = [LOG, b.publishing("web", outside=81), b.best_effort("dns", network=dns)]
    assert len(b.planned([b.row(app) for app in apps], ABC[:1]).placements) == 3


def test_what_fits_nowhere_keeps_nothing_else_from_its_place() -> None:
    """Copies without a place are remembered by what they ask for, and ports are a part of that."""
    apps = [LOG, b.publishing("web"), b.publishing("wide", outside=81), b.best_effort("zero")]
    made = b.planned([b.row(app) for app in apps], ABC[:1])
    assert {one.app for one in made.placements} == {"log", "wide", "zero"}


def test_one_for_each_node_leaves_out_where_the_port_is_taken() -> None:
    made = b.planned([b.row(LOG), b.row(b.publishing("web", per_node=True))], ABC)
    assert b.where(made) == [("log", 1, "a"), ("web", 2, "b"), ("web", 3, "c")]
    assert made.turned[0].by == {"port 80/tcp (log has it) on a": 1}


def test_a_port_of_a_node_that_is_away_or_drained_stays_taken() -> None:
    row = b.row(b.ha("gate", network=WEB.network))
    made = b.planned([row], ABC)
    silent = {"losses": [Loss(b.nid("a"), 60_000)], "fresh": frozenset({b.nid("b"), b.nid("c")})}
    cut = b.planned([row], ABC, made.placements, **silent)
    assert b.where(cut) == [("gate", 1, "a"), ("gate", 1, "b")]
    every = b.row(b.publishing("each", per_node=True))
    more = b.planned([row, every], ABC, cut.placements, **silent)
    assert [at for app, _, at in b.where(more) if app == "each"] == ["c"]
    drained = [replace(ABC[0], state=NodeState.DRAINING)]
    alone = b.planned([b.row(LOG)], ABC[:1])
    assert b.planned([b.row(LOG)], drained, alone.placements).placements == alone.placements


def test_a_moved_copy_goes_where_its_port_is_free() -> None:
    rows = [b.row(LOG), b.row(b.publishing("web"))]
    made = b.planned(rows, ABC[:2])
    nodes = [replace(ABC[0], state=NodeState.DRAINING), *ABC[1:]]
    assert b.where(b.planned(rows, nodes, made.placements)) == [("log", 1, "c"), ("web", 1, "b")]
    stuck = b.planned(rows, nodes[:2], made.placements)
    assert stuck.placements == made.placements
    assert stuck.waiting[0].reason.endswith("1 port 80/tcp (web has it), 1 state draining")


def test_a_later_conflict_moves_nothing_and_is_told() -> None:
    web = b.best_effort("web")
    made = b.planned([b.row(LOG), b.row(web)], ABC[:1])
    again = b.planned([b.row(LOG), b.row(replace(web, network=LOG.network), 2)], ABC, made.placements)
    assert [one.instance for one in again.placements] == [one.instance for one in made.placements]
    (clash,) = again.clashes
    assert (clash.placement.app, clash.port, clash.holder) == ("web", Port(80), "log")
    assert clash.text("a") == "port 80/tcp of a is that of log"


def test_copies_of_one_app_that_were_doubled_up_clash_with_each_other() -> None:
    web = b.best_effort("web", 2)
    made = b.planned([b.row(web)], ABC[:1])
    again = b.planned([b.row(replace(web, network=WEB.network), 2)], ABC, made.placements)
    (clash,) = again.clashes
    assert clash.text("a") == "port 80/tcp of a leads to another of its copies"


PORTS = st.sampled_from([80, 81])
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "publish": PORTS,
        "host": PORTS,
        "nodes": st.sampled_from([("a",), ("a", "b")]),
        "memory": st.sampled_from([300, 600]),
    },
)
KINDS = st.sampled_from(["best-effort", "per-node", "allow", "forbid"])


def an_app(name: str, kind: str, replicas: int, said: dict[str, Any]) -> App:
    network = AppNetwork()
    allow: tuple[str, ...] = ()
    if "host" in said:
        network, allow = AppNetwork({"main": Port(said["host"])}), ("host-network",)
    elif "publish" in said:
        network = AppNetwork({"main": Port(9)}, publish={"main": said["publish"]})
    more: Any = {
        "network": network,
        "sandbox_allow": allow,
        "place": Place(nodes=said.get("nodes", ())),
        "resources": Resources(memory_bytes=said.get("memory")),
    }
    if kind == "best-effort":
        return b.best_effort(name, replicas, **more)
    if kind == "per-node":
        return b.best_effort(name, per_node=True, **more)
    overlap = Overlap.FORBID if kind == "forbid" else Overlap.ALLOW
    return b.ha(name, overlap, OnReturn.KEEP_REPLACEMENT, replicas=replicas, **more)


WORLDS = st.lists(st.tuples(KINDS, st.integers(1, 3), FIELDS), min_size=4, max_size=4)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(WORLDS, min_size=1, max_size=3),
    st.sets(st.sampled_from("abc")),
    st.randoms(use_true_random=False),
)
def test_no_new_copy_takes_a_port_that_another_has(
    worlds: list[list[tuple[str, int, dict[str, Any]]]], away: set[str], chance: random.Random
) -> None:
    """However apps change: what clashes was there before the change, and nothing goes away because of it."""
    before: tuple[Placement, ...] = ()
    losses = [Loss(b.nid(name), 60_000) for name in sorted(away)]
    fresh = frozenset(node.id for node in ABC if node.name not in away)
    for revision, world in enumerate(worlds, 1):
        apps = [an_app(name, *one) for name, one in zip("pqrs", world, strict=True)]
        rows = [b.row(app, revision) for app in apps]
        made = b.planned(rows, ABC, before, losses=losses, fresh=fresh)
        shaken = tuple(chance.sample(before, len(before)))
        again = b.planned(chance.sample(rows, 4), ABC, shaken, losses=losses, fresh=fresh)
        assert b.where(again) == b.where(made)
        assert {(one.placement.app, one.port) for one in again.clashes} == {
            (one.placement.app, one.port) for one in made.clashes
        }
        old = {one.instance for one in before}
        held = [(one.node, port) for one in made.placements for port in taken_by(apps["pqrs".index(one.app)])]
        new = [one for one in made.placements if one.instance not in old]
        for placement in new:
            for port in taken_by(apps["pqrs".index(placement.app)]):
                assert held.count((placement.node, port)) == 1
        assert len(made.clashes) == len(held) - len(set(held))
        assert not any("port" in reason for _, reason in made.ended)
        assert b.planned(rows, ABC, made.placements, losses=losses, fresh=fresh).clashes == made.clashes
        before = made.placements
