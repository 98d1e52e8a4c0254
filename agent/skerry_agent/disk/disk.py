"""The agent's state under /var/lib/skerry: what it accepted, what it applied, and what it must not forget.

Owns the layout, what was accepted and applied, and what may be collected. `accepted` names an assignment by version and
digest and is switched by one rename, after the assignment is on disk; `applied` is the pair and all that was rendered
for what the units were switched to, switched the same way. Every reader is total: what is damaged comes back as
`Damaged`, never as an exception and never as an older assignment. One process writes at a time: see `locked`.

    identity/                                           keys, by join alone
    generations/<serial>-<epoch>-<generation>/envelope  an assignment's signed bytes, as received
    accepted, applied                                   each with a twin
    delegation, overrides, revisions, owner, ...        sealed records, each with a twin
    applied.since, revisions.since, outbox/told.since   what changed since those were written whole, see `growing`
    former/<node>/                                      what this machine held as another node, see `former`
    artifacts/<sha256>/, outbox/, instances/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from skerry_protocol.codec import WireError, decode, encode
from skerry_protocol.messages import Assignment, Issued, Version
from skerry_protocol.signing import Envelope, digest

from ..assignments.records import REVISIONS_RECORD
from ..switch.target import State
from . import sealed
from .files import (
    REAL,
    STATE,
    UNPACKING,
    DiskError,
    Files,
    explained,
    locked,
    make_folder,
    remove_folder,
    sweep,
    write_atomic,
)
from .growing import APPLIED, SINCE, Growing
from .sealed import Damaged

__all__ = ["APPLIED", "STATE", "Damaged", "DiskError", "Kept", "StateDir", "write_atomic"]

FOLDERS = {"identity": 0o700, "generations": 0o700, "outbox": 0o700, "instances": 0o700, "artifacts": 0o755}
ACCEPTED = "accepted"
TOLD = "outbox/told"
GROWING = frozenset({APPLIED, REVISIONS_RECORD, TOLD})  # records with an entry for each instance
EVER = "accepted.ever"  # there since the first acceptance, so that losing `accepted` is noticed
DAMAGED = "stored assignment damaged"

T = TypeVar("T", bound=msgspec.Struct)


class Kept(Struct, frozen=True):
    """An assignment read back, its digest checked. `lame` says which copy of `accepted` wants to be written anew."""

    issued: Issued
    envelope: Envelope
    assignment: Assignment
    lame: str = ""


class StateDir:
    """The state folder of this node. Writing raises DiskError and changes nothing then; reading never raises."""

    def __init__(self, root: Path = STATE, files: Files = REAL) -> None:
        self.root = root
        self._files = files
        self._growing: dict[str, Growing[Any]] = {}

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
        with locked(self.root):
            yield

    # Assignments

    def accept(self, issued: Issued, envelope: bytes) -> None:
        """Persist an assignment (the bytes of its Envelope as received) and make it the accepted one."""
        folder = self._folder(issued.version)
        make_folder(folder, 0o700, self._files)
        if sealed.read(folder / "envelope") != envelope:
            sealed.write(folder / "envelope", envelope, self._files)
        self.save(ACCEPTED, issued)
        if not (self.root / EVER).exists():
            write_atomic(self.root / EVER, b"", 0o600, self._files)

    def accepted_pair(self) -> Issued | Damaged | None:
        """Which assignment was accepted last, also where its bytes are damaged; None on a node that never did."""
        found = self._twice(ACCEPTED)
        if found is None and (self.root / EVER).exists():
            return Damaged(f"{DAMAGED}: both copies of 'accepted' are gone")
        issued = sealed.message(Issued, found.data if isinstance(found, sealed.Twice) else found, ACCEPTED)
        return _named(issued)

    def accepted(self) -> Kept | Damaged | None:
        """The assignment that was accepted last, whole; never another one in its place."""
        issued = self.accepted_pair()
        if not isinstance(issued, Issued):
            return issued
        path = self._folder(issued.version) / "envelope"
        raw = sealed.read(path)
        if not isinstance(raw, bytes):
            return Damaged(f"{DAMAGED}: {raw.text if raw else f'{path} is gone'}")
        found = self._twice(ACCEPTED)
        return _opened(issued, raw, found.lame if isinstance(found, sealed.Twice) else "")

    def envelope(self) -> bytes | None:
        """The accepted assignment as it came, an encoded Envelope; None where there is none that can be read."""
        kept = self.accepted()
        return encode(kept.envelope) if isinstance(kept, Kept) else None

    def last_kept(self) -> Issued | None:
        """The newest assignment whose bytes are whole, whether or not it is the accepted one."""
        for version in sorted(self._generations(), reverse=True):
            raw = sealed.read(self._folder(version) / "envelope")
            opened = _opened(None, raw, "") if isinstance(raw, bytes) else None
            if isinstance(opened, Kept):
                return opened.issued
        return None

    def apply(self, state: State) -> None:
        """Note what the units were switched to."""
        self.save(APPLIED, state)

    def applied(self) -> State | Damaged | None:
        """What the units were switched to; None on a node that never switched anything."""
        return _named(self.saved(APPLIED, State))

    # Records

    def save(self, name: str, record: msgspec.Struct) -> None:
        """Keep a record under `name`, twice. A slash leads into a folder (`outbox/box`)."""
        if name in GROWING:
            self._grown(name, type(record)).write(record)
        else:
            sealed.write_twice(self.root / name, sealed.bytes_of(record), self._files)

    def saved(self, name: str, kind: type[T]) -> T | Damaged | None:
        """The record; None where there never was one."""
        if name in GROWING:
            return self._grown(name, kind).read()
        found = self._twice(name)
        return sealed.message(kind, found.data, name) if isinstance(found, sealed.Twice) else found

    def whole(self, *names: str) -> None:
        """Where one of a record's two copies is gone or damaged, both are written anew. Raises DiskError."""
        for name in names:
            sealed.mend(self.root / name, self._files)
            if name in GROWING:
                sealed.mend(self.root / f"{name}{SINCE}", self._files)

    def move(self, names: Sequence[str], folder: str) -> None:
        """Put what is there of these into `folder`, in this order, and make the folders anew. Raises DiskError."""
        make_folder(self.root / folder, 0o700, self._files)
        for name in names:
            new = self.root / folder / name.replace("/", "-")
            if not (self.root / name).exists():
                continue
            remove_folder(new, self._files)
            try:
                self._files.rename(self.root / name, new)
                self._files.sync((self.root / name).parent)
            except OSError as error:
                raise explained(f"cannot set {self.root / name} aside", error) from error
        self._growing.clear()
        self.prepare()

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
        # A folder without an envelope is a crash's, which came before its assignment was accepted.
        written = [
            version for version in self._generations() if (self._folder(version) / "envelope").exists()
        ]
        versions = set(sorted(written)[-last:])
        accepted, applied = self.accepted_pair(), self._grown(APPLIED, State).known or self.applied()
        if isinstance(accepted, Damaged) or isinstance(applied, Damaged):
            return None
        pairs = (accepted, applied.issued if applied else None)
        versions |= {issued.version for issued in pairs if issued is not None}
        found = []
        for version in sorted(versions):
            raw = sealed.read(self._folder(version) / "envelope")
            opened = _opened(None, raw, "") if isinstance(raw, bytes) else None
            if not isinstance(opened, Kept):
                return None
            found.append((version, opened.assignment))
        return found

    def _strangers(self, name: str, wanted: frozenset[str]) -> list[Path]:
        """Nothing that is being unpacked: it is named by nothing yet."""
        folder = self.root / name
        try:
            found = [path for path in folder.iterdir() if not path.name.startswith(UNPACKING)]
            return sorted(path for path in found if path.is_dir() and path.name not in wanted)
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

    def _grown(self, name: str, kind: type[T]) -> Growing[T]:
        if name not in self._growing:
            self._growing[name] = Growing(self.root / name, kind, self._files)
        return self._growing[name]

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


def _named(found: T | Damaged | None) -> T | Damaged | None:
    if isinstance(found, Damaged) and not found.text.startswith(DAMAGED):
        return Damaged(f"{DAMAGED}: {found.text}")
    return found
