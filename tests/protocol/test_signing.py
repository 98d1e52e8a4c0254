"""Signatures hold for exactly these bytes, this purpose and this key; delegations for this root."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_protocol import signing
from skerry_protocol.codec import encode
from skerry_protocol.ids import MeshName, Region
from skerry_protocol.signing import BadSignature, Signed

KEY, OTHER = b"k" * 32, b"o" * 32
PUBLIC = signing.public_key(KEY)
WORD = signing.delegate(KEY, MeshName("home"), Region("north"), 4, b"h" * 32, b"t" * 32)


@given(st.binary(max_size=100), st.integers(min_value=0))
def test_a_signature_holds_for_these_bytes_alone(payload: bytes, place: int) -> None:
    signed = signing.sign(KEY, signing.ASSIGNMENT, payload)
    assert signing.verify(PUBLIC, signing.ASSIGNMENT, signed) == payload
    for purpose in (signing.DELEGATION, signing.JOIN, signing.RENEW):
        with pytest.raises(BadSignature):
            signing.verify(PUBLIC, purpose, signed)
    with pytest.raises(BadSignature):
        signing.verify(signing.public_key(OTHER), signing.ASSIGNMENT, signed)
    flipped = bytearray(payload + b"\0")
    flipped[place % len(flipped)] ^= 1
    with pytest.raises(BadSignature):
        signing.verify(PUBLIC, signing.ASSIGNMENT, Signed(bytes(flipped), signed.signature))


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80))
def test_anything_else_is_refused_in_one_way(key: bytes, payload: bytes, signature: bytes) -> None:
    with pytest.raises(BadSignature):
        signing.verify(key, signing.ASSIGNMENT, Signed(payload, signature))
    with pytest.raises(BadSignature):
        signing.open_delegation(Signed(payload, signature), signing.pin(PUBLIC))
    with pytest.raises(BadSignature):
        signing.tls_key_of(payload)


def test_a_delegation_opens_with_its_roots_pin() -> None:
    word = signing.open_delegation(WORD, signing.pin(PUBLIC))
    assert (word.mesh, word.region, word.serial) == ("home", "north", 4)
    assert (word.hub_key, word.tls_key, word.root) == (b"h" * 32, b"t" * 32, PUBLIC)


def test_a_delegation_of_another_root_is_refused() -> None:
    with pytest.raises(BadSignature, match="another mesh's root"):
        signing.open_delegation(WORD, signing.pin(signing.public_key(OTHER)))


def test_a_delegation_that_names_the_root_but_is_signed_by_another_is_refused() -> None:
    word = signing.Delegation(MeshName("home"), Region("north"), 9, b"h" * 32, b"t" * 32, PUBLIC)
    with pytest.raises(BadSignature):
        signing.open_delegation(signing.sign(OTHER, signing.DELEGATION, encode(word)), signing.pin(PUBLIC))


def test_what_a_join_signs_cannot_be_split_in_two_ways() -> None:
    assert signing.join_words("ab", "c", b"k") != signing.join_words("a", "bc", b"k")
