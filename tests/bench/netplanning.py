"""Plans for 10,000 nodes, and for those around one copy that moves. Half of the apps reach another one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from skerry_netplan.address import UniqueLocal, hub_address
from skerry_netplan.linter import faults
from skerry_netplan.model import Copy, Member, Region
from skerry_netplan.planner import Planner
from skerry_protocol.ids import AppName, NodeId, NodeName, instance_id
from skerry_protocol.network import AppNetwork, HubAt, Port

from .figures import Effort
from .measures import Row, median

NODES, APPS, COPIES = 10_000, 500, 100
ADDRESSES = UniqueLocal(b"bench", 1)
HUB = HubAt(b"h" * 32, str(hub_address(ADDRESSES.region)), ("192.0.2.1:51820",))

Found = TypeVar("Found")


def measure(effort: Effort) -> Iterator[Row]:
    region = _region(effort.count(NODES, NODES // 10), effort.count(APPS, APPS // 10))
    ids = list(region.members)
    planner, read = _timed(lambda: Planner(region))
    plans, planned = _timed(lambda: [planner.plan(node) for node in ids])
    many = f"{len(ids):,} nodes, {len(region.copies):,} instances"
    yield Row(f"plans of all of {many}", read + planned, "s")
    _, linted = _timed(lambda: [faults(plan) for plan in plans])
    yield Row("the same, judged by the linter", linted, "s")
    yield Row("one copy moves: plans of those around it", _moved(region, effort.count(9, 3)), "s")


def _moved(region: Region, times: int) -> float:
    found = []
    for at in range(times):
        copy = region.copies[at]
        there = next(node for node in region.members if node != copy.node)
        moved = replace(
            region,
            copies=(*region.copies[:at], replace(copy, node=there), *region.copies[at + 1 :]),
        )
        found.append(_timed(lambda one=moved, app=copy.app: _around(one, app))[1])  # type: ignore[misc]
    return median(found)


def _around(region: Region, app: AppName) -> int:
    """How many nodes have a part in an app: they run it, or what reaches it, or what it reaches."""
    planner = Planner(region)
    apps = {
        app,
        *region.apps[app].reaches,
        *(name for name, says in region.apps.items() if app in says.reaches),
    }
    nodes = {copy.node for copy in region.copies if copy.app in apps}
    return len([planner.plan(node) for node in nodes])


def _region(nodes: int, apps: int) -> Region:
    members = [_member(number) for number in range(1, nodes + 1)]
    copies = [
        _copy(app, number, members[(app * 37 + number * 101) % nodes], app * COPIES + number)
        for app in range(apps)
        for number in range(1, COPIES + 1)
    ]
    says = {
        _app(at): AppNetwork({"main": Port(8000)}, (_app(at + 1),) if at % 2 == 0 else ())
        for at in range(apps)
    }
    return Region(ADDRESSES, (HUB,), {member.id: member for member in members}, tuple(copies), says)


def _app(number: int) -> AppName:
    return AppName(f"app{number:04}")


def _member(number: int) -> Member:
    key = number.to_bytes(32, "big")
    return Member(NodeId(f"id{number}"), NodeName(f"n{number}"), number, key, b"d" + key[1:])


def _copy(app: int, number: int, member: Member, entropy: int) -> Copy:
    name = instance_id(_app(app), number, entropy.to_bytes(8, "little"))
    return Copy(name, _app(app), number, member.id)


def _timed(work: Callable[[], Found]) -> tuple[Found, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began
