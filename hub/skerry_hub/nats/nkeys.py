"""NATS's text form of Ed25519 keys and its JSON web tokens. No state, no clock, no randomness.

The forms are those of the nkeys and jwt projects of NATS: base32 without padding of a prefix byte, the raw public key
and a CRC-16 (XMODEM, little endian); tokens with the header alg "ed25519-nkey", signed over header.claims.
"""

from __future__ import annotations

import base64
import hashlib
import json
from enum import IntEnum
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from skerry_protocol.signing import public_key

Json: TypeAlias = bool | int | str | list["Json"] | dict[str, "Json"] | None


class Kind(IntEnum):
    """What a key is for: the first letter of its text form."""

    OPERATOR = 14 << 3  # O
    ACCOUNT = 0  # A
    USER = 20 << 3  # U


class BadKey(ValueError):
    """A text that is not a key of the expected kind."""


def public_text(kind: Kind, public: bytes) -> str:
    """A raw public key (32 bytes) as NATS writes it, e.g. UAB…."""
    if len(public) != 32:
        raise BadKey(f"an Ed25519 public key has 32 bytes, this one {len(public)}")
    body = bytes([kind]) + public
    return base64.b32encode(body + _crc16(body).to_bytes(2, "little")).decode().rstrip("=")


def public_bytes(kind: Kind, text: str) -> bytes:
    """The raw public key (32 bytes) of a text. Raises BadKey for another kind, a wrong sum or no key at all."""
    try:
        whole = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError as error:
        raise BadKey(f"not base32: {error}") from error
    body, check = whole[:-2], whole[-2:]
    if len(whole) != 35 or _crc16(body).to_bytes(2, "little") != check or public_text(kind, body[1:]) != text:
        raise BadKey(f"not {'an account' if kind is Kind.ACCOUNT else 'a ' + kind.name.lower()}'s public key")
    return body[1:]


def token(signer: bytes, signer_kind: Kind, claims: dict[str, Json]) -> str:
    """`claims` signed with a raw private key; adds who issued it and an id of its content."""
    body = {**claims, "iss": public_text(signer_kind, public_key(signer))}
    digest = hashlib.sha256(_compact(body)).digest()
    body["jti"] = base64.b32encode(digest).decode().rstrip("=")
    signed = b".".join((_base64({"typ": "JWT", "alg": "ed25519-nkey"}), _base64(body)))
    signature = Ed25519PrivateKey.from_private_bytes(signer).sign(signed)
    return (signed + b"." + _unpadded(signature)).decode()


def _base64(value: dict[str, Json]) -> bytes:
    return _unpadded(_compact(value))


def _unpadded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _compact(value: dict[str, Json]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _crc16(data: bytes) -> int:
    total = 0
    for byte in data:
        total ^= byte << 8
        for _ in range(8):
            total = ((total << 1) ^ 0x1021 if total & 0x8000 else total << 1) & 0xFFFF
    return total
