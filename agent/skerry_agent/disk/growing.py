"""Records of many things, of which a change writes what is new alone: the cost of a change is that of what changed.

Beside the record, which is whole as of some moment, lies `<name>.since`: what was put, changed or left out from then
on, with the digest of the record that it continues. Where that has grown, the record is written whole again; what lies
beside it then names another record, and counts no more. A marker says that there is something beside, so that its loss
is damage, and never leads back to the older record alone. All of it is kept twice (see `sealed`), and nothing is put
beside a record whose two copies differ.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from msgspec import Struct, structs

from .files import REAL, Files, write_atomic
from .sealed import TWIN, Damaged, Twice, bytes_of, message, read, read_twice, write_twice

APPLIED = "applied"
SINCE = ".since"
EVER = ".since.ever"
LEAST = 16 << 10  # bytes that are put beside however small the record is
SHARE = 16  # and what is beside is at most this part of it: else it is written too often, or too large

T = TypeVar("T", bound=Struct)
Gone = dict[str, tuple[str, ...]]


class Since(Struct, frozen=True, omit_defaults=True):
    """What `<name>.since` holds. `part`: a record of what is new alone; `gone`: by field, the keys that are no more."""

    base: bytes
    part: bytes
    gone: Gone


class Whole(NamedTuple, Generic[T]):
    """What is surely on disk in both copies of the record. `marks`: how the files look while nobody touches them."""

    record: T
    digest: bytes
    size: int
    marks: tuple[tuple[int, ...], ...]


def files_of(name: str) -> tuple[str, ...]:
    """Every file of a record, in the order in which they may go: what is left at any moment is damage, or all of it."""
    return tuple(name + end for end in (SINCE, SINCE + TWIN, "", TWIN, EVER))


def difference(old: T, new: T, at: str = "") -> tuple[T, Gone]:
    """What `joined` needs to make `new` of `old`: entries of maps one by one, any other field as it is."""
    part: dict[str, object] = {}
    gone: Gone = {}
    for name in new.__struct_fields__:
        was, now = getattr(old, name), getattr(new, name)
        if isinstance(now, Struct) and type(was) is type(now):
            part[name], inside = difference(was, now, f"{at}{name}.")
            gone |= inside
        elif isinstance(now, dict):
            part[name] = {key: value for key, value in now.items() if key not in was or was[key] != value}
            if left := tuple(key for key in was if key not in now):
                gone[at + name] = left
    return structs.replace(new, **part), gone


def joined(old: T, part: T, gone: Gone, at: str = "") -> T:
    """The record that `difference` was taken of."""
    made: dict[str, object] = {}
    for name in part.__struct_fields__:
        was, new = getattr(old, name), getattr(part, name)
        if isinstance(new, Struct) and type(was) is type(new):
            made[name] = joined(was, new, gone, f"{at}{name}.")
        elif isinstance(new, dict):
            left = gone.get(at + name, ())
            made[name] = {key: value for key, value in was.items() if key not in left} | new
    return structs.replace(part, **made)


class Growing(Generic[T]):
    """One such record. One process writes; what it read or wrote last is what it continues."""

    def __init__(self, path: Path, kind: type[T], files: Files = REAL) -> None:
        self._path, self._kind, self._files = path, kind, files
        self._whole: Whole[T] | None = None
        self.known: T | None = None  # as it was read or written last here

    def read(self) -> T | Damaged | None:
        """The record as it was written last; None where there never was one."""
        found = self._read()
        self.known = found if isinstance(found, self._kind) else None
        return found

    def _read(self) -> T | Damaged | None:
        base = read_twice(self._path)
        since = self._since()
        if base is None and since is not None:
            return Damaged(f"both copies of {self._path} are gone")
        if not isinstance(base, Twice):
            self._whole = None
            return base
        record = message(self._kind, base.data, self._path.name)
        if not isinstance(record, self._kind) or isinstance(since, Damaged):
            return since if isinstance(since, Damaged) else record
        digest = hashlib.sha256(base.data).digest()
        self._found(Whole(record, digest, len(base.data), self._marks()))
        if since is None or since.base != digest:
            return record
        part = message(self._kind, since.part, self._beside(SINCE).name)
        return joined(record, part, since.gone) if isinstance(part, self._kind) else part

    def write(self, record: T) -> None:
        """Keep it. Raises DiskError; what counts is then still the old one."""
        if self._whole is None or not self._continued(self._whole, record):
            self._written_whole(record)
        self.known = record

    def _found(self, whole: Whole[T]) -> None:
        """What is on disk can be continued where both copies are the same."""
        before = self._whole
        same = before is not None and (before.digest, before.marks) == (whole.digest, whole.marks)
        self._whole = whole if same or read(self._beside(TWIN)) == read(self._path) else None

    def _continued(self, whole: Whole[T], record: T) -> bool:
        part, gone = difference(whole.record, record)
        data = bytes_of(Since(whole.digest, bytes_of(part), gone))
        if len(data) > max(LEAST, whole.size // SHARE) or whole.marks != self._marks():
            return False
        write_twice(self._beside(SINCE), data, self._files)
        if not self._beside(EVER).exists():
            write_atomic(self._beside(EVER), b"", 0o600, self._files)
        return True

    def _written_whole(self, record: T) -> None:
        data = bytes_of(record)
        digest, since = hashlib.sha256(data).digest(), self._since()
        self._whole = None  # until it is: its copies may differ
        if isinstance(since, Since) and since.base == digest:  # of an earlier time when it was just the same
            self._forget_since()
        write_twice(self._path, data, self._files)
        if isinstance(since, Damaged):  # not before: it must not look as if there had been nothing beside
            self._forget_since()
        self._whole = Whole(record, digest, len(data), self._marks())

    def _forget_since(self) -> None:
        write_twice(self._beside(SINCE), bytes_of(Since(b"", b"", {})), self._files)

    def _since(self) -> Since | Damaged | None:
        found = read_twice(self._beside(SINCE))
        if found is None and self._beside(EVER).exists():
            return Damaged(f"both copies of {self._beside(SINCE)} are gone")
        return message(Since, found.data if isinstance(found, Twice) else found, self._beside(SINCE).name)

    def _beside(self, end: str) -> Path:
        return self._path.with_name(self._path.name + end)

    def _marks(self) -> tuple[tuple[int, ...], ...]:
        """Inode, size and time of both copies. Empty where one is gone."""
        try:
            found = [path.stat() for path in (self._path, self._beside(TWIN))]
        except OSError:
            return ()
        return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found)
