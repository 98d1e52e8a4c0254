"""The term under which a hub answers, also after its store was put back."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import pytest

from skerry_hub.beats.leader import keep_lead, take_lead
from skerry_hub.clock import monotonic_ms
from skerry_hub.journal import Happened, events, note
from skerry_hub.store import Deposed, Owner, Store, StoreError
from skerry_protocol.messages import Beat

from ..hubs import Machine, serving, token_of


async def test_each_start_takes_the_next_term(tmp_path: Path) -> None:
    for expected in (1, 2, 3):
        store = await Store.open(tmp_path / "hub.db")
        assert await take_lead(store, "me") == expected
        await store.close()


async def two_hubs(database: Path) -> tuple[Store, Store]:
    """The lock was deleted under a hub that hangs, and another took the lead."""
    first = await Store.open(database)
    await take_lead(first, "first")
    database.with_name(database.name + ".lock").unlink()
    second = await Store.open(database)
    await take_lead(second, "second")
    return first, second


async def test_a_hub_whose_place_was_taken_writes_nothing_more(tmp_path: Path) -> None:
    first, second = await two_hubs(tmp_path / "hub.db")
    with pytest.raises(
        Deposed, match=r"cannot use .*hub\.db: another hub leads by it, in term 2, this one had 1"
    ):
        async with first.write() as tx:
            await note(tx.as_owner(Owner.API), Happened("x", "too late"))
    with pytest.raises(Deposed):
        await take_lead(first, "first", above=7)
    async with second.write() as tx:
        await note(tx.as_owner(Owner.API), Happened("x", "in time"))
    async with second.read() as view:
        assert [one.text for one in await events(view)] == ["in time"]
    await first.close()
    await second.close()


async def test_a_hub_that_has_nothing_to_write_hears_of_it_too(tmp_path: Path) -> None:
    first, second = await two_hubs(tmp_path / "hub.db")
    await asyncio.wait_for(keep_lead(first), 20)
    assert first.deposed.is_set()
    await first.close()
    await second.close()


async def test_a_lock_that_somebody_deleted_is_taken_again(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "hub.db")
    await take_lead(store, "one")
    looking = asyncio.create_task(keep_lead(store))
    (tmp_path / "hub.db.lock").unlink()
    assert not store.locked()
    async with asyncio.timeout(20):
        while not store.locked():  # noqa: ASYNC110 - the file system tells nobody
            await asyncio.sleep(0.01)
    with pytest.raises(StoreError, match="another hub has it"):
        await Store.open(tmp_path / "hub.db")
    assert not looking.done()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)  # it may be reading
    await store.close()


async def test_a_lock_that_cannot_be_looked_at_is_not_lost(tmp_path: Path) -> None:
    """As on a disk that fails: leases go on."""
    store = await Store.open(tmp_path / "hub.db")
    lock = tmp_path / "hub.db.lock"
    lock.unlink()
    lock.symlink_to(lock)  # a loop: to look at it is an error
    assert store.locked()
    lock.unlink()
    assert not store.locked()
    await store.close()


async def test_a_hub_whose_lock_another_has_answers_no_beat(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub") as desk:
        machine = Machine(desk)
        await machine.join(desk.client, await token_of(desk))
        hearing, beat = desk.hub.hearing, Beat("boot")
        answer = hearing.on_beat(machine.id, beat, monotonic_ms())
        assert isinstance(answer, Awaitable)  # its boot is stored first
        assert await answer is not None
        lock = tmp_path / "hub" / "hub.db.lock"
        lock.unlink()
        lock.touch()
        assert hearing.on_beat(machine.id, beat, monotonic_ms()) is None


# Starts nats-server: seconds.
async def test_a_hub_that_was_put_back_answers_under_a_term_that_its_nodes_heed(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub", nats_url=None) as desk:
        machine = Machine(desk)
        await asyncio.wait_for(
            desk.hub.bus.connected.wait(), 20
        )  # NATS has a port only then, to tell a new node
        await machine.join(desk.client, await token_of(desk))
        bus = await machine.connect()
        assert (await machine.beat(bus)).term == 1
        assert (
            await machine.beat(bus, term=7)
        ).term == 8  # what the node saw before the old backup was put back
        assert (await machine.beat(bus, term=2)).term == 8
        assert (await machine.beat(bus, term=1 << 40)).term == 8  # no honest node has seen that
        await bus.close()
    async with serving(tmp_path / "hub", desk.token, nats_url=None) as desk:
        assert desk.hub.hearing.term == 9
