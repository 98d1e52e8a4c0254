"""Who this machine is: its key, and what it learned when it joined. Lives in <state>/identity, readable by root alone.

    machine.key     the raw private key (32 bytes); made once, never sent
    identity.json   the rest, replaced as a whole

Each with a twin, because a machine that lost one of them is reached by nobody but by whoever goes there. The twin is
written first and used where the first is gone or is none. Must never make a new key by itself over one that is there:
the key is the identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from skerry_protocol.codec import WireError, decode
from skerry_protocol.ids import MeshName, NodeId, NodeName, Region, node_id
from skerry_protocol.signing import BadSignature, Delegation, Signed, new_key, open_delegation, public_key

from ..disk.disk import DiskError, write_atomic
from ..disk.files import make_folder
from ..disk.sealed import TWIN

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
    key = new_key()
    _write(path, key)
    return key


def read_key(state: Path) -> bytes | None:
    """The machine's private key, or None where there is none. Raises IdentityError, DiskError."""
    path = state / FOLDER / KEY_FILE
    found = list(_both(path))
    key = next((one for one in found if len(one) == 32 and any(one)), None)
    if key is None and found:
        what = "has only zeros in it" if len(found[0]) == 32 else f"has {len(found[0])} bytes instead of 32"
        raise IdentityError(
            f"cannot use {path}: it {what}, and there is no good twin"
            f" (restore it, or remove {path.parent} and join anew)"
        )
    return key


def load(state: Path) -> Identity | None:
    """What the machine learned when it joined; None where it did not. Raises IdentityError where it is damaged."""
    path = state / FOLDER / IDENTITY_FILE
    faults = []
    for data in _both(path):
        try:
            found = msgspec.json.decode(data, type=Identity)
            _fits(found, read_key(state))
        except (msgspec.MsgspecError, WireError, BadSignature, ValueError) as error:
            faults.append(error)
        else:
            return found
    if faults:
        raise IdentityError(f"cannot use {path}: {faults[0]} (join again with a new token)") from faults[0]
    return None


def _fits(found: Identity, key: bytes | None) -> None:
    word = found.word
    if (word.mesh, word.region) != (found.mesh, found.region):
        raise ValueError(f"its delegation is for {word.mesh}/{word.region}")
    if key is None or node_id(public_key(key)) != found.node:
        raise ValueError("it belongs to another machine key")


def save(state: Path, identity: Identity) -> None:
    """Keeps it, on disk when this returns. Raises DiskError; then the old one is still there."""
    text = msgspec.json.format(msgspec.json.encode(identity), indent=2) + b"\n"
    _write(state / FOLDER / IDENTITY_FILE, text)


def _write(path: Path, data: bytes) -> None:
    make_folder(path.parent, 0o700)
    write_atomic(path.with_name(path.name + TWIN), data, 0o600)
    write_atomic(path, data, 0o600)


def _both(path: Path) -> Iterator[bytes]:
    """The file and its twin, those that are there."""
    for each in (path, path.with_name(path.name + TWIN)):
        data = _read(each)
        if data is not None:
            yield data


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise DiskError(error.errno, f"cannot read {path}: permission denied (run it as root)") from error
    except OSError as error:
        raise DiskError(error.errno, f"cannot read {path}: {error.strerror}") from error
