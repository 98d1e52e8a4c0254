"""Bytes to messages and back: msgpack maps with string keys, no version number, unknown keys ignored.

Every decode is of hostile input: size and nesting are bounded before anything is built, and whatever is wrong becomes
one `WireError`. Signatures are over bytes as received; nothing here is ever re-encoded to check one.
"""

from __future__ import annotations

from typing import TypeVar

import msgpack
import msgspec

T = TypeVar("T", bound=msgspec.Struct)

MESSAGE_MAX = 8 << 20


class WireError(ValueError):
    """The bytes are not a message of the expected kind."""


def encode(message: msgspec.Struct) -> bytes:
    """The wire form of `message`. The same message always gives the same bytes."""
    packed = msgpack.packb(msgspec.to_builtins(message, builtin_types=(bytes,)), use_bin_type=True)
    assert isinstance(packed, bytes)
    return packed


def decode(kind: type[T], data: bytes, limit: int = MESSAGE_MAX) -> T:
    """`data` as a `kind`. Raises WireError for anything else, also for more than `limit` bytes."""
    if len(data) > limit:
        raise WireError(f"{kind.__name__}: {len(data)} bytes, at most {limit} are taken")
    try:
        plain = msgpack.unpackb(data, raw=False, strict_map_key=True)
        return msgspec.convert(plain, kind, builtin_types=(bytes,))
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"{kind.__name__}: {error}") from error
