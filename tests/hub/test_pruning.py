"""What the store does not keep for ever goes in time, and nothing else does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from skerry_hub import pruning
from skerry_hub.artifacts.artifacts import ArtifactStore
from skerry_hub.journal import Happened, events, history, note
from skerry_hub.maintenance import Maintenance
from skerry_hub.model import AssignmentRow, BootRow, Fact, Loss, Mesh, NodeRow, Placement
from skerry_hub.operators import forget_node, set_node
from skerry_hub.pruning import DAY_MS, ENDED_MS, own_words, prune
from skerry_hub.store import NotYours, Owner, Store, rows
from skerry_hub.store import schema as s
from skerry_protocol.ids import AppName, InstanceId, NodeId, NodeName
from skerry_protocol.messages import Issued, Step, StepName, StepState, Version

MESH = Mesh("coast", "north", 1, 1)
LATER = 1 << 50


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "hub.db")
    async with opened.write() as tx:
        await rows.put_mesh(tx.as_owner(Owner.RESUME), MESH)
    yield opened
    await opened.close()


async def kept(store: Store, keep: int) -> list[str]:
    async with store.write() as tx:
        mesh = msgspec.structs.replace(MESH, keep_events=keep)
        await rows.put_mesh(tx.as_owner(Owner.RESUME), mesh)
    await prune(store, 0)
    async with store.read() as view:
        return [row.text for row in await events(view, limit=1000)]


async def happen(store: Store, count: int, changer: str | None = None, node: str | None = None) -> None:
    happened = (Happened("x", f"{number}", node=node, changer=changer) for number in range(count))
    async with store.write() as tx:
        await note(tx.as_owner(Owner.API), *happened)


async def test_the_newest_events_stay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BITE", 3)
    await happen(store, 10, changer="mara", node="n1")
    await happen(store, 2)
    assert await kept(store, 12) == [*map(str, range(10)), "0", "1"]
    assert await kept(store, 5) == ["7", "8", "9", "0", "1"]
    assert await kept(store, 5) == ["7", "8", "9", "0", "1"]


async def test_a_node_that_talks_without_end_takes_nobody_elses_history(store: Store) -> None:
    await happen(store, 1, changer="mara")
    await happen(store, 1, changer="n1", node="n1")
    await happen(store, 300, changer="n2", node="n2")
    found = await kept(store, 5)
    assert found == ["0", "0", *map(str, range(200, 300))]
    assert own_words(100_000) == 500


async def test_the_number_of_an_event_is_never_given_again(store: Store) -> None:
    await happen(store, 3)
    await kept(store, 0)
    await happen(store, 1)
    async with store.read() as view:
        assert [row.id for row in await events(view)] == [4]


async def test_nobody_but_upkeep_trims_and_revisions_stay(store: Store) -> None:
    async with store.write() as tx:
        with pytest.raises(NotYours):
            await tx.as_owner(Owner.API).trim(s.events)
        with pytest.raises(NotYours):
            await tx.as_owner(Owner.UPKEEP).trim(s.revisions)


async def test_upkeep_is_done_soon_after_each_start(store: Store, tmp_path: Path) -> None:
    """What is done once a day would never be done by a hub that is restarted every day."""

    async def rotate() -> bool:
        return False

    upkeep = Maintenance(store, ArtifactStore(tmp_path), rotate)
    upkeep.start()
    try:
        assert len(upkeep.due()) == 3
        assert max(upkeep.due()) - datetime.now(UTC) < timedelta(minutes=10)
    finally:
        upkeep.stop()


def step(instance: str) -> dict[str, str]:
    name = InstanceId(instance)
    said = Step(name, AppName("web"), 1, StepName.STARTED, StepState.DONE, Version(1, 1, 1), 1, since_ms=1)
    return {"instance": name, "step": "started", "node": "n", "app": "web", "doc": rows.dump(said)}


async def test_steps_go_a_day_after_their_copy_ended(store: Store) -> None:
    placed = [Placement(InstanceId(f"web-1-{one}"), AppName("web"), 1, NodeId("n"), "asked") for one in "abc"]
    async with store.write() as tx:
        hand = tx.as_owner(Owner.SCHEDULE)
        await hand.add(s.placements, map(rows.placement_values, placed))
        await rows.end_placement(hand, placed[1], 1_000, "old")
        await rows.end_placement(hand, placed[2], DAY_MS, "new")
        await tx.as_owner(Owner.INTAKE).add(s.steps, [step(f"web-1-{one}") for one in "abcd"])
    async with store.read() as view:
        assert [row.step.instance for row in await rows.steps(view, live=True)] == ["web-1-a"]
    await prune(store, DAY_MS + 2_000)
    async with store.read() as view:
        assert [row.step.instance for row in await rows.steps(view)] == ["web-1-a", "web-1-c"]


async def test_a_copy_that_ended_long_ago_goes_once_no_node_can_have_it(store: Store) -> None:
    placed = [Placement(InstanceId(f"web-1-{one}"), AppName("web"), 1, NodeId("n"), "asked") for one in "abc"]
    issued = Issued(Version(1, 1, 1), b"d" * 32)
    async with store.write() as tx:
        hand = tx.as_owner(Owner.SCHEDULE)
        await hand.add(s.placements, map(rows.placement_values, placed))
        await rows.end_placement(hand, placed[1], 1_000, "old")
        await rows.end_placement(hand, placed[2], 1_000, "old, but its node was never heard since")
        row = AssignmentRow(NodeId("n"), issued, b"", instances=(placed[2].instance,))
        await tx.as_owner(Owner.SIGN).add(s.assignments, [rows.assignment_values(row)])
    await prune(store, ENDED_MS)
    await prune(store, LATER)
    async with store.read() as view:
        kept = await view.rows(s.placements.select().order_by(s.placements.c.instance))
    assert [row[0] for row in kept] == ["web-1-a", "web-1-c"]


async def test_what_was_known_of_a_forgotten_node_goes_and_its_history_stays(store: Store) -> None:
    names = [NodeName("gone"), NodeName("here")]
    async with store.write() as tx:
        for name in names:
            node = NodeId(name)
            row = await set_node(tx, NodeRow(node, name, b"k"), "mara", "made")
            await rows.put_facts(tx.as_owner(Owner.INTAKE), [Fact(node)])
            await rows.put_loss(tx.as_owner(Owner.SILENCE), Loss(node, 1_000))
            await rows.put_boots(tx.as_owner(Owner.BOOTS), [BootRow(node, "one")])
            if name == "gone":
                await forget_node(tx, row, "mara", "sold")
    await prune(store, 0)
    async with store.read() as view:
        assert len(await rows.facts(view)) == 2, "not at once: somebody may want to look"
    await prune(store, LATER)
    async with store.read() as view:
        found = (await rows.facts(view), await rows.losses(view), await rows.boots(view))
        assert [[row.node for row in some] for some in found] == [["here"]] * 3
        assert len(await history(view, "node", "gone")) == 2
        assert len(await view.rows(s.forgotten.select())) == 1, "its key stays refused"
