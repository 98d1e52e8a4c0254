"""The store's engine without its thread: what would be handed over is done at once, by real SQLAlchemy on real SQLite.

Only who waits for the database differs, so that a run has one order of events; nothing here ever lets another task run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, CursorResult, Dialect, Engine, Executable, Row, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine

from skerry_hub.store import migrate, sqlite, store

P = ParamSpec("P")
T = TypeVar("T")


class Rows(list[Row[Any]]):
    """What a statement gave, fetched at once, as an AsyncConnection does."""

    def __init__(self, result: CursorResult[Any]) -> None:
        super().__init__(result.fetchall() if result.returns_rows else ())
        self.rowcount = result.rowcount

    def first(self) -> Row[Any] | None:
        """The first row, if there is one."""
        return self[0] if self else None


class InlineConnection:
    """What the store uses of an AsyncConnection."""

    def __init__(self, connection: Connection) -> None:
        self.sync = connection

    async def execute(
        self, statement: Executable, parameters: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None
    ) -> Rows:
        return Rows(self.sync.execute(statement, parameters))

    async def exec_driver_sql(self, statement: str) -> CursorResult[Any]:
        return self.sync.exec_driver_sql(statement)

    async def run_sync(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **more: P.kwargs
    ) -> T:
        return work(self.sync, *args, **more)


class InlineEngine:
    """What the store uses of an AsyncEngine."""

    def __init__(self, engine: Engine) -> None:
        self.sync_engine = engine
        self._idle: list[Connection] = []

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[InlineConnection]:
        connection = self._idle.pop() if self._idle else self.sync_engine.connect()
        try:
            yield InlineConnection(connection)
        finally:
            connection.rollback()
            self._idle.append(connection)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[InlineConnection]:
        async with self.connect() as connection:
            with connection.sync.begin():
                yield connection

    async def dispose(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        self.sync_engine.dispose()


_COMPILED: dict[Any, Any] = {}
_DIALECT: list[Dialect] = []


def make_engine(url: str, **settings: Any) -> InlineEngine:
    """In the place of create_async_engine. As many connections as are wanted: nobody could wait for one.

    A run has many hubs, one after another: what was compiled for one is good for the next, which has the same dialect.
    """
    shared = {"compiled_cache": _COMPILED}
    engine = create_engine(
        url.replace("+aiosqlite", ""), **{**settings, "max_overflow": -1, "execution_options": shared}
    )
    if not _DIALECT:
        _DIALECT.append(engine.dialect)
    engine.dialect = engine.pool._dialect = _DIALECT[0]
    return InlineEngine(engine)


_MADE: list[str] = []  # what makes a new store, once it is known


async def upgrade(engine: AsyncEngine, target: str = "head") -> None:
    """As the real one, which makes a store in forty steps; every one after the first is made in one."""
    async with engine.begin() as connection:
        tables = await connection.run_sync(_tables)
        for statement in () if tables else _MADE:
            await connection.exec_driver_sql(statement)
    await migrate.upgrade(engine, target)
    if not tables and not _MADE:
        async with engine.begin() as connection:
            _MADE.extend(await connection.run_sync(_dump))


def _tables(connection: Connection) -> list[str]:
    ours = "sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    return list(
        connection.exec_driver_sql(f"SELECT sql FROM sqlite_master WHERE {ours} ORDER BY rowid").scalars()
    )


def _dump(connection: Connection) -> list[str]:
    (version,) = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars()
    return [*_tables(connection), f"INSERT INTO alembic_version VALUES ('{version}')"]


def install() -> None:
    """Every engine that is made from now on is inline, and new stores are made quickly."""
    sqlite.create_async_engine = make_engine  # type: ignore[assignment,attr-defined]
    store.upgrade = upgrade  # type: ignore[attr-defined]
