import asyncio

import pytest

from skerry_agent.network.proof import Proof
from skerry_agent.network.records import Plan, Reached
from skerry_netplan.kernel.tunnels import PeerSeen
from skerry_netplan.state import Peer
from skerry_protocol.ids import NodeName
from skerry_protocol.network import HubAt, Network

KEY = b"h" * 32
HERE, THERE = "192.0.2.1:51820", "192.0.2.9:51820"


def plan(*endpoints: str, key: bytes = KEY) -> Plan:
    hub = HubAt(key, "fd00:0:0:100::1", endpoints)
    return Plan(Network("fd00::/48", "fd00:0:0:100::/56", "fd00:0:0:1:1::/80", (hub,)), NodeName("n1"))


def seen(endpoint: str | None, key: bytes = KEY) -> dict[bytes, PeerSeen]:
    return {key: PeerSeen(Peer(key, frozenset(), endpoint))}


async def resolve(endpoint: str) -> str | None:
    return HERE if endpoint == "hub.example:51820" else None


@pytest.fixture
def proof() -> Proof:
    return Proof(resolve)


def answer(one: Plan, at_ms: int) -> Reached:
    return Reached(one.way, "boot", at_ms)


def test_an_answer_to_a_beat_that_was_sent_to_where_the_plan_says_is_proof(proof: Proof) -> None:
    proof.look(plan(HERE), seen(HERE), 5)
    assert not proof.proves(None)
    assert not proof.proves(answer(plan(HERE), 4))
    assert proof.proves(answer(plan(HERE), 5))
    assert not proof.proves(answer(plan(THERE), 5)), "that was another plan"


@pytest.mark.parametrize("peers", [seen(HERE), seen(None), seen(THERE, b"x" * 32), {}])
def test_where_the_tunnel_ends_elsewhere_nothing_is(proof: Proof, peers: dict[bytes, PeerSeen]) -> None:
    one = plan(THERE)
    proof.look(one, seen(THERE), 5)
    proof.look(one, peers, 7)
    assert not proof.proves(answer(one, 6))
    proof.look(one, seen(THERE), 8)
    assert not proof.proves(answer(one, 7)), "nor what was answered meanwhile"
    assert proof.proves(answer(one, 8))


def test_under_another_plan_it_counts_anew(proof: Proof) -> None:
    before, after = plan(HERE), plan(HERE, THERE)
    proof.look(before, seen(HERE), 5)
    proof.look(after, seen(HERE), 9)
    assert not proof.proves(answer(after, 8))
    assert proof.proves(answer(after, 9))


def test_any_of_its_places_will_do_and_names_as_they_were_resolved(proof: Proof) -> None:
    named = plan("gone.example:51820", "hub.example:51820")
    proof.look(named, seen(HERE), 5)
    assert not proof.proves(answer(named, 5)), "nobody has said yet where that is"
    assert asyncio.run(proof.resolve("gone.example:51820")) is None
    assert asyncio.run(proof.resolve("hub.example:51820")) == HERE
    proof.look(named, seen(HERE), 6)
    assert proof.proves(answer(named, 6))
