"""The machine's own network keys (X25519), made here and never sent: in <state>/identity, readable by root alone.

    link.key     of the tunnel to the hub
    direct.key   of the tunnels to other nodes

Raw, 32 bytes, each with a twin. Unlike the machine key they are no identity: one that is lost is made anew, and the hub
hears of it with the next renewal.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from skerry_netplan.state import KeyRole
from skerry_protocol.network import KEY_BYTES

from ..disk.files import make_folder, remove, write_atomic
from ..disk.sealed import TWIN

FOLDER = "identity"
NODE_ROLES = (KeyRole.LINK, KeyRole.DIRECT)
FIRST_PORT, PORTS = 49_152, 16_384  # the dynamic ports (RFC 6335 section 6)


def private_keys(state: Path) -> dict[KeyRole, bytes]:
    """Both private keys; what is missing is made. Raises DiskError."""
    return {role: _key(state / FOLDER / f"{role}.key") for role in NODE_ROLES}


def public_keys(state: Path) -> tuple[bytes, bytes]:
    """What a hub is told: the public keys of the tunnel to it, and of those to other nodes. Raises DiskError."""
    return publics(private_keys(state))


def publics(keys: Mapping[KeyRole, bytes]) -> tuple[bytes, bytes]:
    """The public halves, in that order."""
    link, direct = (public_key(keys[role]) for role in NODE_ROLES)
    return link, direct


def made() -> dict[KeyRole, bytes]:
    """Other private keys, kept nowhere yet."""
    return {role: X25519PrivateKey.generate().private_bytes_raw() for role in NODE_ROLES}


def put(state: Path, keys: Mapping[KeyRole, bytes]) -> None:
    """These from now on. Raises DiskError."""
    for role in NODE_ROLES:
        _put(state / FOLDER / f"{role}.key", keys[role])


def forget(state: Path) -> None:
    """The next time they are asked for, others are made. Raises DiskError."""
    for role in NODE_ROLES:
        path = state / FOLDER / f"{role}.key"
        for each in (path, path.with_name(path.name + TWIN)):
            remove(each)


def public_key(private: bytes) -> bytes:
    """The raw public key of a raw private one."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def port_of(public: bytes) -> int:
    """The UDP port of the interface with this key: the same after each boot, so that others find it where it was."""
    return FIRST_PORT + int.from_bytes(public[:4], "big") % PORTS


def _key(path: Path) -> bytes:
    for each in (path, path.with_name(path.name + TWIN)):
        if (found := _read(each)) is not None:
            return found
    key = X25519PrivateKey.generate().private_bytes_raw()
    _put(path, key)
    return key


def _put(path: Path, key: bytes) -> None:
    """The one that is read first comes last: until then the former one holds."""
    make_folder(path.parent, 0o700)
    for each in (path.with_name(path.name + TWIN), path):
        write_atomic(each, key, 0o600)


def _read(path: Path) -> bytes | None:
    try:
        found = path.read_bytes()
    except OSError:
        return None
    return found if len(found) == KEY_BYTES and any(found) else None
