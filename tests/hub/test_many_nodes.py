"""What thousands of nodes say at once costs a few commits, and what changes nothing costs none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from skerry_hub.beats.leader import LOOK_MS, LockLook
from skerry_hub.clock import monotonic_ms
from skerry_hub.loops import reconcile
from skerry_hub.model import AssignmentRow, BootRow, Fact
from skerry_hub.nats.newest import NewestOf
from skerry_hub.store import Store, StoreError, Transaction, rows
from skerry_protocol.ids import NodeId
from skerry_protocol.messages import Beat, BeatReply, Issued, Version
from tests.natsrig import row, until, within

from .hubs import Desk, Machine, serving, token_of

MANY = 20
HELD = Issued(Version(1, 1, 1), b"d" * 32)
WEB = {"name": "web", "run": ["/bin/sleep", "9"], "availability": "best-effort"}


async def joined(desk: Desk, many: int) -> list[Machine]:
    token = await token_of(desk, reusable=True, limit=many)
    machines = [Machine(desk, f"box-{number}") for number in range(many)]
    for machine in machines:
        assert (await machine.join(desk.client, token)).status_code == 200
    return machines


async def beat(
    desk: Desk, machine: Machine, held: Issued | None = None, boot: str = "boot-1"
) -> BeatReply | None:
    said = Beat(boot=boot, accepted=held, applied=held)
    answer = desk.hub.hearing.on_beat(machine.id, said, monotonic_ms())
    return await answer if isinstance(answer, Awaitable) else answer


def commits(desk: Desk, table: str) -> list[None]:
    """One for each commit that writes the table from now on."""
    found: list[None] = []
    desk.hub.store.on_commit(lambda tables: found.append(None) if table in tables else None)
    return found


async def facts(desk: Desk) -> dict[NodeId, Fact]:
    async with desk.hub.store.read() as view:
        return {fact.node: fact for fact in await rows.facts(view)}


async def boots(desk: Desk) -> dict[NodeId, BootRow]:
    async with desk.hub.store.read() as view:
        return {one.node: one for one in await rows.boots(view)}


async def test_new_boots_that_come_together_are_few_commits_and_stored_before_each_answer(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path / "hub") as desk:
        machines = await joined(desk, MANY)
        written = commits(desk, "boots")
        assert all(await asyncio.gather(*(beat(desk, machine) for machine in machines)))
        assert len(written) <= 2
        assert {node: one.boot for node, one in (await boots(desk)).items()} == {
            machine.id: "boot-1" for machine in machines
        }


async def test_who_waited_for_anothers_commit_of_its_boot_opens_no_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path / "hub") as desk:
        machines = await joined(desk, MANY)
        opened: list[None] = []
        real = desk.hub.store.write

        def write() -> AbstractAsyncContextManager[Transaction]:
            opened.append(None)
            return real()

        monkeypatch.setattr(desk.hub.store, "write", write)
        assert all(await asyncio.gather(*(beat(desk, machine) for machine in machines)))
        assert len(opened) < MANY / 2


async def test_the_lock_is_looked_at_once_for_beats_that_come_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, looks = await Store.open(tmp_path / "hub.db"), [0]
    real = store.locked

    def locked() -> bool:
        looks[0] += 1
        return real()

    monkeypatch.setattr(store, "locked", locked)
    leads = LockLook(store)
    assert all(leads(1_000 + at) for at in range(LOOK_MS))
    assert looks == [1]
    assert leads(1_001 + LOOK_MS)
    assert looks == [2], "the hub may have hung in the middle of them"
    (tmp_path / "hub.db.lock").unlink()
    await asyncio.sleep(0)
    assert not leads(1_002 + LOOK_MS), "each turn of the event loop looks by itself"
    assert not leads(1_003 + LOOK_MS)
    await store.close()


async def test_a_boot_whose_commit_failed_is_stored_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path / "hub") as desk:
        first, second = await joined(desk, 2)
        real, left = rows.put_boots, [True]

        async def once(*given: object) -> None:
            if left.pop() if left else False:
                raise StoreError("the disk is full")
            await real(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(rows, "put_boots", once)
        answers = await asyncio.gather(beat(desk, first), beat(desk, second), return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoreError, BeatReply], "no answer without a commit"
        assert (await boots(desk)).keys() == {first.id, second.id}


async def test_news_of_many_beats_is_few_commits(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub") as desk:
        machines = await joined(desk, MANY)
        await asyncio.gather(*(beat(desk, machine) for machine in machines))
        written = commits(desk, "facts")
        await asyncio.gather(*(beat(desk, machine, HELD) for machine in machines))
        await until(lambda: all(desk.hub.intake.facts[machine.id].accepted == HELD for machine in machines))
        assert len(written) <= 3
        stored = await facts(desk)
        assert all(stored[machine.id].applied == HELD for machine in machines)


async def test_a_quiet_node_that_beats_has_the_loops_run_only_where_a_copy_waits(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub") as desk:
        (machine,) = await joined(desk, 1)
        asked: list[bool] = []
        real = desk.hub.reconciler.kick

        def kick(pressing: bool = True, /) -> None:
            asked.append(pressing)
            real(pressing)

        desk.hub.hearing.connect(kick, desk.hub.bus, desk.hub.forget)
        await desk.hub.reconciler.once()
        asked.clear()
        await beat(desk, machine)
        assert asked == [], "nothing waits for a node"
        desk.hub.hearing._beats._silence.heard.clear()  # it is quiet again
        await desk.post("/api/apply", {"apps": [WEB]})
        await desk.hub.reconciler.once()
        asked.clear()
        await beat(desk, machine)
        assert asked == [False], "web waits for a place"
        await until(
            lambda: (
                desk.hub.reconciler.last is not None and bool(desk.hub.reconciler.last.schedule.placements)
            )
        )


async def test_what_can_wait_does_not_have_the_loops_run_on_and_on_and_what_presses_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "RESTS", 1e9)
    monkeypatch.setattr(reconcile, "REST_MOST_S", 1e9)
    async with serving(tmp_path / "hub") as desk:
        loops = desk.hub.reconciler
        loops.kick()
        await until(lambda: loops._wanted.is_set() is False)
        runs = loops.runs
        for _ in range(3):
            loops.kick(False)
            await asyncio.sleep(0)
        assert loops.runs <= runs + 1, "one run may have been on its way"
        runs = loops.runs
        loops.kick()
        await until(lambda: loops.runs > runs)


async def test_the_newest_are_read_together(tmp_path: Path) -> None:
    reads: list[set[NodeId]] = []

    async def read(nodes: Collection[NodeId]) -> Mapping[NodeId, AssignmentRow]:
        reads.append(set(nodes))
        await asyncio.sleep(0)
        return {node: row(node, 1, b"x") for node in nodes if node != "c"}

    newest = NewestOf(read)
    a, b, c = await asyncio.gather(*(newest(NodeId(name)) for name in "abc"))
    assert (a and a.node, b and b.node, c) == ("a", "b", None)
    assert reads == [{"a", "b", "c"}]
    assert await newest(NodeId("a"))
    assert reads[1:] == [{"a"}], "nothing is kept"


async def test_a_read_that_fails_is_told_to_all_who_asked_and_the_next_is_another() -> None:
    failures = [OSError("the store is busy")]

    async def read(nodes: Collection[NodeId]) -> Mapping[NodeId, AssignmentRow]:
        if failures:
            raise failures.pop()
        return {node: row(node, 1, b"x") for node in nodes}

    newest = NewestOf(read)
    said = await asyncio.gather(newest(NodeId("a")), newest(NodeId("b")), return_exceptions=True)
    assert [str(one) for one in said] == ["the store is busy"] * 2
    assert await newest(NodeId("a"))


async def test_who_gives_up_ends_nothing_for_the_others() -> None:
    gate = asyncio.Event()

    async def read(nodes: Collection[NodeId]) -> Mapping[NodeId, AssignmentRow]:
        await gate.wait()
        return {node: row(node, 1, b"x") for node in nodes}

    newest = NewestOf(read)
    leaves, stays = asyncio.create_task(newest(NodeId("a"))), asyncio.create_task(newest(NodeId("a")))
    await asyncio.sleep(0)
    leaves.cancel()
    gate.set()
    await within(stays)
    found = stays.result()
    assert found is not None
    assert found.node == "a"
