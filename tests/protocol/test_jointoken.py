"""Join tokens: what is written can be read, and whatever else is pasted gets a reason without the secret in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_protocol.jointoken import BadToken, JoinToken, address, format_token, parse_token

PIN = "0123456789abcdef" * 4
TEXT, SECRET = format_token("abcd2345", bytes(range(20)), PIN, ("hub.example:7443", "[fd00::1]:9000"))


def test_round_trip() -> None:
    expected = JoinToken("abcd2345", SECRET, PIN, ("hub.example:7443", "[fd00::1]:9000"))  # type: ignore[arg-type]
    assert parse_token(TEXT) == expected
    assert parse_token(f"  {TEXT}\n") == expected


def test_every_cut_is_found() -> None:
    for end in range(len(TEXT)):
        found = parse_token(TEXT[:end])
        assert isinstance(found, BadToken), TEXT[:end]
        assert SECRET not in found.reason
    for start in range(1, len(TEXT)):
        assert isinstance(parse_token(TEXT[start:]), BadToken)


@given(st.integers(0, len(TEXT) - 1), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567019.-@, \n"))
def test_every_slip_is_found(place: int, letter: str) -> None:
    wrong = TEXT[:place] + letter + TEXT[place + 1 :]
    if wrong.strip() != TEXT:
        assert isinstance(parse_token(wrong), BadToken)


@given(st.text())
def test_total(text: str) -> None:
    assert isinstance(parse_token(text), BadToken)
    assert isinstance(parse_token("skerry-join-" + text), BadToken)
    assert address(text) is None or ":" in str(address(text))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "empty"),
        ("hello", "not a join token"),
        ("skerry-jo", "cut short"),
        (TEXT.removeprefix("sk"), "does not begin"),
        (TEXT[:40], "no '@'"),
        (TEXT[:60] + "\n" + TEXT[60:], "line break"),
        (TEXT[:-1], "check does not fit"),
        ("x" * 5000, "5000 characters"),
    ],
)
def test_reasons(text: str, word: str) -> None:
    found = parse_token(text)
    assert isinstance(found, BadToken)
    assert word in found.reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hub", "hub:7443"),
        ("hub:1", "hub:1"),
        ("[::1]", "[::1]:7443"),
        ("hub:0", None),
        ("hub:99999", None),
        ("", None),
    ],
)
def test_addresses(text: str, expected: str | None) -> None:
    assert address(text) == expected
