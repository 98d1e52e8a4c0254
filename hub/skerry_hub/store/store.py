"""The store: many readers that block nobody, one writer, short transactions, one owner per table.

Order of calls: `Store.open` (locks the file, brings its tables up to date), then `read` and `write` as often as wanted,
then `close`. A transaction is committed when its block ends well, and leaves nothing behind when it does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar, cast

from sqlalchemy import Executable, Insert, Table, bindparam, delete, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.elements import ColumnElement

from . import sqlite
from .migrate import upgrade
from .owners import JOURNALS, OWNS, TRIMMED, NotYours, Owner, check_owners
from .schema import lead, metadata
from .sqlite import StoreError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Value = str | int | bytes | None
Values = Mapping[str, Value]
Given = Mapping[str, Value | Sequence[Value]]
Listener = Callable[[frozenset[str]], None]


class Deposed(sqlite.StoreError):
    """Another hub leads by this store since: this one decides nothing any more."""


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

    async def whole(self, read: Whole[T]) -> T:
        """What `read` finds. Nobody may change it: others may be given the same (see Transaction)."""
        return await read.of(self)


class Whole(Generic[T_co]):
    """A reading of whole `tables`, and of nothing else: the same until somebody writes one of them."""

    def __init__(self, of: Callable[[View], Awaitable[T_co]], *tables: Table) -> None:
        self.of = of
        self.tables = frozenset(table.name for table in tables)


class Writer:
    """One owner's hand in a transaction: it writes that owner's tables, appends to journals, and nothing else."""

    def __init__(self, connection: AsyncConnection, owner: Owner, touch: Callable[[str], None]) -> None:
        self._connection = connection
        self._owner = owner
        self._touch = touch

    def _mine(self, table: Table) -> None:
        if table.name not in OWNS[self._owner]:
            raise NotYours(f"{self._owner} must not write {table.name}")
        self._touch(table.name)

    async def add(self, table: Table, rows: Iterable[Values]) -> None:
        """New rows. Raises IntegrityError for one that is there."""
        if table.name not in JOURNALS:
            self._mine(table)
        if many := [dict(row) for row in rows]:
            self._touch(table.name)
            await self._connection.execute(_adding(table), many)

    async def put(self, table: Table, row: Values) -> None:
        """The row, new or in place of the one with the same key."""
        await self.put_all(table, (row,))

    async def put_all(self, table: Table, rows: Iterable[Values]) -> None:
        """`put` for many rows, all with the same columns, in one statement."""
        if many := [dict(row) for row in rows]:
            self._mine(table)
            await self._connection.execute(_replacing(table), many)

    async def change(self, table: Table, values: Values, *where: ColumnElement[bool]) -> int:
        """Sets columns of the rows that match; returns how many did."""
        self._mine(table)
        return (await self._connection.execute(update(table).where(*where).values(**values))).rowcount

    async def drop(self, table: Table, *where: ColumnElement[bool]) -> int:
        """Deletes the rows that match; returns how many did."""
        self._mine(table)
        return (await self._connection.execute(delete(table).where(*where))).rowcount

    async def drop_all(self, table: Table, rows: Iterable[Values]) -> None:
        """Deletes the rows that have these values, all of the same columns, in one statement."""
        if many := [{f"its_{name}": value for name, value in row.items()} for row in rows]:
            self._mine(table)
            where = [table.c[name.removeprefix("its_")] == bindparam(name) for name in many[0]]
            await self._connection.execute(delete(table).where(*where), many)

    async def trim(self, journal: Table, *where: ColumnElement[bool]) -> int:
        """Deletes rows of a journal that has a bound; only upkeep may."""
        if self._owner is not Owner.UPKEEP or journal.name not in TRIMMED:
            raise NotYours(f"{self._owner} must not trim {journal.name}")
        self._touch(journal.name)
        return (await self._connection.execute(delete(journal).where(*where))).rowcount


@cache  # to make a statement costs more than to run it
def _replacing(table: Table) -> Insert:
    return sqlite.replacing(table)


@cache
def _adding(table: Table) -> Insert:
    return insert(table)


class Transaction(View):
    """A view that can also write, through one owner's hand at a time. `touched`: the tables written so far.

    It sees the last commit and its own writes, and no other can write meanwhile. So what the last ones read of whole
    tables (`read`) still holds for those that neither they nor this one wrote.

    `knowing`: listeners that had a part in it, and are told nothing. `then`: called, without waiting, once it is
    committed; never where it is not.
    """

    def __init__(self, connection: AsyncConnection, read: dict[Whole[object], object] | None = None) -> None:
        super().__init__(connection)
        self._read = {} if read is None else read
        self._known: dict[Whole[object], object] = {}
        self.touched: set[str] = set()
        self.knowing: set[Listener] = set()
        self.then: list[Callable[[], None]] = []

    async def whole(self, read: Whole[T]) -> T:
        """What `read` finds, read once for as long as its tables stay as they are."""
        if read in self._known:
            return cast(T, self._known[read])
        if read.tables & self.touched:
            return await read.of(self)
        if read not in self._read:
            self._read[read] = await read.of(self)
        return cast(T, self._read[read])

    def as_owner(self, owner: Owner) -> Writer:
        """The hand of `owner`."""
        return Writer(self._connection, owner, self._touch)

    def knows(self, read: Whole[T], found: T) -> None:
        """What `read` would find now, by whoever wrote its tables: nobody has to read them, until the next write."""
        self._known[read] = found

    def _touch(self, table: str) -> None:
        self.touched.add(table)
        for read in [one for one in self._known if table in one.tables]:
            del self._known[read]

    def known(self) -> Mapping[Whole[object], object]:
        """What need not be read after the commit."""
        return self._known


class Store:
    """One hub's store. Made by `Store.open`."""

    def __init__(self, path: Path, lock: sqlite.FileLock, writer: AsyncEngine, readers: AsyncEngine) -> None:
        self.path = path
        self._lock = lock
        self._writer = writer
        self._readers = readers
        self._turn = asyncio.Lock()
        self.term: int | None = None  # by which its hub leads, from when it does
        self.deposed, self.deposed_by = asyncio.Event(), ""
        self._listeners: list[Listener] = []
        self._read: dict[Whole[object], object] = {}
        self.trouble: str | None = None  # why the last write could not be made
        self.failing = asyncio.Event()  # set while it could not
        self.damage: str | None = None  # why nothing more is read or written

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

    def _whole(self) -> None:
        """What is built upon rubbish would not be worth keeping: it ends with the first page that is none."""
        if self.damage is not None:
            raise StoreError(self.damage)

    def _damaged(self, error: DBAPIError) -> StoreError | None:
        found = sqlite.damaged(self.path, error)
        self.damage = str(found) if found is not None else self.damage
        return found

    def _fails(self, trouble: str | None) -> None:
        self.trouble = trouble
        self.failing.clear() if trouble is None else self.failing.set()

    def _forget(self, touched: set[str]) -> None:
        """Whatever became of the transaction that wrote there, what was read of these tables is read anew."""
        for read in [one for one in self._read if one.tables & touched]:
            del self._read[read]

    def locked(self) -> bool:
        """Whether no other hub can have been started on the file: a look at a name."""
        return self._lock.holds()

    def lock_again(self) -> None:
        """For a lock that was deleted. Raises StoreError where another hub has it by now."""
        self._lock.take()

    async def leads(self, view: View) -> None:
        """Raises Deposed where another hub has raised the term since.

        The lock keeps a second hub from the file, but not where it was deleted under a hub that hangs, or where the
        file lies on a disk that two machines have.
        """
        found = await view.one(select(lead.c.term))
        if self.term is None or found is None or found[0] == self.term:
            return
        self.deposed_by = (
            f"cannot use {self.path}: another hub leads by it, in term {found[0]}, this one had {self.term}"
            " (let only one of them start)"
        )
        self.deposed.set()
        raise Deposed(self.deposed_by)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[View]:
        """One consistent view, as of the last commit. Raises StoreError for a database that is damaged."""
        self._whole()
        try:
            async with self._readers.connect() as connection:
                yield View(connection)
        except DBAPIError as error:
            raise self._damaged(error) or error from error

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """The next write transaction; others wait for it, so it must be short.

        Raises StoreError for a full disk, for damage, and where another hub leads by now.
        """
        async with self._turn:
            self._whole()
            transaction = None
            try:
                async with self._writer.begin() as connection:
                    transaction = Transaction(connection, self._read)
                    await self.leads(transaction)
                    yield transaction
            except DBAPIError as error:
                failed = sqlite.unwritable(self.path, error)
                if failed is not None:
                    self._fails(str(failed))
                raise failed or self._damaged(error) or error from error
            finally:
                self._forget(transaction.touched if transaction is not None else set())
            self._read.update(transaction.known())
            if transaction.touched:
                self._fails(None)
            for listener in self._listeners if transaction.touched else ():
                if listener not in transaction.knowing:
                    listener(frozenset(transaction.touched))
            for call in transaction.then:
                call()
