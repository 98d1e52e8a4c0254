"""The store: many readers that block nobody, one writer, short transactions, one owner per table.

Order of calls: `Store.open` (locks the file, brings its tables up to date), then `read` and `write` as often as wanted,
then `close`. A transaction is committed when its block ends well, and leaves nothing behind when it does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from sqlalchemy import Delete, Executable, Insert, Table, bindparam, delete, insert, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.elements import ColumnElement

from . import sqlite
from .migrate import upgrade
from .owners import JOURNALS, OWNS, TRIMMED, NotYours, Owner, check_owners
from .schema import metadata

Value = str | int | bytes | None
Values = Mapping[str, Value]
Given = Mapping[str, Value | Sequence[Value]]
Listener = Callable[[frozenset[str]], None]


class View:
    """What a transaction sees: reading only."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def rows(self, statement: Executable, values: Given | None = None) -> list[tuple[object, ...]]:
        """All rows of a SELECT; `values` of its bound parameters."""
        return [tuple(row) for row in await self._connection.execute(statement, values)]

    async def one(self, statement: Executable, values: Given | None = None) -> tuple[object, ...] | None:
        """The first row of a SELECT, if there is one; `values` of its bound parameters."""
        row = (await self._connection.execute(statement, values)).first()
        return None if row is None else tuple(row)


class Writer:
    """One owner's hand in a transaction: it writes that owner's tables, appends to journals, and nothing else."""

    def __init__(self, connection: AsyncConnection, owner: Owner, touched: set[str]) -> None:
        self._connection = connection
        self._owner = owner
        self._touched = touched

    def _mine(self, table: Table) -> None:
        if table.name not in OWNS[self._owner]:
            raise NotYours(f"{self._owner} must not write {table.name}")
        self._touched.add(table.name)

    async def add(self, table: Table, rows: Iterable[Values]) -> None:
        """New rows. Raises IntegrityError for one that is there."""
        if table.name not in JOURNALS:
            self._mine(table)
        if many := [dict(row) for row in rows]:
            self._touched.add(table.name)
            await self._connection.execute(insert(table), many)

    async def put(self, table: Table, row: Values) -> None:
        """The row, new or in place of the one with the same key."""
        self._mine(table)
        for statement, given in zip(_replacing(table), (_key_of(table, row), dict(row)), strict=True):
            await self._connection.execute(statement, given)

    async def put_all(self, table: Table, rows: Iterable[Values]) -> None:
        """`put` for many rows, in two statements."""
        if many := [dict(row) for row in rows]:
            self._mine(table)
            gone, come = _replacing(table)
            await self._connection.execute(gone, [_key_of(table, row) for row in many])
            await self._connection.execute(come, many)

    async def change(self, table: Table, values: Values, *where: ColumnElement[bool]) -> int:
        """Sets columns of the rows that match; returns how many did."""
        self._mine(table)
        return (await self._connection.execute(update(table).where(*where).values(**values))).rowcount

    async def drop(self, table: Table, *where: ColumnElement[bool]) -> int:
        """Deletes the rows that match; returns how many did."""
        self._mine(table)
        return (await self._connection.execute(delete(table).where(*where))).rowcount

    async def trim(self, journal: Table, *where: ColumnElement[bool]) -> int:
        """Deletes rows of a journal that has a bound; only upkeep may."""
        if self._owner is not Owner.UPKEEP or journal.name not in TRIMMED:
            raise NotYours(f"{self._owner} must not trim {journal.name}")
        self._touched.add(journal.name)
        return (await self._connection.execute(delete(journal).where(*where))).rowcount


@cache  # to make a statement costs more than to run it
def _replacing(table: Table) -> tuple[Delete, Insert]:
    """What takes a row away by its key, and what puts one there."""
    where = [column == bindparam(f"key_{column.name}") for column in table.primary_key.columns]
    return delete(table).where(*where), insert(table)


def _key_of(table: Table, row: Values) -> dict[str, Value]:
    return {f"key_{column.name}": row[column.name] for column in table.primary_key.columns}


class Transaction(View):
    """A view that can also write, through one owner's hand at a time. `touched`: the tables written so far."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self.touched: set[str] = set()

    def as_owner(self, owner: Owner) -> Writer:
        """The hand of `owner`."""
        return Writer(self._connection, owner, self.touched)


class Store:
    """One hub's store. Made by `Store.open`."""

    def __init__(self, path: Path, lock: sqlite.FileLock, writer: AsyncEngine, readers: AsyncEngine) -> None:
        self.path = path
        self._lock = lock
        self._writer = writer
        self._readers = readers
        self._turn = asyncio.Lock()
        self._listeners: list[Listener] = []
        self.trouble: str | None = None  # why the last write could not be made

    def on_commit(self, listener: Listener) -> None:
        """Calls `listener`, which must not wait, after each commit with the names of the tables that it wrote."""
        self._listeners.append(listener)

    @classmethod
    async def open(cls, path: Path) -> Store:
        """Locks and opens `path`, made where missing.

        Raises StoreError where another hub has it, or it is newer, damaged or on a full disk.
        """
        check_owners(OWNS, frozenset(metadata.tables))
        lock = sqlite.FileLock(path)
        lock.take()
        try:
            writer = sqlite.writer(path)
            try:
                await upgrade(writer)
            except BaseException:
                await writer.dispose()
                raise
        except BaseException as error:
            lock.free()
            if isinstance(error, DBAPIError):
                raise sqlite.unusable(path, error) from error
            raise
        return cls(path, lock, writer, sqlite.readers(path))

    async def close(self) -> None:
        """Waits for the running write, then lets the file go."""
        async with self._turn:
            await self._readers.dispose()
            await self._writer.dispose()
            self._lock.free()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[View]:
        """One consistent view, as of the last commit."""
        async with self._readers.connect() as connection:
            yield View(connection)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """The next write transaction; others wait for it, so it must be short. Raises StoreError for a full disk."""
        async with self._turn:
            try:
                async with self._writer.begin() as connection:
                    transaction = Transaction(connection)
                    yield transaction
            except DBAPIError as error:
                failed = sqlite.unwritable(self.path, error)
                self.trouble = str(failed) if failed is not None else self.trouble
                raise failed or error from error
            self.trouble = None if transaction.touched else self.trouble
            for listener in self._listeners if transaction.touched else ():
                listener(frozenset(transaction.touched))
