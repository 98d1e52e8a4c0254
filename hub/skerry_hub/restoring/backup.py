"""A backup while the hub runs, and putting one back.

A backup is the store alone: keys and artifacts stay where they are. One that is put back is marked: until an operator
resumes, nodes that are ahead of it are paused, and nothing moves because of what it does not know.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

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
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error}") from error


async def restore(backup: Path, database: Path) -> None:
    """Puts `backup` in the place of `database` and marks it restored; the former one stays as `<name>.before-…`.

    The hub must not run: raises StoreError where it does, and where the backup is no store of this mesh.
    """
    sqlite.check(backup)
    there = sqlite.exists(database)
    new = database.with_name(f".{database.name}.restored")
    for old in (new, new.with_name(new.name + "-wal"), new.with_name(new.name + "-shm")):
        old.unlink(missing_ok=True)
    make_backup(backup, new)
    await _mark(new, backup, await _mesh_name(database) if there else None)
    _swap(new, database)


async def _mesh_name(database: Path) -> tuple[str, str] | None:
    """The mesh of the store that is there, which also shows that no hub has it open."""
    store = await Store.open(database)
    try:
        async with store.read() as view:
            mesh = await rows.mesh(view)
    finally:
        await store.close()
    return (mesh.mesh, mesh.region) if mesh else None


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
            await rows.put_mesh(hand, msgspec.structs.replace(mesh, restored=True))
            await rows.forget_steps(tx.as_owner(Owner.INTAKE))  # the nodes are asked for them once more
            await note(hand, Happened("restored", f"the store was put back from {backup.name}"))
    finally:
        await store.close()
    new.with_name(new.name + ".lock").unlink(missing_ok=True)


def _swap(new: Path, database: Path) -> None:
    """The former store, with what is still in its log, is kept beside: a backup may be the wrong one."""
    kept = database.with_name(f"{database.name}.before-{now_ms()}")
    for suffix in ("", "-wal"):
        former = database.with_name(database.name + suffix)
        if former.exists():
            former.rename(kept.with_name(kept.name + suffix))
    database.with_name(database.name + "-shm").unlink(missing_ok=True)
    new.replace(database)
    sync_folder(database.parent)
