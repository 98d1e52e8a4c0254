"""The operations are played on a state that behaves as the kernel does; a test of the appliers holds it to that."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from skerry_netplan.differ import (
    AddAddress,
    AddSpace,
    AddTunnel,
    Operation,
    RemoveAddress,
    RemovePeer,
    RemoveRoute,
    RemoveSpace,
    RemoveTunnel,
    SetPeer,
    SetRoute,
    SetRules,
    SetTunnel,
    diff,
)
from skerry_netplan.firewall import Guarded
from skerry_netplan.hubside import HubHere, lower_hub
from skerry_netplan.lower import Here, lower
from skerry_netplan.model import Region
from skerry_netplan.planner import Planner
from skerry_netplan.state import DIRECT, HUB_LINK, LINK, KeyRole, Peer, Route, Space, State, Tunnel
from skerry_protocol.ids import InstanceId, NodeId, NodeName

from .regions import HUB, copy, key, region, regions, says

KEYS = {KeyRole.LINK: key(101), KeyRole.DIRECT: key(102)}
HERE = Here(KEYS, 4001, 4002)
EMPTY = State()


def after(state: State, operation: Operation) -> State:
    """What the kernel makes of it."""
    tunnels, spaces, routes = dict(state.tunnels), dict(state.spaces), set(state.routes)
    match operation:
        case SetRules(rules):
            return replace(state, rules=rules)
        case AddTunnel(name, tunnel):
            assert name not in tunnels
            tunnels[name] = tunnel
        case SetTunnel(name, public, port, mtu):
            tunnels[name] = replace(tunnels[name], key=public, port=port, mtu=mtu)
        case RemoveTunnel(name):
            del tunnels[name]
            routes = {route for route in routes if route.device != name}
        case AddAddress(name, address):
            tunnels[name] = replace(tunnels[name], addresses=tunnels[name].addresses | {address})
        case RemoveAddress(name, address):
            tunnels[name] = replace(tunnels[name], addresses=tunnels[name].addresses - {address})
        case SetPeer(name, peer, begins):
            tunnels[name] = with_peer(tunnels[name], peer, begins)
        case RemovePeer(name, gone):
            peers = {public: peer for public, peer in tunnels[name].peers.items() if public != gone}
            tunnels[name] = replace(tunnels[name], peers=peers)
        case AddSpace(instance, space):
            assert instance not in spaces
            spaces[instance] = space
        case RemoveSpace(instance, space):
            del spaces[instance]
            routes = {route for route in routes if route.device != space.device}
        case SetRoute(route):
            assert route.device is None or route.device in devices(state)
            routes = {other for other in routes if other.network != route.network} | {route}
        case RemoveRoute(route):
            routes.remove(route)
    return State(tunnels, spaces, frozenset(routes), state.rules)


def with_peer(tunnel: Tunnel, peer: Peer, begins: bool) -> Tunnel:
    before = tunnel.peers.get(peer.key)
    endpoint = peer.endpoint if begins or before is None else before.endpoint
    others = {
        public: replace(other, allowed=other.allowed - peer.allowed) for public, other in tunnel.peers.items()
    }
    return replace(tunnel, peers={**others, peer.key: replace(peer, endpoint=endpoint)})


def devices(state: State) -> set[str]:
    return {*state.tunnels, *(space.device for space in state.spaces.values())}


def settled(state: State) -> State:
    """Without endpoints, which follow the peers."""
    tunnels = {
        name: replace(one, peers={public: replace(peer, endpoint=None) for public, peer in one.peers.items()})
        for name, one in state.tunnels.items()
    }
    return replace(state, tunnels=tunnels)


def reaches_the_hub(state: State) -> bool:
    link = state.tunnels.get(LINK)
    if link is None or HUB.key not in link.peers or not link.addresses:
        return False
    (whole,) = link.peers[HUB.key].allowed or {None}
    return any(route.network == whole and route.device == LINK for route in state.routes)


def wanted(one: Region, node: NodeId, here: Here = HERE) -> State:
    plan = Planner(one).plan(node)
    guarded = {copy.id: Guarded(copy.app, one.apps[copy.app]) for copy in one.copies if copy.node == node}
    return lower(plan, replace(here, guarded=guarded))


PAIR = region(2, copy("web", 1, 1), copy("db", 1, 2), web=says("db"), db=says(sql=5432))
ONE = NodeId("id1")


def test_what_is_as_wanted_is_left_alone() -> None:
    state = wanted(PAIR, ONE)
    assert diff(state, state) == ()


def test_a_peer_that_moved_is_not_called_back() -> None:
    state = wanted(PAIR, ONE, replace(HERE, endpoints={HUB.key: "192.0.2.1:51820"}))
    link = state.tunnels[LINK]
    moved = replace(link, peers={HUB.key: replace(link.peers[HUB.key], endpoint="192.0.2.99:4711")})
    assert diff(state, replace(state, tunnels={**state.tunnels, LINK: moved})) == ()


def test_a_peer_without_an_endpoint_is_given_one() -> None:
    state = wanted(PAIR, ONE, replace(HERE, endpoints={HUB.key: "192.0.2.1:51820"}))
    changes = diff(state, wanted(PAIR, ONE))
    assert {(one.tunnel, one.begins) for one in changes if isinstance(one, SetPeer)} == {
        (DIRECT, True),
        (LINK, True),
    }


def test_a_direct_tunnel_that_comes_up_is_one_route() -> None:
    up = wanted(PAIR, ONE, replace(HERE, direct=frozenset({NodeName("n2")})))
    route = Route("fd01:203:405:100:2::/80", DIRECT, "fd01:203:405:100:1::1")
    assert diff(up, wanted(PAIR, ONE)) == (SetRoute(route),)
    assert diff(wanted(PAIR, ONE), up) == (RemoveRoute(route),)


def test_a_way_that_takes_less_is_one_route() -> None:
    narrow = wanted(PAIR, ONE, replace(HERE, narrow={HUB.key: 1300}))
    route = Route("fd01:203:405::/48", LINK, "fd01:203:405:100:1::1", 1300)
    assert diff(narrow, wanted(PAIR, ONE)) == (SetRoute(route),)
    assert diff(wanted(PAIR, ONE), narrow) == (SetRoute(replace(route, mtu=None)),)


def test_what_is_sent_to_an_app_behind_a_narrow_way_is_told_so_and_the_nodes_own_pings_pass_whole() -> None:
    here = HubHere(key(7), 51820, 1420, narrow={ONE: 1300, NodeId("gone"): 1280})
    own = "fd01:203:405:100::1"
    assert lower_hub(PAIR, here).routes == {
        Route("fd01:203:405:100::/56", HUB_LINK, own),
        Route("fd01:203:405:100:1::/80", HUB_LINK, own, 1300),
        Route("fd01:203:405:100:1::1/128", HUB_LINK, own),
    }


def test_a_new_key_of_the_node_changes_nothing_else() -> None:
    keys = {**KEYS, KeyRole.LINK: key(103)}
    assert diff(wanted(PAIR, ONE, replace(HERE, keys=keys)), wanted(PAIR, ONE)) == (
        SetTunnel(LINK, key(103), 4001, 1420),
    )


def test_a_hub_with_a_new_key_takes_over_before_the_former_one_goes() -> None:
    hub = HUB.__class__(key(55), HUB.address, HUB.endpoints)
    operations = diff(wanted(replace(PAIR, hubs=(hub,)), ONE), wanted(PAIR, ONE))
    on_link = [one for one in operations if isinstance(one, SetPeer | RemovePeer) and one.tunnel == LINK]
    assert [type(one) for one in on_link] == [SetPeer, RemovePeer]


def test_half_a_pair_that_was_left_over_is_not_taken_for_the_new_one_with_its_name() -> None:
    goal = wanted(PAIR, ONE)
    (space,) = goal.spaces.values()
    left_over = replace(goal, spaces={InstanceId(space.device): Space("", space.device, "")})
    operations = diff(goal, left_over)
    assert [type(one) for one in operations if isinstance(one, AddSpace | RemoveSpace)] == [AddSpace]


def test_routes_of_an_interface_that_went_while_somebody_looked_are_made_again() -> None:
    goal = wanted(PAIR, ONE)
    (space,) = goal.spaces.values()
    operations = diff(goal, replace(goal, spaces={}))
    assert {one.route for one in operations if isinstance(one, SetRoute)} == {
        route for route in goal.routes if route.device == space.device
    }


def knows(one: Region, up: bool, narrow: bool) -> Here:
    """Direct ways to all, or to none; ways that take less, or as much as any."""
    direct = frozenset(member.name for member in one.members.values()) if up else frozenset[NodeName]()
    keys = [HUB.key, *(member.direct_key for member in one.members.values() if member.direct_key)]
    mtus = {key: 1280 + 20 * number for number, key in enumerate(keys)} if narrow else {}
    return replace(HERE, direct=direct, narrow=mtus)


@given(regions(), regions(), st.booleans(), st.booleans(), st.booleans())
def test_the_operations_lead_to_what_is_wanted(
    one: Region, other: Region, up: bool, narrow: bool, cold: bool
) -> None:
    node = next(iter(one.members))
    goal = wanted(one, node, knows(one, up, narrow))
    state = start = EMPTY if cold else wanted(other, next(iter(other.members)), knows(other, up, not narrow))
    for operation in diff(goal, start):
        state = after(state, operation)
    assert settled(state) == settled(goal)
    assert diff(goal, state) == ()


@given(regions(), regions())
def test_the_way_to_the_hub_holds_at_every_point(one: Region, other: Region) -> None:
    state = wanted(one, next(iter(one.members)))
    for operation in diff(wanted(other, next(iter(other.members))), state):
        state = after(state, operation)
        assert reaches_the_hub(state), operation


@given(regions(), regions(), st.integers(0, 50))
def test_a_cut_between_any_two_operations_is_gone_on_from(one: Region, other: Region, cut: int) -> None:
    goal = wanted(other, next(iter(other.members)))
    state = wanted(one, next(iter(one.members)))
    for operation in diff(goal, state)[:cut]:
        state = after(state, operation)
    for operation in diff(goal, state):
        state = after(state, operation)
    assert settled(state) == settled(goal)


@given(regions())
def test_nothing_is_left_where_nothing_is_wanted(one: Region) -> None:
    state = wanted(one, next(iter(one.members)))
    for operation in diff(EMPTY, state):
        state = after(state, operation)
    assert state == EMPTY
