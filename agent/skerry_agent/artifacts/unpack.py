"""Unpacks an artifact once, read-only, into `<artifacts>/<sha256>/`. Edge: files.

Owns how that folder comes to be: a temporary folder beside it, every member judged (skerry_protocol.archive) before it
is made, the digest taken on the way, all of it on disk, then one rename. A folder with a digest's name is thus whole.
Never follows a link, never takes an owner, a date or a mode from the archive but whether a file may be run, and leaves
nothing behind when it fails; what a crash left is swept by the next attempt.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from skerry_protocol.app import Artifact
from skerry_protocol.archive import BadArtifact, Judge, Kind, Member, normal
from skerry_protocol.tar import members

from ..disk.files import UNPACKING, remove_tree

__all__ = ["BadArtifact", "folder_of", "remove", "sweep", "unpack"]

SYNC_ONE_BY_ONE = 256  # files; for more of them one sync of everything is quicker


def folder_of(artifacts: Path, sha256: str) -> Path:
    """Where the artifact is, if it is unpacked: then this folder exists and is whole."""
    return artifacts / sha256


def unpack(archive: Path, artifact: Artifact, artifacts: Path) -> Path:
    """The artifact's folder, made from `archive` unless it is there already.

    Raises BadArtifact (the archive is not the one of that digest, or not a safe one) and OSError (no space, no file).
    One call at a time for one digest.
    """
    target = folder_of(artifacts, artifact.sha256)
    if target.is_dir():
        return target
    temporary = artifacts / f"{UNPACKING}{artifact.sha256}"
    _discard(temporary)
    temporary.mkdir(mode=0o700, parents=True)
    try:
        with archive.open("rb") as file:
            _unpack_into(temporary, _Hashed(file), artifact)
        _make_read_only(temporary)
        temporary.rename(target)
    except BaseException:
        _discard(temporary)
        raise
    _sync_folder(artifacts)
    return target


def remove(artifacts: Path, sha256: str) -> None:
    """The artifact's folder is gone, by one rename first; nothing there is fine."""
    temporary = artifacts / f"{UNPACKING}{sha256}"
    _discard(temporary)
    target = folder_of(artifacts, sha256)
    if target.is_dir():
        target.rename(temporary)
        _discard(temporary)


def sweep(artifacts: Path) -> None:
    """Removes what crashes left. To be called when nothing is being unpacked."""
    for temporary in artifacts.glob(f"{UNPACKING}*"):
        _discard(temporary)


class _Hashed:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, most: int) -> bytes:
        data = self._file.read(most)
        self._hash.update(data)
        self.size += len(data)
        return data

    def verify(self, artifact: Artifact) -> None:
        """Reads what is left, and raises BadArtifact if the whole is not the artifact."""
        while self.size <= artifact.size and self.read(1 << 20):
            pass
        if self.size != artifact.size:
            raise BadArtifact(f"it has {self.size} bytes or more, not {artifact.size}")
        if self._hash.hexdigest() != artifact.sha256:
            raise BadArtifact(f"its sha256 is {self._hash.hexdigest()}, not {artifact.sha256}")


def _unpack_into(folder: Path, archive: _Hashed, artifact: Artifact) -> None:
    """A wrong digest is said rather than what it did to the archive: it is the cause."""
    try:
        _members_into(folder, archive, artifact.size)
    except BadArtifact:
        archive.verify(artifact)
        raise
    archive.verify(artifact)


def _members_into(folder: Path, archive: _Hashed, size: int) -> None:
    judge = Judge(size)
    files = 0
    for member, content in members(archive.read, size):
        reasons = judge.add(member)
        if reasons:
            raise BadArtifact("; ".join(reasons))
        files += 1
        _make(folder, member, content, sync=files <= SYNC_ONE_BY_ONE)
    if files > SYNC_ONE_BY_ONE:
        os.sync()


def _make(folder: Path, member: Member, content: Iterator[bytes], sync: bool) -> None:
    """One member below `folder`. The judge has seen to it that no folder on its path is a link."""
    path = folder / normal(member.name)
    if member.kind is Kind.FOLDER:
        _make_folders(folder, path)
        return
    _make_folders(folder, path.parent)
    if member.kind is Kind.SYMLINK:
        path.symlink_to(member.link)
    elif member.kind is Kind.HARDLINK:
        os.link(folder / normal(member.link), path, follow_symlinks=False)
    else:
        _make_file(path, 0o555 if member.mode & 0o111 else 0o444, content, sync)


def _make_folders(folder: Path, path: Path) -> None:
    """Down to `path`. `folder` itself is never made again: where somebody took it away, half would be missing in it."""
    place = folder
    for part in path.relative_to(folder).parts:
        place /= part
        place.mkdir(mode=0o700, exist_ok=True)


def _make_file(path: Path, mode: int, content: Iterator[bytes], sync: bool) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        for piece in content:
            file.write(piece)
        file.flush()
        os.fchmod(fd, mode)
        if sync:
            os.fsync(fd)


def _make_read_only(folder: Path) -> None:
    """Folders are shut from below, once all is in them, and their names are put on disk."""
    for place, _, _ in os.walk(folder, topdown=False):
        Path(place).chmod(0o555)
        _sync_folder(Path(place))


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _discard(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        for place, _, _ in os.walk(folder):
            Path(place).chmod(0o700)
        remove_tree(folder)
