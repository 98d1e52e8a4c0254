"""Bytes from anybody: a message, or one kind of error."""

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from skerry_protocol.codec import WireError, decode, encode
from skerry_protocol.messages import Assignment, Beat, BeatReply, ReportBatch
from skerry_protocol.signing import Envelope, Signed
from tests.protocol.goldens import MESSAGES, sample

KINDS = st.sampled_from(list(MESSAGES.values()))
LEAF = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
KEY = st.text(max_size=8) | st.integers(0, 9)
PLAIN = st.recursive(
    LEAF | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=4),
    max_leaves=12,
)


def total(kind: type[Struct], data: bytes) -> None:
    """Decoding gives a message that survives another trip, or WireError."""
    try:
        message = decode(kind, data)
    except WireError:
        return
    assert decode(kind, encode(message)) == message


@given(KINDS, st.binary(max_size=300))
def test_any_bytes(kind: type[Struct], data: bytes) -> None:
    total(kind, data)


@given(KINDS, PLAIN)
def test_any_msgpack(kind: type[Struct], value: object) -> None:
    total(kind, msgpack.packb(value))


@settings(max_examples=300)
@given(KINDS, st.data())
def test_a_message_with_one_byte_changed_or_cut_off(kind: type[Struct], data: st.DataObject) -> None:
    whole = bytearray(encode(sample(kind)))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] = data.draw(st.integers(0, 255))
    total(kind, bytes(whole))
    total(kind, bytes(whole[:place]))


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=MESSAGES)
def test_a_message_comes_back_and_is_always_the_same_bytes(kind: type[Struct]) -> None:
    message = sample(kind)
    assert decode(kind, encode(message)) == message
    assert encode(sample(kind)) == encode(message)


HOSTILE = [
    b"\x91" * 100_000, b"\x81\xa1a" * 100_000, b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc1", b"\x80\x80", b"\x81\x01\x02", b"\xc7\x04\x01abcd",
    b"\xd6\xff\x00\x00\x00\x00", b"\xa1\xff",
]  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("kind", [Beat, BeatReply, ReportBatch, Envelope, Signed, Assignment])
def test_bombs_are_refused(kind: type[Struct], data: bytes) -> None:
    with pytest.raises(WireError):
        decode(kind, data)


def test_more_than_the_limit_is_refused_unread() -> None:
    data = encode(Beat("b" * 100))
    assert decode(Beat, data, limit=len(data)) == Beat("b" * 100)
    with pytest.raises(WireError, match="at most"):
        decode(Beat, data, limit=len(data) - 1)
