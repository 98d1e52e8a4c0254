"""What nodes say: each entry counts once, older steps change nothing, a beat without news writes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import structs

from skerry_hub.intake import Intake
from skerry_hub.journal import events
from skerry_hub.model import NodeRow, Placement
from skerry_hub.store import Owner, Store, rows
from skerry_hub.store import schema as s
from skerry_protocol.ids import AppName, InstanceId, NodeId, NodeName
from skerry_protocol.messages import (
    Beat,
    Entry,
    Event,
    Issued,
    ReportBatch,
    Step,
    StepName,
    StepState,
    Version,
)

NODE, OTHER = NodeId("n" + "a" * 16), NodeId("n" + "b" * 16)
COPY = InstanceId("web-1-aaaaaaaaaa")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "hub.db")
    async with opened.write() as tx:
        for node in (NODE, OTHER):
            await rows.put_node(tx.as_owner(Owner.OPERATORS), NodeRow(node, NodeName(node), b"k"))
        placed = Placement(COPY, AppName("web"), 1, NODE, "asked")
        await tx.as_owner(Owner.SCHEDULE).add(s.placements, [rows.placement_values(placed)])
    yield opened
    await opened.close()


def step(state: StepState, generation: int, seq: int) -> Step:
    version = Version(1, 1, generation)
    return Step(COPY, AppName("web"), 1, StepName.STARTED, state, version, seq, since_ms=1)


def batch(*entries: Entry) -> ReportBatch:
    return ReportBatch("box-1", entries)


async def test_an_entry_counts_once(store: Store) -> None:
    intake = await Intake.open(store)
    said = batch(Entry(1, event=Event("boot", "it booted", 5)), Entry(2, event=Event("boot", "again", 6)))
    await intake.report((NODE, said))
    await intake.report((NODE, said))
    await intake.report((NODE, batch(*said.entries, Entry(3, event=Event("boot", "a third", 7)))))
    async with store.read() as view:
        assert [row.text for row in await events(view)] == ["it booted", "again", "a third"]


async def test_an_older_step_changes_nothing(store: Store) -> None:
    intake = await Intake.open(store)
    order = [
        (StepState.RUNNING, 2, 1),
        (StepState.DONE, 2, 2),
        (StepState.FAILED, 1, 9),
        (StepState.RUNNING, 2, 1),
    ]
    for seq, (state, generation, number) in enumerate(order, 1):
        await intake.report((NODE, batch(Entry(seq, step=step(state, generation, number)))))
    async with store.read() as view:
        assert [row.step.state for row in await rows.steps(view)] == [StepState.DONE]


async def test_a_node_speaks_for_its_own_copies_alone(store: Store) -> None:
    intake = await Intake.open(store)
    await intake.report((OTHER, batch(Entry(1, step=step(StepState.FAILED, 9, 9)))))
    async with store.read() as view:
        assert await rows.steps(view) == []


async def test_a_beat_without_news_writes_nothing(store: Store) -> None:
    intake = await Intake.open(store)
    commits: list[frozenset[str]] = []
    beat = Beat("boot-1", accepted=Issued(Version(1, 1, 1), b"d" * 32))
    assert await intake.heard({NODE: beat})
    store.on_commit(commits.append)
    assert not intake.is_new(NODE, beat)
    assert not await intake.heard({NODE: beat})
    assert commits == []
    assert (await Intake.open(store)).facts == intake.facts


async def test_that_a_copy_was_stopped_as_it_should_is_no_failed_step(store: Store) -> None:
    intake = await Intake.open(store)
    placed = Placement(COPY, AppName("web"), 1, NODE, "asked")
    async with store.write() as tx:
        await rows.end_placement(tx.as_owner(Owner.SCHEDULE), placed, 100, "scaled down")
    stopped = structs.replace(step(StepState.FAILED, 1, 1), since_ms=120, reason="it was stopped")
    crashed = structs.replace(step(StepState.FAILED, 1, 2), since_ms=80, reason="exit status 1")
    await intake.report((NODE, batch(Entry(1, step=stopped), Entry(2, step=crashed))))
    async with store.read() as view:
        assert [row.text for row in await events(view)] == [f"{COPY}: started failed: exit status 1"]
