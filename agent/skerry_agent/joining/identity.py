"""Who this machine is: its key, and what it learned when it joined. Lives in <state>/identity, readable by root alone.

    machine.key     the raw private key (32 bytes); made once, never sent
    identity.json   the rest, replaced as a whole

Must never make a new key by itself over one that is there: the key is the identity.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from skerry_protocol.codec import WireError, decode
from skerry_protocol.ids import MeshName, NodeId, NodeName, Region, node_id
from skerry_protocol.signing import BadSignature, Delegation, Signed, new_key, open_delegation, public_key

from ..disk.disk import DiskError, write_atomic
from ..disk.files import make_folder

FOLDER = "identity"
KEY_FILE = "machine.key"
IDENTITY_FILE = "identity.json"


class IdentityError(RuntimeError):
    """There is no usable identity; the text says why and what to do."""


class Identity(Struct, frozen=True):
    """A member of a mesh. `delegation` is the encoded Signed that the hub showed; `nats` and `hubs` are addresses."""

    node: NodeId
    name: NodeName
    mesh: MeshName
    region: Region
    pin: str
    delegation: bytes
    hubs: tuple[str, ...]
    nats: tuple[str, ...]
    credentials: str
    tls_certificate: str = ""

    @property
    def word(self) -> Delegation:
        """The root's word for the hub. Raises BadSignature or WireError where the file was tampered with."""
        return open_delegation(decode(Signed, self.delegation, limit=8192), self.pin)


def machine_key(state: Path, *, fresh: bool = False) -> bytes:
    """The machine's raw private key; made if there is none, or anew if `fresh`. Raises DiskError, IdentityError."""
    path = state / FOLDER / KEY_FILE
    if not fresh and (key := read_key(state)) is not None:
        return key
    make_folder(state / FOLDER, 0o700)
    key = new_key()
    write_atomic(path, key, 0o600)
    return key


def read_key(state: Path) -> bytes | None:
    """The machine's private key, or None where there is none. Raises IdentityError, DiskError."""
    path = state / FOLDER / KEY_FILE
    key = _read(path)
    if key is not None and len(key) != 32:
        raise IdentityError(
            f"cannot use {path}: it has {len(key)} bytes instead of 32 (restore it, or remove it and join anew)"
        )
    return key


def load(state: Path) -> Identity | None:
    """What the machine learned when it joined; None where it did not. Raises IdentityError where it is damaged."""
    path = state / FOLDER / IDENTITY_FILE
    data = _read(path)
    if data is None:
        return None
    try:
        found = msgspec.json.decode(data, type=Identity)
        _fits(found, read_key(state))
    except (msgspec.MsgspecError, WireError, BadSignature, ValueError) as error:
        raise IdentityError(f"cannot use {path}: {error} (join again with a new token)") from error
    return found


def _fits(found: Identity, key: bytes | None) -> None:
    word = found.word
    if (word.mesh, word.region) != (found.mesh, found.region):
        raise ValueError(f"its delegation is for {word.mesh}/{word.region}")
    if key is None or node_id(public_key(key)) != found.node:
        raise ValueError("it belongs to another machine key")


def save(state: Path, identity: Identity) -> None:
    """Keeps it, on disk when this returns. Raises DiskError; then the old one is still there."""
    make_folder(state / FOLDER, 0o700)
    text = msgspec.json.format(msgspec.json.encode(identity), indent=2) + b"\n"
    write_atomic(state / FOLDER / IDENTITY_FILE, text, 0o600)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise DiskError(error.errno, f"cannot read {path}: permission denied (run it as root)") from error
    except OSError as error:
        raise DiskError(error.errno, f"cannot read {path}: {error.strerror}") from error
