"""Ed25519 keys, the root's delegations and signed assignments (docs/protocol.md, "Keys").

Owns what is signed and how: each signature covers a word that says what it is for, then the bytes as sent. Keys are raw
32-byte values here; where they are kept is not this module's business.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from .certificate import subject_key
from .codec import WireError, decode, encode
from .ids import MeshName, Region
from .signed import Signed

__all__ = [
    "ASSIGNMENT",
    "DELEGATION",
    "FETCH",
    "JOIN",
    "NETWORK",
    "RENEW",
    "RETURN",
    "BadSignature",
    "Delegation",
    "Envelope",
    "Signed",
    "delegate",
    "digest",
    "fetch_words",
    "join_words",
    "new_key",
    "open_delegation",
    "pin",
    "public_key",
    "sign",
    "tls_key_of",
    "verify",
]  # fmt: skip

DELEGATION = b"skerry delegation\0"
ASSIGNMENT = b"skerry assignment\0"
JOIN = b"skerry join\0"
RENEW = b"skerry renew\0"
FETCH = b"skerry fetch\0"
RETURN = b"skerry return\0"
NETWORK = b"skerry network keys\0"


class BadSignature(ValueError):
    """A signature that does not hold, with the reason as its text."""


class Delegation(Struct, frozen=True, omit_defaults=True):
    """The root's word that a hub speaks for a region. No dates: the highest serial counts.

    `hub_key` signs assignments (raw Ed25519, 32 bytes); `tls_key` is the SHA-256 of the hub's TLS public key (DER
    SubjectPublicKeyInfo); `root` is the raw public key that signed this.
    """

    mesh: MeshName
    region: Region
    serial: int
    hub_key: bytes
    tls_key: bytes
    root: bytes


class Envelope(Struct, frozen=True):
    """What travels on `assign`: the signed assignment with the signed delegation of the hub that signed it."""

    assignment: Signed
    delegation: Signed


def new_key() -> bytes:
    """A fresh private key, raw 32 bytes."""
    return Ed25519PrivateKey.generate().private_bytes_raw()


def public_key(private: bytes) -> bytes:
    """The raw public half (32 bytes) of a raw private key."""
    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def digest(data: bytes) -> bytes:
    """SHA-256: what names an assignment's bytes."""
    return hashlib.sha256(data).digest()


def pin(root_public: bytes) -> str:
    """What a join token carries of the root: the SHA-256 of its public key, in hex."""
    return hashlib.sha256(root_public).hexdigest()


def sign(private: bytes, purpose: bytes, payload: bytes) -> Signed:
    """`payload` signed for `purpose` with a raw private key."""
    key = Ed25519PrivateKey.from_private_bytes(private)
    return Signed(payload, key.sign(purpose + payload))


def verify(public: bytes, purpose: bytes, signed: Signed) -> bytes:
    """The payload, if `public` signed it for `purpose`; else raises BadSignature."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signed.signature, purpose + signed.payload)
    except (InvalidSignature, ValueError) as error:
        raise BadSignature("the signature does not fit the key") from error
    return signed.payload


def delegate(
    root_private: bytes, mesh: MeshName, region: Region, serial: int, hub: bytes, tls: bytes
) -> Signed:
    """A delegation signed by the root; `hub` is a raw public key, `tls` a SHA-256 (see Delegation)."""
    word = Delegation(mesh, region, serial, hub, tls, public_key(root_private))
    return sign(root_private, DELEGATION, encode(word))


def open_delegation(signed: Signed, expected_pin: str) -> Delegation:
    """The delegation, if the root known by `expected_pin` (hex) signed it; else raises BadSignature."""
    try:
        word = decode(Delegation, signed.payload, limit=4096)
    except WireError as error:
        raise BadSignature(f"not a delegation: {error}") from error
    if pin(word.root) != expected_pin:
        raise BadSignature("it is signed by another mesh's root")
    verify(word.root, DELEGATION, signed)
    return word


def tls_key_of(certificate: bytes) -> bytes:
    """The SHA-256 of the public key (DER SubjectPublicKeyInfo) in a DER certificate: what Delegation.tls_key names.

    Raises BadSignature where there is no readable certificate.
    """
    try:
        return hashlib.sha256(subject_key(certificate)).digest()
    except ValueError as error:
        raise BadSignature(f"the certificate cannot be read: {error}") from error


def join_words(token: str, secret: str, machine_key: bytes) -> bytes:
    """What JoinRequest.proof signs for JOIN: token id, secret and raw public machine key. Neither text holds a NUL."""
    return f"{token}\0{secret}\0".encode() + machine_key


def fetch_words(node: str, tls_key: bytes) -> bytes:
    """What a machine key signs to fetch something: it is of use to the hub with this TLS key alone."""
    return f"{node}.{tls_key.hex()}".encode()
