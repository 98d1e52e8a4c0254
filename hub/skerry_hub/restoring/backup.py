"""A backup while the hub runs, and putting one back.

A backup is the store alone: keys and artifacts stay where they are. One that is put back is marked: until an operator
resumes, nodes that are ahead of it are paused, and nothing moves because of what it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..clock import now_ms
from ..files import sync_folder
from ..journal import Happened, note
from ..store import Owner, Store, StoreError, rows, sqlite


def make_backup(source: Path, target: Path) -> None:
    """A consistent copy of the store `source` as the new file `target` (blocking). Raises StoreError."""
    try:
        sqlite.copy(source, target)
        sqlite.check(target)
    except FileExistsError as error:
        raise StoreError(f"cannot write {target}: it is there already (choose another name)") from error
    except (OSError, sqlite.Failed) as error:
        raise StoreError(f"cannot write {target}: {error} (look at the disk that it is on)") from error


async def restore(backup: Path, database: Path, expected: tuple[str, str] | None = None) -> Path | None:
    """Puts `backup` in the place of `database` and marks it restored. Returns where the former one is now.

    The former one is not looked at: it may be damaged, which is why this is done. `expected`: mesh and region of this
    hub. Raises StoreError where a hub runs on it, and where the backup is no store of this mesh.
    """
    sqlite.check(backup)
    with sqlite.FileLock(database) as lock, _beside(database) as new:
        lock.take()
        make_backup(backup, new)
        await _mark(new, backup, expected)
        return _swap(new, database)


@contextmanager
def _beside(database: Path) -> Iterator[Path]:
    """A name for the new store, of which nothing is left however this ends."""
    new = database.with_name(f".{database.name}.restored")
    parts = [new.with_name(new.name + suffix) for suffix in ("", "-wal", "-shm", ".lock")]
    try:
        for part in parts:
            part.unlink(missing_ok=True)
        yield new
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


async def _mark(new: Path, backup: Path, expected: tuple[str, str] | None) -> None:
    store = await Store.open(new)
    try:
        async with store.write() as tx:
            mesh = await rows.mesh(tx)
            if mesh is None:
                raise StoreError(f"cannot restore {backup}: it is no store of a hub")
            if expected is not None and (mesh.mesh, mesh.region) != expected:
                raise StoreError(
                    f"cannot restore {backup}: it is of mesh {mesh.mesh}, region {mesh.region};"
                    f" this hub is {expected[0]}, {expected[1]}"
                )
            hand = tx.as_owner(Owner.RESUME)
            await rows.put_mesh(hand, mesh.put_back(now_ms()))
            await rows.forget_steps(tx.as_owner(Owner.INTAKE))  # the nodes are asked for them once more
            await note(hand, Happened("restored", f"the store was put back from {backup.name}"))
    finally:
        await store.close()


def _swap(new: Path, database: Path) -> Path | None:
    """The former store, with what is still in its log, is kept beside: a backup may be the wrong one."""
    kept = database.with_name(f"{database.name}.before-{now_ms()}") if database.exists() else None
    for suffix in ("", "-wal"):
        former = database.with_name(database.name + suffix)
        if former.exists() and kept is None:
            former.unlink()  # the log of a store that is gone must not be taken for the new one's
        elif former.exists() and kept is not None:
            former.rename(kept.with_name(kept.name + suffix))
    database.with_name(database.name + "-shm").unlink(missing_ok=True)
    new.replace(database)
    sync_folder(database.parent)
    return kept
