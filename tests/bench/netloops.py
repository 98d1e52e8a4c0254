"""The hub's loops with the network's plans and without: 9,500 nodes, one copy more of one app, and nothing to do.

Half of the apps reach another, so that each copy has as many neighbours as an app has copies. A change runs in the
hub's own store: read, placed, planned, signed, committed.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from msgspec import Struct, structs

from skerry_hub.daemon import first_admin
from skerry_hub.identity import create
from skerry_hub.loops.loops import Moment
from skerry_hub.loops.reconcile import Reconciler
from skerry_hub.model import AppRow, NodeRow, NodeState
from skerry_hub.network.region import Door
from skerry_hub.store import Owner, Store, rows
from skerry_protocol.app import App, Availability, Resources
from skerry_protocol.ids import AppName, MeshName, NodeId, NodeName, Region
from skerry_protocol.network import AppNetwork, Port

from .figures import Effort
from .measures import Goal, Of, Row, median

NODES, COPIES = 9_500, 20
DOOR = Door(b"h" * 32, 51820, ("hub.example",), b"r" * 32)


class Took(Struct, frozen=True):
    """Seconds: the first run, one after an app's change, one with nothing to do; how many nodes a change told."""

    first: float
    change: float
    nothing: float
    told: float


def measure(effort: Effort) -> Iterator[Row]:
    nodes, repeats = effort.count(NODES, NODES // 10), effort.count(5, 3)
    bare, ours = (asyncio.run(_run(nodes, repeats, door)) for door in (None, DOOR))
    beside = "the loops without network"
    note = f"{nodes:,} copies, half of the apps reach another {COPIES}"
    yield Row(f"all of {nodes:,} nodes told at first", ours.first, "s", bare.first, beside, note=note)
    told = f"told for it: {ours.told:.0f} nodes, without network {bare.told:.0f}"
    goal = Goal(2, Of.RATIO)
    yield Row("one copy more", ours.change, "s", bare.change, beside, goal, told)
    yield Row("nothing to do", ours.nothing, "s", bare.nothing, beside, goal)


async def _run(nodes: int, repeats: int, door: Door | None) -> Took:
    with tempfile.TemporaryDirectory(prefix="skerry-bench-") as folder:
        identity = create(Path(folder) / "hub", MeshName("bench"), Region("north"))
        await first_admin(identity, "admin")
        store = await Store.open(identity.database)
        try:
            await _filled(store, nodes)
            fresh = frozenset(_node(number).id for number in range(1, nodes + 1))

            def moment(bare: Moment) -> Moment:
                return replace(bare, fresh=fresh)

            told: list[int] = []
            loops = Reconciler(
                store, identity, moment, lambda to: told.append(len(to)), lambda _state, _done: None, door
            )
            return await _timed(store, loops, repeats, told)
        finally:
            await store.close()


async def _timed(store: Store, loops: Reconciler, repeats: int, told: list[int]) -> Took:
    first = await _once(loops)
    changes, nothings = [], []
    for turn in range(repeats):
        async with store.write() as tx:
            await rows.put_app(tx.as_owner(Owner.OPERATORS), _app(2 * turn, COPIES + 1, 2))
        changes.append(await _once(loops))
        nothings.append(await _once(loops))
    return Took(first, median(changes), median(nothings), median([float(many) for many in told[1:]]))


async def _once(loops: Reconciler) -> float:
    began = time.perf_counter()
    await loops.once()
    return time.perf_counter() - began


async def _filled(store: Store, nodes: int) -> None:
    async with store.write() as tx:
        hand = tx.as_owner(Owner.OPERATORS)
        for number in range(1, nodes + 1):
            await rows.put_node(hand, _node(number))
        for number in range(nodes // COPIES):
            await rows.put_app(hand, _app(number, COPIES, 1))


def _node(number: int) -> NodeRow:
    name, key = f"n{number:05}", number.to_bytes(32, "big")
    row = NodeRow(NodeId(f"id-{name}"), NodeName(name), b"", {}, "x86_64", 4000, 8000, NodeState.READY)
    return structs.replace(row, number=number, link_key=key, direct_key=b"d" + key[1:])


def _app(number: int, copies: int, revision: int) -> AppRow:
    reaches = (AppName(f"app{number + 1:04}"),) if number % 2 == 0 else ()
    name = AppName(f"app{number:04}")
    app = App(
        name, ("x",), Availability.BEST_EFFORT, replicas=copies,
        resources=Resources(memory_bytes=64 + number % 64, cpu_milli=50),
        network=AppNetwork({"main": Port(8000)}, reaches),
    )  # fmt: skip
    return AppRow(name, revision, app, "mara", "because")
