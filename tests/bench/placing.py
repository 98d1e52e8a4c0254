"""The scheduler: 10,000 nodes and 50,000 instances, as a pure function and through the store.

Published figures of others are of other machines, and of schedulers that place one at a time; they say what is usual.
"""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

from skerry_hub.daemon import first_admin
from skerry_hub.identity import Identity, create
from skerry_hub.loops.loops import Moment
from skerry_hub.loops.reconcile import Reconciler
from skerry_hub.loops.scheduler import Schedule, schedule
from skerry_hub.model import AppRow, Loss, NodeRow, NodeState, Placement
from skerry_hub.store import Owner, Store, rows
from skerry_protocol.app import App, Availability, Ha, OnReturn, Overlap, Place, Resources
from skerry_protocol.ids import AppName, MeshName, NodeId, NodeName, Region

from .figures import Effort
from .measures import Basis, Goal, Row, median

NODES, APPS, COPIES = 10_000, 500, 100
SITES = 100
NUMBERS = count(1)


def measure(effort: Effort) -> Iterator[Row]:
    nodes, apps = _nodes(NODES), _apps(APPS, COPIES)
    many = APPS * COPIES
    first, planned = _timed(lambda: _plan(apps, nodes))
    assert len(first.placements) == many, "there is room for all"
    yield Row("full plan", planned, "s", note=f"{many / planned:,.0f} placements a second, in memory")
    again, kept = _timed(lambda: _plan(apps, nodes, first.placements))
    assert again.placements == first.placements, "nothing moves that need not"
    yield Row("nothing to do", kept, "s")
    repeats = effort.count(5, 2)
    moved = [_timed(lambda at=at: _lost(apps, nodes, first.placements, at))[1] for at in range(repeats)]  # type: ignore[misc]
    yield Row(
        "one node lost", median(moved), "s", note="what it ran is placed elsewhere, the rest judged and kept"
    )
    size = effort.pick(1.0, 0.2)
    yield from asyncio.run(_durable(nodes[: int(NODES * size)], apps[: int(APPS * size)]))


def _node(number: int) -> NodeRow:
    labels = {"site": f"s{number % SITES}", "disk": "ssd" if number % 4 else "hdd"}
    name = f"n{number:05}"
    return NodeRow(NodeId(f"id-{name}"), NodeName(name), b"", labels, "x86_64", 4000, 8000, NodeState.READY)


def _nodes(many: int) -> list[NodeRow]:
    return [_node(number) for number in range(many)]


def _apps(many: int, copies: int) -> list[AppRow]:
    """Half of them best-effort, half may be lost; every second one is choosy, all are spread over sites."""
    return [AppRow(app.name, 1, app, "mara", "because") for app in (_app(at, copies) for at in range(many))]


def _app(number: int, copies: int) -> App:
    place = Place(labels={"disk": ("ssd",)} if number % 2 else {}, spread="site")
    asks = Resources(memory_bytes=64 + number % 64, cpu_milli=50)
    name = AppName(f"app{number:04}")
    if number % 4 < 2:
        return App(name, ("x",), Availability.BEST_EFFORT, replicas=copies, place=place, resources=asks)
    ha = Ha(60_000, Overlap.ALLOW, OnReturn.KEEP_ORIGINAL)
    return App(name, ("x",), Availability.HA, replicas=copies, place=place, resources=asks, ha=ha)


def _entropy() -> bytes:
    return next(NUMBERS).to_bytes(10, "little")


def _plan(
    apps: list[AppRow],
    nodes: list[NodeRow],
    before: tuple[Placement, ...] = (),
    losses: tuple[Loss, ...] = (),
) -> Schedule:
    here = frozenset(node.id for node in nodes) - {loss.node for loss in losses}
    healthy = frozenset(one.instance for one in before)
    return schedule(apps, nodes, before, (), losses, healthy, here, here, {}, 0, _entropy)


def _lost(apps: list[AppRow], nodes: list[NodeRow], before: tuple[Placement, ...], at: int) -> Schedule:
    """The node that runs the app's first copy of those that may be lost is silent for long enough."""
    ha = next(row for row in apps[at * 4 :] if row.app is not None and row.app.ha is not None)
    lost = next(one.node for one in before if one.app == ha.name)
    made = _plan(apps, nodes, before, (Loss(lost, 60_000, 0),))
    assert made.placements != before, "something was placed elsewhere"
    return made


def _timed(work: Callable[[], Schedule]) -> tuple[Schedule, float]:
    began = time.perf_counter()
    done = work()
    return done, time.perf_counter() - began


async def _durable(nodes: list[NodeRow], apps: list[AppRow]) -> Iterator[Row]:
    """The hub's own loops on its own store: placed, compiled for each node, signed, committed."""
    many = sum(row.app.replicas or 0 for row in apps if row.app is not None)
    with tempfile.TemporaryDirectory(prefix="skerry-bench-") as folder:
        identity = create(Path(folder) / "hub", MeshName("bench"), Region("north"))
        await first_admin(identity, "admin")
        store = await Store.open(identity.database)
        try:
            took = await _committed(store, identity, nodes, apps, many)
        finally:
            await store.close()
    return _durable_rows(took, many, len(nodes))


def _durable_rows(took: float, many: int, nodes: int) -> Iterator[Row]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    note = f"{many:,} copies on {nodes:,} nodes in {took:.1f} s, each node's assignment signed; peak {peak:.0f} MiB"
    rate, goal, what = many / took, Goal(3000, least=True), "placements made durable"
    yield Row(what, rate, "/s", 700, "kube-scheduler", goal, note, reference_basis=Basis.PUBLISHED)
    yield Row(what, rate, "/s", 3750, "Nomad, 1,500 to", goal, reference_basis=Basis.PUBLISHED)


async def _committed(
    store: Store, identity: Identity, nodes: list[NodeRow], apps: list[AppRow], many: int
) -> float:
    async with store.write() as tx:
        for node in nodes:
            await rows.put_node(tx.as_owner(Owner.OPERATORS), node)
        for app in apps:
            await rows.put_app(tx.as_owner(Owner.OPERATORS), app)
    fresh = frozenset(node.id for node in nodes)

    def moment(bare: Moment) -> Moment:
        return replace(bare, fresh=fresh)

    loops = Reconciler(store, identity, moment, lambda _: None, lambda _state, _outcome: None)
    began = time.perf_counter()
    done = await loops.once()
    took = time.perf_counter() - began
    assert len(done.schedule.placements) == many, "there is room for all"
    return took
