"""What is read again only where somebody wrote is what reading all of it would find."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from itertools import count
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from skerry_hub.identity import Identity, create
from skerry_hub.loops.loops import State
from skerry_hub.loops.reading import Reading
from skerry_hub.loops.reconcile import issue
from skerry_hub.model import AssignmentRow, ClaimRow, Fact, Loss, Placement
from skerry_hub.operators import set_app, set_node
from skerry_hub.restoring.paused import PausedRow, put_paused
from skerry_hub.store import Owner, Store, Transaction, rows
from skerry_hub.store import schema as s
from skerry_protocol.ids import AppName, Claim, InstanceId, MeshName, NodeId, Region
from skerry_protocol.messages import Instance, Issued, Step, StepName, StepState, Version

from ..builders import MESH, best_effort, node

NUMBERS = st.integers(1, 3)
VERSION = Version(1, 1, 1)


class Undone(Exception):
    """The transaction is not to be committed."""


async def _app(tx: Transaction, at: int, turn: int) -> None:
    await set_app(tx, AppName(f"app{at}"), best_effort(f"app{at}", env={"A": str(turn)}), "mara", "")


async def _removal(tx: Transaction, at: int, turn: int) -> None:
    await set_app(tx, AppName(f"app{at}"), None, "mara", "")


async def _node(tx: Transaction, at: int, turn: int) -> None:
    await set_node(tx, node(f"n{at}", site=str(turn)), "mara", "labelled")


async def _mesh(tx: Transaction, at: int, turn: int) -> None:
    await rows.put_mesh(tx.as_owner(Owner.RESUME), MESH.put_back(turn * 1_000_000))


async def _fact(tx: Transaction, at: int, turn: int) -> None:
    await rows.put_facts(tx.as_owner(Owner.INTAKE), [Fact(NodeId(f"id-n{at}"), refused=str(turn))])


async def _loss(tx: Transaction, at: int, turn: int) -> None:
    await rows.put_loss(tx.as_owner(Owner.SILENCE), Loss(NodeId(f"id-n{at}"), 60_000, turn))


def _placed(at: int, turn: int) -> Placement:
    return Placement(
        InstanceId(f"app{at}-1"), AppName(f"app{at}"), 1, NodeId("id-n1"), "asked", turn, revision=1
    )


async def _placement(tx: Transaction, at: int, turn: int) -> None:
    values = rows.placement_values(_placed(at, turn))
    await tx.as_owner(Owner.SCHEDULE).put_all(s.placements, [values])


async def _ending(tx: Transaction, at: int, turn: int) -> None:
    await rows.end_placement(tx.as_owner(Owner.SCHEDULE), _placed(at, turn), turn, "asked")


async def _claim(tx: Transaction, at: int, turn: int) -> None:
    row = ClaimRow(AppName(f"app{at}"), 1, Claim(turn), NodeId("id-n1"), InstanceId("x"), 60_000)
    await rows.put_claim(tx.as_owner(Owner.CLAIM), row)


def _issued(at: int, turn: int) -> AssignmentRow:
    copy = Instance(InstanceId(f"app{at}-1"), AppName(f"app{at}"), 1, 1)
    issued = Issued(Version(1, 1, turn), turn.to_bytes(32))
    return AssignmentRow(NodeId(f"id-n{at}"), issued, b"bytes", (copy.id,), copies=(copy,))


async def _assignment(tx: Transaction, at: int, turn: int) -> None:
    await tx.as_owner(Owner.SIGN).add(s.assignments, [rows.assignment_values(_issued(at, turn))])


async def _run(tx: Transaction, at: int, turn: int) -> None:
    """What the loops issue, of which they know by themselves what a reading would find, and what they drop for it."""
    new = [_issued(one, turn) for one in range(1, at + 1)]
    facts = {row.node: Fact(row.node, row.issued, row.issued) for row in new}
    await issue(tx, new, facts)


async def _step(tx: Transaction, at: int, turn: int) -> None:
    name, instance = (StepName.HEALTHY, StepName.STARTED)[turn % 2], InstanceId(f"app{at}-1")
    step = Step(instance, AppName(f"app{at}"), 1, name, StepState.DONE, VERSION, turn, since_ms=turn)
    await tx.as_owner(Owner.INTAKE).put_all(s.steps, [rows.step_values(NodeId("id-n1"), step)])


async def _pause(tx: Transaction, at: int, turn: int) -> None:
    await put_paused(tx, PausedRow(NodeId(f"id-n{at}"), Issued(VERSION, turn.to_bytes(32))))


WRITES = (
    _app, _removal, _node, _mesh, _fact, _loss, _placement, _ending, _claim, _assignment, _run, _step, _pause,
)  # fmt: skip
Write = Callable[[Transaction, int, int], Awaitable[None]]
Turn = tuple[list[tuple[Write, int]], bool, bool]
TURNS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from(WRITES), NUMBERS), max_size=3), st.booleans(), st.booleans()
    ),
    max_size=12,
)


# One store for all examples: to open one takes longer than to try one.
def test_what_was_read_before_is_what_would_be_read_now(tmp_path: Path) -> None:
    identity = create(tmp_path / "hub", MeshName("coast"), Region("north"))
    keeping, turn = Reading(identity), count(1)
    with asyncio.Runner() as runner:
        store = runner.run(Store.open(tmp_path / "rows.db"))

        @settings(max_examples=30)
        @given(TURNS)
        def example(turns: list[Turn]) -> None:
            runner.run(_history(store, keeping, identity, turns, turn))

        try:
            example()
        finally:
            runner.run(store.close())


async def _history(
    store: Store, keeping: Reading, identity: Identity, turns: list[Turn], turn: Iterator[int]
) -> None:
    """Transactions, some of which are undone; after each, and in the middle of some, all is read in both ways."""
    async with store.write() as tx:
        await rows.put_mesh(tx.as_owner(Owner.RESUME), MESH)
    for writes, within, undone in turns:
        with suppress(Undone):
            async with store.write() as tx:
                for write, which in writes:
                    await _same(tx, keeping, identity) if within else None
                    await write(tx, which, next(turn))
                await _same(tx, keeping, identity)
                if undone:
                    raise Undone
        async with store.write() as tx:
            await _same(tx, keeping, identity)


async def _same(tx: Transaction, keeping: Reading, identity: Identity) -> None:
    kept = await keeping.state(tx)
    fresh = await Reading(identity).state(Transaction(tx._connection))
    for field in fields(State):
        assert getattr(kept, field.name) == getattr(fresh, field.name), field.name


async def test_revisions_that_nothing_runs_are_not_kept_in_memory(tmp_path: Path) -> None:
    identity = create(tmp_path / "hub", MeshName("coast"), Region("north"))
    store, reading = await Store.open(tmp_path / "rows.db"), Reading(identity)
    for turn in range(1, 5):
        async with store.write() as tx:
            await _mesh(tx, 1, turn)
            await _app(tx, 1, turn)
            if turn == 2:
                await _assignment(tx, 1, turn)  # with a copy of the first revision
            await reading.state(tx)
    async with store.write() as tx:
        state = await reading.state(tx)
    assert set(state.revisions) == {(AppName("app1"), 1), (AppName("app1"), 4)}
    await store.close()
