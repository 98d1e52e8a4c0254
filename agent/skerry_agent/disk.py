"""The agent's state under /var/lib/skerry: what it accepted, what it applied, and what it must not forget.

Owns the layout, the two pointers and what may be collected. A pointer names an assignment by version and digest and is
switched by one rename, after everything it leads to is on disk. Every reader is total: what is damaged comes back as
`Damaged`, never as an exception and never as an older assignment. One process writes at a time: see `locked`.

    identity/                                keys, by join alone
    generations/<serial>-<epoch>-<generation>/envelope      an assignment's signed bytes, as received
    generations/<serial>-<epoch>-<generation>/manifest-<n>  what was rendered for it
    accepted, applied                        the pointers, each with a twin
    delegation, overrides, revisions, ...    sealed records, each with a twin
    artifacts/<sha256>/, outbox/, instances/
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct
from skerry_protocol.codec import WireError, decode
from skerry_protocol.messages import Assignment, Issued, Version
from skerry_protocol.signing import Envelope, digest

from . import sealed
from .files import REAL, DiskError, Files, make_folder, remove_folder, sweep, write_atomic
from .manifest import Manifest
from .sealed import Damaged

__all__ = ["STATE", "Damaged", "DiskError", "Kept", "Pointer", "StateDir", "Which", "write_atomic"]

STATE = Path("/var/lib/skerry")
FOLDERS = {"identity": 0o700, "generations": 0o700, "outbox": 0o700, "instances": 0o700, "artifacts": 0o755}
DAMAGED = "stored assignment damaged"

T = TypeVar("T", bound=msgspec.Struct)


class Which(StrEnum):
    """The two pointers."""

    ACCEPTED = "accepted"
    APPLIED = "applied"


class Pointer(Struct, frozen=True, omit_defaults=True):
    """Where a pointer leads: an assignment, and the digest of the manifest that was written out for it."""

    issued: Issued
    manifest: bytes | None = None


class Kept(Struct, frozen=True):
    """An assignment read back, its digest checked against the pointer. `lame`: a copy of the pointer wants mending."""

    issued: Issued
    envelope: Envelope
    assignment: Assignment
    lame: str = ""


class StateDir:
    """The state folder of this node. Writing raises DiskError and changes nothing then; reading never raises."""

    def __init__(self, root: Path = STATE, files: Files = REAL) -> None:
        self.root = root
        self._files = files

    def prepare(self) -> None:
        """Make the folders and clear away what crashes left. Raises DiskError."""
        make_folder(self.root, 0o755, self._files)
        sweep(self.root, self._files)
        for name, mode in FOLDERS.items():
            make_folder(self.root / name, mode, self._files)
            sweep(self.root / name, self._files)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only writer. Raises DiskError at once where another is."""
        try:
            file = (self.root / "lock").open("ab")
        except OSError as error:
            raise DiskError(error.errno, f"cannot open {self.root / 'lock'}: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise DiskError(
                    error.errno, f"cannot use {self.root}: another skerry-agent works with it"
                ) from error
            yield

    # Assignments

    def accept(self, issued: Issued, envelope: bytes) -> None:
        """Persist an assignment (the bytes of its Envelope as received) and point `accepted` at it."""
        self._keep(issued, envelope)
        self._point(Which.ACCEPTED, Pointer(issued))

    def apply(self, issued: Issued, manifest: Manifest) -> None:
        """Note that the units were switched to `issued`, as `manifest` has it. Its envelope must be kept already."""
        data = sealed.bytes_of(manifest)
        name = hashlib.sha256(data).digest()
        sealed.write(self._manifest_path(issued, name), data, self._files)
        self._point(Which.APPLIED, Pointer(issued, name))

    def pointer(self, which: Which) -> Pointer | Damaged | None:
        """Where it leads; None on a node that never had one."""
        found = self._twice(which.value)
        if found is None and which is Which.ACCEPTED and self._generations():
            return Damaged(f"{DAMAGED}: both copies of 'accepted' are gone")
        if not isinstance(found, sealed.Twice):
            return _damaged(found)
        return _damaged(sealed.message(Pointer, found.data, which.value))

    def load(self, which: Which) -> Kept | Damaged | None:
        """The assignment that the pointer leads to, whole; else why not."""
        pointer = self.pointer(which)
        if not isinstance(pointer, Pointer):
            return pointer
        path = self._folder(pointer.issued.version) / "envelope"
        raw = sealed.read(path)
        if not isinstance(raw, bytes):
            return Damaged(f"{DAMAGED}: {raw.text if raw else f'{path} is gone'}")
        found = self._twice(which.value)
        return _opened(pointer.issued, raw, found.lame if isinstance(found, sealed.Twice) else "")

    def manifest(self) -> Manifest | Damaged | None:
        """What was written out for the applied assignment."""
        pointer = self.pointer(Which.APPLIED)
        if not isinstance(pointer, Pointer):
            return pointer
        if pointer.manifest is None:
            return None
        path = self._manifest_path(pointer.issued, pointer.manifest)
        raw = sealed.read(path)
        if raw is None or (isinstance(raw, bytes) and hashlib.sha256(raw).digest() != pointer.manifest):
            return Damaged(f"{DAMAGED}: {path} is gone or not the one that was applied")
        return _damaged(sealed.message(Manifest, raw, str(path)))

    # Records

    def save(self, name: str, record: msgspec.Struct) -> None:
        """Keep a record under `name`, twice. A slash leads into a folder (`outbox/box`)."""
        sealed.write_twice(self.root / name, sealed.bytes_of(record), self._files)

    def saved(self, name: str, kind: type[T]) -> T | Damaged | None:
        """The record; None where there never was one."""
        found = self._twice(name)
        return sealed.message(kind, found.data, name) if isinstance(found, sealed.Twice) else found

    # Collecting

    def collect(
        self, keep_artifacts: frozenset[str], keep_instances: frozenset[str], last: int = 3
    ) -> list[str]:
        """Remove old generations but the `last` ones, artifacts and instance folders that nothing names.

        With any doubt about what is still wanted (a damaged pointer or envelope), nothing is removed. Returns what was.
        """
        kept = self._kept_generations(last)
        if kept is None:
            return []
        versions = {version for version, _ in kept}
        wanted = keep_artifacts | {sha for _, assignment in kept for sha in artifacts_of(assignment)}
        instances = keep_instances | {item.id for _, assignment in kept for item in assignment.instances}
        doomed = [self._folder(version) for version in self._generations() if version not in versions]
        doomed += self._strangers("artifacts", wanted) + self._strangers("instances", instances)
        for folder in doomed:
            remove_folder(folder, self._files)
        return [str(folder.relative_to(self.root)) for folder in doomed]

    def _kept_generations(self, last: int) -> list[tuple[Version, Assignment]] | None:
        versions = set(sorted(self._generations())[-last:])
        for which in Which:
            pointer = self.pointer(which)
            if isinstance(pointer, Damaged):
                return None
            if pointer is not None:
                versions.add(pointer.issued.version)
        found = []
        for version in sorted(versions):
            raw = sealed.read(self._folder(version) / "envelope")
            opened = _opened(None, raw, "") if isinstance(raw, bytes) else None
            if not isinstance(opened, Kept):
                return None
            found.append((version, opened.assignment))
        return found

    def _strangers(self, name: str, wanted: frozenset[str]) -> list[Path]:
        folder = self.root / name
        try:
            return sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in wanted)
        except OSError:
            return []

    # Paths

    def _generations(self) -> list[Version]:
        found = []
        with suppress(OSError):
            for path in (self.root / "generations").iterdir():
                parts = path.name.split("-")
                if len(parts) == 3 and all(part.isascii() and part.isdigit() for part in parts):
                    found.append(Version(*map(int, parts)))
        return found

    def _folder(self, version: Version) -> Path:
        return self.root / "generations" / f"{version.serial}-{version.epoch}-{version.generation}"

    def _manifest_path(self, issued: Issued, name: bytes) -> Path:
        return self._folder(issued.version) / f"manifest-{name.hex()[:16]}"

    def _keep(self, issued: Issued, envelope: bytes) -> None:
        folder = self._folder(issued.version)
        make_folder(folder, 0o700, self._files)
        if sealed.read(folder / "envelope") != envelope:
            sealed.write(folder / "envelope", envelope, self._files)

    def _point(self, which: Which, pointer: Pointer) -> None:
        sealed.write_twice(self.root / which.value, sealed.bytes_of(pointer), self._files)

    def _twice(self, name: str) -> sealed.Twice | Damaged | None:
        return sealed.read_twice(self.root / name)


def artifacts_of(assignment: Assignment) -> frozenset[str]:
    """The digests (hex) of every artifact that its apps name, for any architecture."""
    return frozenset(item.sha256 for entry in assignment.apps for item in entry.app.artifacts.values())


def _opened(issued: Issued | None, raw: bytes, lame: str) -> Kept | Damaged:
    try:
        envelope = decode(Envelope, raw)
        assignment = decode(Assignment, envelope.assignment.payload)
    except WireError as error:
        return Damaged(f"{DAMAGED}: {error}")
    own = Issued(assignment.version, digest(envelope.assignment.payload))
    if issued is not None and own != issued:
        return Damaged(f"{DAMAGED}: it is {own.version}, not the {issued.version} that was accepted")
    return Kept(own, envelope, assignment, lame)


def _damaged(found: T | Damaged | None) -> T | Damaged | None:
    if isinstance(found, Damaged) and not found.text.startswith(DAMAGED):
        return Damaged(f"{DAMAGED}: {found.text}")
    return found
