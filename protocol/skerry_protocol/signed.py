"""Bytes with a signature, as they travel. Apart from `signing`, which loads a library that few readers of them need."""

from __future__ import annotations

from msgspec import Struct


class Signed(Struct, frozen=True):
    """Bytes and a signature (64 bytes) over a purpose and them."""

    payload: bytes
    signature: bytes
