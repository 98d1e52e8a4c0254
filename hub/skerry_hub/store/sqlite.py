"""All that is SQLite's own: pragmas, how a transaction begins, copying a live file, one hub per file.

Another database takes its place here and nowhere else.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Protocol, Self

from sqlalchemy import Connection, Insert, Table, event
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

BUSY_MS = 5_000
DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
LOOK = "look at the disk: is it full, or failing?"
PUT_BACK = "it is damaged: put a backup back with 'skerry-hub restore FILE'"
Failed = sqlite3.Error  # what `copy` raises, beside OSError
READERS = 4


class StoreError(RuntimeError):
    """The store cannot be used; the text says what to do."""


class _Cursor(Protocol):
    def execute(self, sql: str) -> object: ...
    def close(self) -> None: ...


class _Raw(Protocol):
    isolation_level: str | None

    def cursor(self) -> _Cursor: ...


class FileLock:
    """Holds `<file>.lock` for this process: two hubs on one file would each believe to be the only writer."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._fd = -1

    def take(self) -> None:
        """Raises StoreError where another process has it, or the disk takes nothing."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"cannot open {self._path.with_suffix('')}: {error.strerror} ({LOOK})"
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(fd, 20).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            file = self._path.with_suffix("")
            raise StoreError(
                f"cannot open {file}: another hub has it, process {holder} (stop that one first)"
            ) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        self.free()
        self._fd = fd

    def holds(self) -> bool:
        """Whether what is locked is still what others would have to lock: somebody may have deleted it."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._fd))
        except FileNotFoundError:
            return False
        except OSError:
            return True  # a disk that fails says nothing of another hub, and no lease may end for it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.free()

    def free(self) -> None:
        """Lets another process have the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def writer(path: Path) -> AsyncEngine:
    """The one connection that writes. Every transaction takes the write lock when it begins, not half-way."""
    # Made here, so that nobody else can read it; SQLite gives its log the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return _engine(path, 1, "BEGIN IMMEDIATE", ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"))


def readers(path: Path) -> AsyncEngine:
    """A few connections that cannot write; WAL gives each transaction one consistent view, and blocks nobody."""
    return _engine(path, READERS, "BEGIN", ("query_only=ON",))


def replacing(table: Table) -> Insert:
    """Puts a row in place of the one with the same key. Another with the same unique value is an error, as ever."""
    put = insert(table)
    rest = {column.name: put.excluded[column.name] for column in table.columns if not column.primary_key}
    if not rest:
        return put.on_conflict_do_nothing()
    return put.on_conflict_do_update(index_elements=table.primary_key.columns, set_=rest)


def _engine(path: Path, size: int, begin: str, pragmas: tuple[str, ...]) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        pool_size=size,
        max_overflow=0,
        connect_args={"check_same_thread": False},
    )

    def connected(raw: _Raw, _record: object) -> None:
        # Else the driver begins transactions by itself, and never IMMEDIATE.
        raw.isolation_level = None
        cursor = raw.cursor()
        for pragma in (f"busy_timeout={BUSY_MS}", *pragmas):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def began(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", began)
    return engine


def unusable(path: Path, error: DBAPIError) -> StoreError:
    """What a failure to open means for people."""
    then = PUT_BACK if _kind(error) in DAMAGE else LOOK
    return StoreError(f"cannot open {path}: {error.orig} ({then})")


def damaged(path: Path, error: DBAPIError) -> StoreError | None:
    """What a failure at any later time means, if it is that the database is no whole one any more."""
    if _kind(error) not in DAMAGE:
        return None
    return StoreError(f"cannot use {path}: {error.orig} ({PUT_BACK})")


def _kind(error: DBAPIError) -> int | None:
    return error.orig.sqlite_errorcode & 0xFF if isinstance(error.orig, sqlite3.Error) else None


def unwritable(path: Path, error: DBAPIError) -> StoreError | None:
    """The same for a failed write; None for a failure that the disk has no part in."""
    if _kind(error) not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}:
        return None
    return StoreError(f"cannot write {path}: {error.orig} (nothing was changed: look at the hub's disk)")


def copy(source: Path, target: Path) -> None:
    """A consistent copy of a live database in one file (blocking: call it in a thread). `target` must not exist.

    SQLite's own backup; in WAL mode a reader, however long it takes, holds up no writer.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    uri = f"file:{source}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as live, closing(sqlite3.connect(target)) as kept:
        live.backup(kept, pages=-1)
        kept.execute("PRAGMA journal_mode=DELETE")
    with target.open("rb") as file:
        os.fsync(file.fileno())


def check(path: Path) -> None:
    """Raises StoreError unless `path` is a whole SQLite database (blocking)."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as file:
            result = file.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"cannot read {path}: {error} (is it a backup made by 'skerry backup'?)") from error
    if result != ("ok",):
        raise StoreError(f"cannot read {path}: it is damaged: {result[0]} (use another backup)")
