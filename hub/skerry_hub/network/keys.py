"""The hub's own key of its tunnel (X25519, raw): `network.key` in its folder, made at first use and never sent."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from skerry_protocol.network import KEY_BYTES

from ..files import write_new
from ..identity import IdentityError


def network_key(data: Path) -> bytes:
    """The private key. Raises IdentityError where the file is damaged: a new one by itself would shut every node out
    until it asks over HTTPS."""
    file = data / "network.key"
    if not file.exists():
        write_new(file, X25519PrivateKey.generate().private_bytes_raw())
    key = file.read_bytes()
    if len(key) != KEY_BYTES or not any(key):
        raise IdentityError(f"cannot read {file}: it is no key (put back a copy of the folder)")
    return key


def public_of(private: bytes) -> bytes:
    """Its public half."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
