from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from skerry_netplan.linter import endpoint, faults, faults_between
from skerry_netplan.planner import Planner
from skerry_protocol.codec import WireError, decode, encode
from skerry_protocol.ids import AppName, InstanceId, NodeId, NodeName
from skerry_protocol.network import CopyAt, HubAt, Mate, Neighbour, Network

from .regions import HUB, copy, key, region, says

REGION = region(2, copy("web", 1, 1), copy("db", 1, 2), web=says("db"), db=says(sql=5432))
PLAN = Planner(REGION).plan(NodeId("id1"))
OTHER = Planner(REGION).plan(NodeId("id2"))
MATE = PLAN.mates[0]
INSTANCE = copy("web", 1, 1).id


def hub(**changes: object) -> tuple[HubAt, ...]:
    return (replace(HUB, **changes),)


def mates(**changes: object) -> tuple[Mate, ...]:
    return (replace(MATE, **changes),)


def db(*addresses: str) -> tuple[Neighbour, ...]:
    return (Neighbour(AppName("db"), tuple(CopyAt(1, text) for text in addresses)),)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (replace(PLAN, node="here"), "'here' is not an IPv6 network"),
        (replace(PLAN, node="10.0.0.0/8"), "'10.0.0.0/8' is not an IPv6 network"),
        (replace(PLAN, mates=mates(network="")), "'' is not an IPv6 network"),
        (replace(PLAN, region="fd02::/56"), "the region's fd02::/56 is not in the mesh's fd01:203:405::/48"),
        (replace(PLAN, node="fd01:203:405:100:1::/96"), "is a /96, not a /80"),
        (replace(PLAN, node="fd01:203:405:200:1::/80"), "is not in the region's fd01:203:405:100::/56"),
        (replace(PLAN, hubs=()), "it names no hub, so the node would be cut off"),
        (replace(PLAN, hubs=hub(endpoints=())), "has no endpoint, so the node would be cut off"),
        (replace(PLAN, hubs=hub(endpoints=("hub",))), "the hub's endpoint 'hub' is not like host:51820"),
        (replace(PLAN, hubs=hub(address="hub")), "the hub's 'hub' is not an IPv6 address"),
        (replace(PLAN, hubs=hub(address="2001:db8::1")), "the hub's 2001:db8::1 is not in the region's"),
        (replace(PLAN, hubs=hub(address="fd01:203:405:100:1::1")), "is one of the node's own, so the node would be"),
        (replace(PLAN, hubs=hub(address="fd01:203:405:100:2::9")), "would lead to n2, so the node would be cut off"),
        (replace(PLAN, hubs=(HUB, HUB)), f"two hubs have the key {HUB.key.hex()}"),
        (replace(PLAN, mates=mates(network="fd01:203:405:200:2::/80")), "n2's fd01:203:405:200:2::/80 is not a /80 in"),
        (replace(PLAN, mates=mates(network="fd01:203:405:100::/56")), "n2's fd01:203:405:100::/56 is not a /80 in"),
        (replace(PLAN, mates=mates(network=PLAN.node)), "n2's fd01:203:405:100:1::/80 is the node's own"),
        (replace(PLAN, mates=(MATE, replace(MATE, key=key(9)))), "two nodes are called n2"),
        (replace(PLAN, mates=mates(key=HUB.key)), f"two of its peers have the key {HUB.key.hex()}"),
        (replace(PLAN, whole='fd01:203:405::%"/48'), "is not an IPv6 network"),
        (replace(PLAN, addresses={InstanceId("../x"): "fd01:203:405:100:1::9"}), "'../x' is no instance's id"),
        (
            replace(
                PLAN,
                addresses={
                    InstanceId("a-1-abcdefghij"): "fd01:203:405:100:1::8",
                    InstanceId("b-1-abcdefghij"): "fd01:203:405:100:1::9",
                },
            ),
            "two instances would have the interface sk-abcdefghij",
        ),
        (replace(PLAN, addresses={INSTANCE: "x"}), f"{INSTANCE}'s 'x' is not an IPv6 address"),
        (replace(PLAN, addresses={INSTANCE: "fd01:203:405:100:2::2"}), f"{INSTANCE}'s fd01:203:405:100:2::2 is not in"),
        (replace(PLAN, addresses={INSTANCE: "fd01:203:405:100:1::1"}), "is the node's own"),
        (
            replace(PLAN, addresses=dict.fromkeys((INSTANCE, InstanceId("b")), "fd01:203:405:100:1::2")),
            "two instances have the address fd01:203:405:100:1::2",
        ),
        (replace(PLAN, neighbours=db("fe80::1%eth0")), "db's 'fe80::1%eth0' is not an IPv6 address"),
        (replace(PLAN, neighbours=db("fd01:203:405:100:1::9")), "would be here, but no instance has it"),
        (replace(PLAN, neighbours=db("fd01:203:405:100:3::2")), "is on no node that the plan leads to"),
        (replace(PLAN, neighbours=db() * 2), "db is named twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(broken: Network, said: str) -> None:
    assert said in "\n".join(faults(broken))


def test_copies_on_the_network_of_a_node_are_at_its_own_address() -> None:
    assert faults(replace(PLAN, neighbours=db("fd01:203:405:100:1::1", "fd01:203:405:100:2::1"))) == ()
    assert faults(replace(PLAN, neighbours=db("fd01:203:405:100::1"))) == (
        "db's fd01:203:405:100::1 is on no node that the plan leads to",
    )


def test_all_faults_are_said_at_once() -> None:
    broken = replace(PLAN, hubs=hub(endpoints=("a", "b")), addresses={INSTANCE: "x"})
    assert len(faults(broken)) == 3


@pytest.mark.parametrize(
    ("plans", "said"),
    [
        ((PLAN, replace(OTHER, hubs=())), "n2: it names no hub"),
        ((PLAN, replace(OTHER, node=PLAN.node, addresses={}, mates=(), neighbours=())), "n1 and n2 share"),
        ((PLAN,), "n1 has a route to n2, which has no plan"),
        (
            (PLAN, replace(OTHER, node="fd01:203:405:100:7::/80", addresses={})),
            "n1 looks for n2 at fd01:203:405:100:2::/80, but it is at fd01:203:405:100:7::/80",
        ),
        ((PLAN, replace(OTHER, mates=(replace(OTHER.mates[0], key=MATE.key),))), "n2 and n1 have the same key"),
    ],
)  # fmt: skip
def test_what_two_plans_disagree_on_is_said(plans: tuple[Network, ...], said: str) -> None:
    found = faults_between({NodeName(f"n{number}"): plan for number, plan in enumerate(plans, 1)})
    assert said in "\n".join(found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("hub.example:51820", ("hub.example", 51820)),
        ("192.0.2.1:1", ("192.0.2.1", 1)),
        ("[2001:db8::1]:51820", ("2001:db8::1", 51820)),
        ("2001:db8::1:51820", None),
        ("[hub]:51820", None),
        ("[1.2.3.4]:51820", None),
        ("hub:0", None),
        ("hub:65536", None),
        ("hub", None),
        ("hub:1\nprivate_key=0", None),
    ],
)
def test_endpoints(text: str, found: tuple[str, int] | None) -> None:
    assert endpoint(text) == found


TEXTS = st.one_of(
    st.text(max_size=30), st.sampled_from([PLAN.node, PLAN.region, PLAN.whole, "::", "::/0", "fe80::1%x/64", "1.2.3.4"])
)  # fmt: skip
CHANGED: list[Callable[[str], Network]] = [
    lambda text: replace(PLAN, whole=text),
    lambda text: replace(PLAN, region=text),
    lambda text: replace(PLAN, node=text),
    lambda text: replace(PLAN, hubs=hub(address=text)),
    lambda text: replace(PLAN, hubs=hub(endpoints=(text,))),
    lambda text: replace(PLAN, mates=mates(network=text)),
    lambda text: replace(PLAN, addresses={INSTANCE: text}),
    lambda text: replace(PLAN, neighbours=db(text)),
]


@given(st.sampled_from(CHANGED), TEXTS)
def test_no_text_is_too_strange_to_be_judged(changed: Callable[[str], Network], text: str) -> None:
    faults(changed(text))
    faults_between({NodeName("n1"): changed(text), NodeName("n2"): OTHER})


@given(st.binary(max_size=200), st.integers(0, 400))
def test_damaged_bytes_are_refused_or_judged(junk: bytes, at: int) -> None:
    whole = encode(PLAN)
    try:
        plan = decode(Network, whole[:at] + junk + whole[at + len(junk) :])
    except WireError:
        return
    faults(plan)
