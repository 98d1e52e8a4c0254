"""Small files that know whether they are whole: each carries the SHA-256 of its content, some are kept twice.

A twin is written before the first, and the first's rename is the commit: so the twin is never older than the first, and
where the first is damaged the twin leads to the newest that was accepted, never to an older one. Reading never raises.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from skerry_protocol.codec import WireError, decode, encode

from .files import REAL, Files, write_atomic

MAGIC = b"skerry sealed\n"
TWIN = ".twin"

T = TypeVar("T", bound=msgspec.Struct)


class Damaged(Struct, frozen=True):
    """Something is there that cannot be used; the text says what and why, for people."""

    text: str


def seal(data: bytes) -> bytes:
    """`data` with its digest before it."""
    return MAGIC + hashlib.sha256(data).digest() + data


def unseal(raw: bytes) -> bytes | None:
    """The data, if it is whole."""
    start = len(MAGIC) + 32
    data = raw[start:]
    whole = raw.startswith(MAGIC) and raw[len(MAGIC) : start] == hashlib.sha256(data).digest()
    return data if whole else None


def read(path: Path) -> bytes | Damaged | None:
    """The content of one sealed file; None where there is none."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return Damaged(f"{path} cannot be read: {error.strerror}")
    data = unseal(raw)
    return Damaged(f"{path} is damaged") if data is None else data


class Twice(Struct, frozen=True):
    """What `read_twice` found. `lame` says which of the two is gone or damaged, although the other will do."""

    data: bytes
    lame: str = ""


def read_twice(path: Path) -> Twice | Damaged | None:
    """The content of a file kept twice; None only where neither was ever written."""
    first, twin = read(path), read(path.with_name(path.name + TWIN))
    if isinstance(first, bytes):
        return Twice(first, "" if isinstance(twin, bytes) else f"the twin of {path} is gone or damaged")
    if isinstance(twin, bytes):
        # Also where the very first write was cut between the two: what is in the twin had been decided on.
        return Twice(twin, f"{path} is gone or damaged, its twin is used")
    if first is None and twin is None:
        return None
    return Damaged(f"{path} and its twin are damaged")


def write(path: Path, data: bytes, files: Files = REAL, mode: int = 0o600) -> None:
    """Put a sealed file at `path`. Raises DiskError."""
    write_atomic(path, seal(data), mode, files)


def write_twice(path: Path, data: bytes, files: Files = REAL, mode: int = 0o600) -> None:
    """Put it at `path` and beside it. Raises DiskError; what counts is then still the old content."""
    sealed = seal(data)
    write_atomic(path.with_name(path.name + TWIN), sealed, mode, files)
    write_atomic(path, sealed, mode, files)


def mend(path: Path, files: Files = REAL) -> None:
    """Where one of the two is gone or damaged, both are written anew. Raises DiskError."""
    found = read_twice(path)
    if isinstance(found, Twice) and found.lame:
        write_twice(path, found.data, files)


def message(kind: type[T], found: bytes | Damaged | None, what: str) -> T | Damaged | None:
    """The stored message; Damaged where the bytes are whole but no such message."""
    if not isinstance(found, bytes):
        return found
    try:
        return decode(kind, found, limit=64 << 20)
    except WireError as error:
        return Damaged(f"{what} is not readable: {error}")


def bytes_of(struct: msgspec.Struct) -> bytes:
    """What `message` reads."""
    return encode(struct)
