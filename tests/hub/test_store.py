"""The store: who may write what, what survives, and every earlier version still opens."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from skerry_hub.journal import Happened, events, note
from skerry_hub.store import NotYours, Owner, Store, StoreError, migrate, schema, sqlite
from skerry_hub.store.owners import JOURNALS, OWNS, check_owners
from skerry_hub.store.store import Values

TABLES = frozenset(schema.metadata.tables)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "hub.db")
    yield opened
    await opened.close()


def test_each_table_has_one_owner() -> None:
    check_owners(OWNS, TABLES)


def test_a_second_owner_is_refused() -> None:
    with pytest.raises(NotYours, match=r"facts is owned by both"):
        check_owners({**OWNS, Owner.SIGN: OWNS[Owner.SIGN] | {"facts"}}, TABLES)


def test_a_table_without_an_owner_is_refused() -> None:
    with pytest.raises(NotYours, match="nobody owns apps"):
        check_owners({**OWNS, Owner.OPERATORS: OWNS[Owner.OPERATORS] - {"apps"}}, TABLES)


@pytest.mark.parametrize("owner", list(Owner))
async def test_an_owner_writes_its_own_tables_alone(store: Store, owner: Owner) -> None:
    async with store.write() as tx:
        hand = tx.as_owner(owner)
        for table in sorted(TABLES - JOURNALS):
            if table in OWNS[owner]:
                await hand.drop(schema.metadata.tables[table])
            else:
                with pytest.raises(NotYours):
                    await hand.drop(schema.metadata.tables[table])


async def test_what_fails_half_way_leaves_nothing(store: Store) -> None:
    async def half() -> None:
        async with store.write() as tx:
            await note(tx.as_owner(Owner.API), Happened("x", "half"))
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - our own
        await half()
    async with store.read() as view:
        assert await events(view) == []


async def test_a_reader_is_not_held_up_by_the_writer(store: Store) -> None:
    async with store.write() as tx:
        await note(tx.as_owner(Owner.API), Happened("x", "not yet"))
        async with asyncio.timeout(1), store.read() as view:
            assert await events(view) == []
    async with store.read() as view:
        assert [row.text for row in await events(view)] == ["not yet"]


async def test_readers_cannot_write(store: Store) -> None:
    with pytest.raises(Exception, match="readonly"):
        async with store.read() as view:
            await view.rows(schema.events.delete())


async def test_listeners_hear_of_commits_alone(store: Store) -> None:
    heard: list[frozenset[str]] = []
    store.on_commit(heard.append)
    async with store.write() as tx:
        await note(tx.as_owner(Owner.API), Happened("x", "y"))
        assert heard == []
    async with store.write():
        pass
    assert heard == [frozenset({"events"})]


async def test_a_second_hub_is_told_who_has_the_file(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"another hub has it, process \d+ \(stop that one first\)"):
        await Store.open(tmp_path / "hub.db")


@pytest.mark.parametrize("version", migrate.versions())
async def test_every_earlier_version_opens(tmp_path: Path, version: str) -> None:
    engine = sqlite.writer(tmp_path / "hub.db")
    await migrate.upgrade(engine, version)
    await engine.dispose()
    store = await Store.open(tmp_path / "hub.db")
    await store.close()
    engine = sqlite.writer(tmp_path / "hub.db")
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await engine.dispose()


def _differences(connection: Connection) -> object:
    return compare_metadata(MigrationContext.configure(connection), schema.metadata)


async def test_a_file_of_a_newer_hub_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    await (await Store.open(path)).close()
    with closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")
        file.commit()
    with pytest.raises(StoreError, match=r"it is at version 9999.*use the newer hub"):
        await Store.open(path)


async def test_it_is_written_through_to_the_disk(store: Store) -> None:
    async with store._writer.connect() as connection:
        mode = (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar()
        synchronous = (await connection.exec_driver_sql("PRAGMA synchronous")).scalar()
    assert (mode, synchronous) == ("wal", 2)


async def test_who_had_a_part_in_a_commit_is_not_told_of_it(store: Store) -> None:
    told: list[str] = []
    parts, others = (lambda _: told.append("part")), (lambda _: told.append("other"))
    store.on_commit(parts)
    store.on_commit(others)
    async with store.write() as tx:
        await note(tx.as_owner(Owner.API), Happened("x", "once"))
        tx.knowing.add(parts)
        tx.then.append(lambda: told.append("then"))
    assert told == ["other", "then"]
    async with store.write() as tx:
        await note(tx.as_owner(Owner.API), Happened("x", "once more"))
    assert told == ["other", "then", "part", "other"]


async def test_what_was_to_follow_a_commit_does_not_follow_a_failure(store: Store) -> None:
    told: list[str] = []

    async def half() -> None:
        async with store.write() as tx:
            tx.then.append(lambda: told.append("then"))
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        await half()
    assert told == []


async def test_a_row_takes_the_place_of_the_one_with_its_key_and_of_no_other(store: Store) -> None:
    """Another row with the same unique value is a fault of the caller's, and is not lost for it."""
    nodes = schema.nodes

    async def put(name: str, revision: int, *ids: str) -> None:
        values: list[Values] = [{"id": one, "name": name, "revision": revision, "doc": "{}"} for one in ids]
        async with store.write() as tx:
            await tx.as_owner(Owner.OPERATORS).put_all(nodes, values)

    await put("box", 1, "one")
    await put("box", 2, "one")
    with pytest.raises(IntegrityError):
        await put("box", 3, "two")
    async with store.read() as view:
        assert await view.rows(select(nodes.c.id, nodes.c.revision)) == [("one", 2)]


async def test_many_rows_are_dropped_by_all_that_is_said_of_each(store: Store) -> None:
    boxes: list[Values] = [
        {"node": node, "outbox": box, "seq": 1} for node in ("a", "b") for box in ("x", "y")
    ]
    gone: list[Values] = [
        {"node": "a", "outbox": "x"},
        {"node": "b", "outbox": "y"},
        {"node": "c", "outbox": "x"},
    ]
    async with store.write() as tx:
        hand = tx.as_owner(Owner.INTAKE)
        await hand.put_all(schema.outboxes, boxes)
        await hand.drop_all(schema.outboxes, gone)
    async with store.read() as view:
        left = await view.rows(select(schema.outboxes.c.node, schema.outboxes.c.outbox))
        assert sorted(map(str, left)) == ["('a', 'y')", "('b', 'x')"]
