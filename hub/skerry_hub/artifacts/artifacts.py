"""The hub's store of artifacts: one file for each digest. Edge: files; blocking.

Owns the folder `artifacts/`. A file with a digest's name there is whole, has that digest, and was found safe
(skerry_protocol.archive): it comes by temporary file, fsync and rename. Which apps use which, and when one may go, is
not decided here.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from skerry_protocol.app import Artifact
from skerry_protocol.archive import BadArtifact
from skerry_protocol.tar import inspect

__all__ = ["ArtifactStore", "BadArtifact", "NoArtifact", "Receiving", "describe"]

ARCHIVE_MAX = 4 << 30
TEMPORARY = ".tmp-"
PIECE = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


class NoArtifact(LookupError):
    """No such artifact here. The text is the reason, for people."""


class ArtifactStore:
    """The artifacts in `folder`, which is made if need be."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def receive(self, sha256: str) -> Receiving:
        """Begins to take the archive that is said to have this digest. Raises BadArtifact if it is no digest."""
        if _SHA256.fullmatch(sha256) is None:
            raise BadArtifact(f"{sha256[:80]!r} is no sha256: 64 lower-case hexadecimal digits are")
        return Receiving(self._folder, sha256)

    def find(self, sha256: str) -> Artifact | None:
        """The artifact with its size, if it is here."""
        if _SHA256.fullmatch(sha256) is None:
            return None
        try:
            return Artifact(sha256, (self._folder / sha256).stat().st_size)
        except FileNotFoundError:
            return None

    def read(self, sha256: str, offset: int = 0) -> Iterator[bytes]:
        """Its bytes from `offset`. Raises NoArtifact at once, not at the first piece."""
        found = self.find(sha256)
        if found is None:
            raise NoArtifact(f"no artifact {sha256[:80]!r} (apply the app again to push it)")
        if not 0 <= offset <= found.size:
            raise NoArtifact(f"artifact {sha256} has {found.size} bytes, nothing at {offset}")
        return _pieces((self._folder / sha256).open("rb"), offset)

    def list(self) -> tuple[Artifact, ...]:
        """All that are here, by digest."""
        found = (self.find(path.name) for path in sorted(self._folder.iterdir()))
        return tuple(artifact for artifact in found if artifact is not None)

    def written(self) -> tuple[tuple[str, int], ...]:
        """All that are here, each with the wall-clock ms at which it was written."""
        here = (path for path in sorted(self._folder.iterdir()) if self.find(path.name) is not None)
        return tuple((path.name, path.stat().st_mtime_ns // 1_000_000) for path in here)

    def remove(self, sha256: str) -> None:
        """It is gone; nothing there is fine."""
        if self.find(sha256) is not None:
            (self._folder / sha256).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Removes what pushes that were cut off left. To be called while none is under way (at start)."""
        for path in self._folder.glob(f"{TEMPORARY}*"):
            path.unlink(missing_ok=True)


class Receiving:
    """One push: `write` each piece, then `finish`; else `abort`, which a `with` does by itself."""

    def __init__(self, folder: Path, sha256: str) -> None:
        self._folder = folder
        self._sha256 = sha256
        self._hash = hashlib.sha256()
        self._size = 0
        # The file outlives this function: finish and abort close it.
        self._file = tempfile.NamedTemporaryFile(dir=folder, prefix=TEMPORARY, delete=False)  # noqa: SIM115

    def __enter__(self) -> Receiving:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    def write(self, data: bytes) -> None:
        """The next piece. Raises BadArtifact when it is too much, OSError when the disk is full."""
        self._size += len(data)
        if self._size > ARCHIVE_MAX:
            raise BadArtifact(f"the archive has more than {ARCHIVE_MAX} bytes")
        self._hash.update(data)
        self._file.write(data)

    def finish(self) -> Artifact:
        """The artifact, on disk under its name. Raises BadArtifact with all that is wrong; then nothing is kept."""
        try:
            self._check()
            self._file.flush()
            os.fsync(self._file.fileno())
            Path(self._file.name).rename(self._folder / self._sha256)
            _sync_folder(self._folder)
        finally:
            self.abort()
        return Artifact(self._sha256, self._size)

    def abort(self) -> None:
        """Nothing is left of an unfinished push; a finished one stays. May be called again."""
        self._file.close()
        Path(self._file.name).unlink(missing_ok=True)

    def _check(self) -> None:
        found = self._hash.hexdigest()
        if found != self._sha256:
            raise BadArtifact(f"what came has the sha256 {found}, not {self._sha256} (push it again)")
        self._file.seek(0)
        reasons = inspect(self._file.read, self._size)
        if reasons:
            raise BadArtifact("; ".join(reasons))


def describe(path: Path) -> Artifact:
    """Digest and size of an operator's archive, judged before it is pushed. Raises BadArtifact and OSError."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
        file.seek(0)
        reasons = inspect(file.read, size)
    if reasons:
        raise BadArtifact(f"{path}: " + "; ".join(reasons))
    return Artifact(sha256, size)


def _pieces(file: BinaryIO, offset: int) -> Iterator[bytes]:
    with file:
        file.seek(offset)
        while piece := file.read(PIECE):
            yield piece


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
