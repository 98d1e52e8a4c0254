"""A plan with 100 peers and 100 instances becomes a network, beside the same made by hand; then one instance more.

On hosts that are network namespaces of this process, by wireguard-go. What is by hand reads nothing and knows what is
new; ours reads what is there, and finds out.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from skerry_netplan.firewall import Guarded
from skerry_netplan.lower import Here, lower
from skerry_netplan.model import Copy, Member, Region
from skerry_netplan.planner import Planner
from skerry_netplan.slots import slots
from skerry_netplan.state import KeyRole, State
from skerry_protocol.ids import AppName, NodeId, NodeName, instance_id
from skerry_protocol.network import AppNetwork, HubAt, Port
from tests.lab.network.hosts import Host, cabled
from tests.lab.network.rig import DIRECT_PORT, HUB_PORT, LINK_PORT, Machine, private, public
from tests.netplan.regions import ADDRESSES, HUB

from . import byhand
from .figures import Effort
from .measures import Goal, Of, Row, median

PEERS, INSTANCES = 100, 100
NOBODY = f"192.0.2.200:{HUB_PORT}"
OWN = ("link1", "direct1")


def measure(effort: Effort) -> Iterator[Row]:
    repeats = effort.count(7, 2)
    first, more = _state(INSTANCES), _state(INSTANCES + 1)
    ours, hand = [], []
    for _ in range(repeats):
        ours.append(_ours(first, more))
        hand.append(_by_hand(first, more))
    fresh, again, one = (median([took[at] for took in ours]) for at in range(3))
    hand_fresh, hand_one = (median([took[at] for took in hand]) for at in range(2))
    beside, goal = "by hand: one write, ip -batch, nft -f", Goal(1, Of.RATIO)
    note = (
        f"median of {repeats}; ours reads first, and reads back the rules; by hand ip runs once a namespace"
    )
    what = f"{PEERS} peers, {INSTANCES} instances, from nothing"
    yield Row(what, fresh, "ms", hand_fresh, beside, goal, note)
    yield Row("one instance more", one, "ms", hand_one, beside, note="by hand nothing is read or compared")
    yield Row("nothing to do: read and compared", again, "ms")


def _ours(first: State, more: State) -> tuple[float, float, float]:
    with cabled("n1") as (host,):
        machine = Machine(host, *OWN)
        fresh = _timed(lambda: machine.become(first))
        again = _timed(lambda: machine.become(first))
        one = _timed(lambda: machine.become(more))
        assert machine.become(more) == 0, "all of it is there"
        return fresh, again, one


def _by_hand(first: State, more: State) -> tuple[float, float]:
    keys = {public(key): private(key) for key in OWN}
    with cabled("n1") as (host,):
        fresh = _timed(lambda: _run(host, byhand.make(host, keys, first)))
        one = _timed(lambda: _run(host, byhand.make(host, keys, more, first)))
        seen = Machine(host, *OWN).read()
        assert set(seen.spaces) == set(more.spaces), "all of it is there"
        assert seen.routes >= {route for route in more.routes if route.device}, "and leads there"
        return fresh, one


def _run(host: Host, work: Coroutine[Any, Any, None]) -> None:
    host.run(work)


def _timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _state(instances: int) -> State:
    """Of the first node: each instance is of an app of its own, which one on another node reaches."""
    members = [_member(number) for number in range(1, PEERS + 2)]
    own = [_copy("serves", number, members[0]) for number in range(1, instances + 1)]
    others = [_copy("asks", number, members[1 + number % PEERS]) for number in range(1, instances + 1)]
    says = {copy.app: AppNetwork({"main": Port(8000)}) for copy in own}
    says |= {ask.app: AppNetwork({}, (copy.app,)) for ask, copy in zip(others, own, strict=True)}
    hub = HubAt(public("hub"), HUB.address, (NOBODY,))
    region = Region(ADDRESSES, (hub,), {one.id: one for one in members}, (*own, *others), says)
    guarded = {copy.id: Guarded(copy.app, says[copy.app]) for copy in own}
    here = Here(
        {KeyRole.LINK: public("link1"), KeyRole.DIRECT: public("direct1")}, LINK_PORT, DIRECT_PORT,
        endpoints={public(f"direct{one.number}"): NOBODY for one in members} | {hub.key: NOBODY},
        direct=frozenset(one.name for one in members[1:]), slots=slots(guarded, {}), guarded=guarded,
    )  # fmt: skip
    return lower(Planner(region).plan(members[0].id), here)


def _member(number: int) -> Member:
    name = NodeName(f"n{number}")
    return Member(NodeId(f"id{number}"), name, number, public(f"link{number}"), public(f"direct{number}"))


def _copy(kind: str, number: int, member: Member) -> Copy:
    app = AppName(f"{kind}{number:03}")
    return Copy(instance_id(app, 1, hashlib.sha256(app.encode()).digest()), app, 1, member.id)
