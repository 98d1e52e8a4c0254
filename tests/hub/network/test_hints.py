"""Hints: endpoints of those a node talks to, who of them ails, told to whom it concerns and to nobody else, once."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_hub.network.hinting import Hinting
from skerry_hub.network.hints import LAN_MOST, Seen, hint
from skerry_netplan.address import UniqueLocal, hub_address
from skerry_netplan.kernel.tunnels import TunnelError
from skerry_netplan.model import Copy, Member, Region
from skerry_netplan.planner import Planner
from skerry_protocol.ids import AppName, InstanceId, NodeId, NodeName
from skerry_protocol.messages import Beat, Hint
from skerry_protocol.network import AppNetwork, HubAt, Network

ADDRESSES = UniqueLocal(b"abcde", 1)
HUB = HubAt(b"h" * 32, str(hub_address(ADDRESSES.region)), ("192.0.2.1:51820",))


def made(reaches: tuple[str, ...] = ("db",)) -> Planner:
    """web on a and b, db on b and c, another app on d."""
    members = {
        NodeId(name): Member(NodeId(name), NodeName(name), at, name.encode() * 32, name.upper().encode() * 32)
        for at, name in enumerate("abcd", 1)
    }
    where = {"web-1": "a", "web-2": "b", "db-1": "b", "db-2": "c", "other-1": "d"}
    copies = tuple(
        Copy(InstanceId(f"{name}-aaaaaaaaaa"), AppName(name[:-2]), int(name[-1]), NodeId(on))
        for name, on in where.items()
    )
    apps = {AppName("web"): AppNetwork(reaches=tuple(map(AppName, reaches))), AppName("db"): AppNetwork()}
    return Planner(Region(ADDRESSES, (HUB,), members, copies, apps | {AppName("other"): AppNetwork()}))


def plan(node: str) -> Network:
    return made().plan(NodeId(node))


def test_a_lans_addresses_come_first_for_whoever_shares_it_and_are_not_told_to_others() -> None:
    other = Seen("198.51.100.7:40000", ("192.168.1.5:51821", "not an endpoint"))
    neighbour = hint(plan("a"), Seen("198.51.100.7:40001"), {NodeName("b"): other}, ())
    assert neighbour.endpoints == {"b": ("192.168.1.5:51821", "198.51.100.7:40000")}
    stranger = hint(plan("a"), Seen("203.0.113.9:40000"), {NodeName("b"): other}, ())
    assert stranger.endpoints == {"b": ("198.51.100.7:40000",)}
    unseen = hint(plan("a"), Seen(), {NodeName("b"): Seen(None, other.lan)}, ())
    assert unseen.endpoints == {}


@given(st.lists(st.from_regex(r"10\.0\.0\.[1-9]:5[0-9]{3}", fullmatch=True), max_size=9))
def test_what_a_node_says_of_itself_is_bounded_and_told_once(lan: list[str]) -> None:
    found = hint(plan("a"), Seen("198.51.100.7:1"), {NodeName("b"): Seen("198.51.100.7:2", tuple(lan))}, ())
    assert found.endpoints[NodeName("b")] == (*lan[:LAN_MOST], "198.51.100.7:2")


def test_only_neighbours_copies_ail() -> None:
    address = plan("b").addresses[InstanceId("db-1-aaaaaaaaaa")]
    foreign = plan("d").addresses[InstanceId("other-1-aaaaaaaaaa")]
    assert hint(plan("a"), Seen(), {}, {address, foreign}) == Hint({}, (address,))
    assert hint(plan("d"), Seen(), {}, {address, foreign}) == Hint()


class Rig:
    def __init__(self) -> None:
        self.nudged: list[NodeId] = []
        self.hinting = Hinting(self._nudge, look_s=0)

    def _nudge(self, nodes: Iterable[NodeId]) -> None:
        self.nudged += nodes

    def asked(self) -> list[NodeId]:
        """Who was, since the last time."""
        found, self.nudged = self.nudged, []
        return found

    async def look(self, seen: dict[bytes, str]) -> None:
        """One look at where the peers are: the second one ends it."""
        looks = [seen]

        async def endpoints() -> dict[bytes, str]:
            if not looks:
                raise ZeroDivisionError
            return looks.pop()

        with pytest.raises(ZeroDivisionError):
            await self.hinting.run(endpoints)


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_an_endpoint_is_told_to_those_it_concerns_until_they_have_it(rig: Rig) -> None:
    rig.hinting.learn(made(), ())
    assert rig.asked() == []
    await rig.look({b"C" * 32: "203.0.113.3:1", b"D" * 32: "203.0.113.4:1", b"X" * 32: "203.0.113.5:1"})
    assert rig.asked() == ["a", "b", "c", "d"], "b and a talk to c; d learns that it was seen"
    told = rig.hinting.heard(NodeId("a"), Beat("boot"))
    assert told == Hint({NodeName("c"): ("203.0.113.3:1",)})
    assert rig.hinting.heard(NodeId("a"), Beat("boot", hint=told.digest)) is None
    assert rig.hinting.heard(NodeId("d"), Beat("boot")) is None
    await rig.look({b"C" * 32: "203.0.113.3:1"})
    assert rig.asked() == []
    rig.hinting.heard(NodeId("c"), Beat("boot", lan=("10.0.0.3:5",)))
    assert rig.asked() == ["a", "b", "c"]


async def test_who_ails_is_told_around_and_taken_back(rig: Rig) -> None:
    planner = made()
    rig.hinting.learn(planner, {InstanceId("db-2-aaaaaaaaaa"), InstanceId("gone-1-aaaaaaaaaa")})
    assert rig.asked() == ["a", "b", "c"]
    told = rig.hinting.heard(NodeId("a"), Beat("boot"))
    assert told is not None
    assert told.ailing == (plan("c").addresses[InstanceId("db-2-aaaaaaaaaa")],)
    rig.hinting.learn(planner, ())
    assert rig.asked() == ["a", "b", "c"]
    assert rig.hinting.heard(NodeId("a"), Beat("boot", hint=told.digest)) == Hint()


async def test_a_node_that_is_no_member_is_told_nothing(rig: Rig) -> None:
    assert rig.hinting.heard(NodeId("a"), Beat("boot")) is None
    rig.hinting.learn(made(), ())
    assert rig.hinting.heard(NodeId("stranger"), Beat("boot", lan=("10.0.0.1:1",), hint=b"x")) is None
    assert rig.asked() == []


async def test_what_a_node_said_before_it_was_known_to_have_a_part_counts(rig: Rig) -> None:
    assert rig.hinting.heard(NodeId("c"), Beat("boot", lan=("10.0.0.3:5",))) is None
    rig.hinting.learn(made(), ())
    await rig.look({b"B" * 32: "203.0.113.3:1", b"C" * 32: "203.0.113.3:2"})
    told = rig.hinting.heard(NodeId("b"), Beat("boot"))
    assert told is not None
    assert told.endpoints[NodeName("c")] == ("10.0.0.3:5", "203.0.113.3:2")


async def test_a_tunnel_that_cannot_be_read_ends_nothing(rig: Rig) -> None:
    rig.hinting.learn(made(), ())
    answers: list[Exception] = [ZeroDivisionError(), TunnelError("gone")]

    async def endpoints() -> dict[bytes, str]:
        raise answers.pop()

    with pytest.raises(ZeroDivisionError):
        await rig.hinting.run(endpoints)


async def test_how_much_the_way_to_a_node_takes_is_known_as_it_said_last(rig: Rig) -> None:
    told: list[dict[NodeId, int]] = []
    rig.hinting.narrowed = lambda: told.append(rig.hinting.narrow)
    rig.hinting.learn(made(), ())
    for beat in (
        Beat("boot", narrow=1300),
        Beat("boot"),
        Beat("boot", lan=("10.0.0.1:1",)),
        Beat("boot", narrow=1300),
    ):
        rig.hinting.heard(NodeId("a"), beat)
        assert rig.hinting.narrow == {"a": 1300}
    rig.hinting.heard(NodeId("a"), Beat("boot", narrow=0))
    assert told == [{"a": 1300}, {}]
