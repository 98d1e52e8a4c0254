"""The store says and keeps the same with the driver that has a thread and with the one that has none."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from skerry_hub.journal import Happened, events, note
from skerry_hub.model import Fact, NodeRow
from skerry_hub.store import NotYours, Owner, Store, StoreError, rows, sqlite
from skerry_hub.store import schema as s
from skerry_protocol.ids import NodeId, NodeName

from . import inline_sqlite

pytestmark = pytest.mark.anyio


async def written(store: Store, heard: list[object]) -> None:
    """Every way to write, and the counts that come back."""
    async with store.write() as tx:
        operators, intake = tx.as_owner(Owner.OPERATORS), tx.as_owner(Owner.INTAKE)
        for number in range(5):
            await rows.put_node(operators, NodeRow(NodeId(f"n{number}"), NodeName(f"n{number}"), b"k"))
        await intake.put_all(
            s.facts, ({"node": f"n{n}", "doc": rows.dump(Fact(NodeId(f"n{n}")))} for n in range(5))
        )
        await note(operators, *(Happened("x", f"event {number}", at_ms=number) for number in range(3)))
        heard.append(await intake.change(s.facts, {"doc": "null"}, s.facts.c.node > "n2"))
        heard.append(await intake.drop(s.facts, s.facts.c.node > "n2"))
        heard.append(await rows.facts(tx))  # a transaction sees what it wrote
        with pytest.raises(NotYours):
            await intake.drop(s.nodes)


async def failed(store: Store, heard: list[object]) -> None:
    """What does not end well leaves nothing, be it ours or the database's."""
    twice: list[dict[str, str]] = [{"node": "n1", "doc": "null"}] * 2
    with pytest.raises(DBAPIError):
        await _dropped(store, twice)
    with pytest.raises(ZeroDivisionError):
        await _dropped(store, [])
    with pytest.raises(DBAPIError, match="readonly"):
        async with store.read() as view:
            await view.rows(s.facts.delete())
    with pytest.raises(StoreError, match="another hub has it"):
        await Store.open(store.path)
    heard.append(await _all(store))


async def beside(store: Store, heard: list[object]) -> None:
    """Readers see the last commit and do not wait; a writer waits for the one before it."""
    async with store.write() as tx:
        await note(tx.as_owner(Owner.API), Happened("y", "not yet", at_ms=9))
        waiting = asyncio.ensure_future(_note(store, "after it"))
        await asyncio.sleep(0)
        heard.append((await _all(store), waiting.done()))
    await waiting
    heard.append(await _all(store))


async def _dropped(store: Store, then: list[dict[str, str]]) -> None:
    async with store.write() as tx:
        hand = tx.as_owner(Owner.INTAKE)
        await hand.drop(s.facts)
        await hand.add(s.facts, then)
        _ = 1 / 0


async def _note(store: Store, text: str) -> None:
    async with store.write() as tx:
        await note(tx.as_owner(Owner.API), Happened("y", text, at_ms=10))


async def _all(store: Store) -> object:
    async with store.read() as view:
        facts = await view.rows(select(s.facts).order_by(s.facts.c.node))
        return await rows.nodes(view), facts, await events(view), await view.one(select(s.apps))


async def told(path: Path) -> list[object]:
    """All that the store says in a story, and what is in the file after it was opened again."""
    heard: list[object] = []
    for part in (written, failed, beside):
        store = await Store.open(path)
        store.on_commit(heard.append)
        await part(store, heard)
        await store.close()
    with closing(sqlite3.connect(path)) as file:
        return [*heard, *file.iterdump(), file.execute("PRAGMA journal_mode").fetchone()]


async def test_with_and_without_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threaded = await told(tmp_path / "threaded.db")
    monkeypatch.setattr(sqlite, "create_async_engine", inline_sqlite.make_engine)
    assert await told(tmp_path / "inline.db") == threaded
    assert len(threaded) > 30
