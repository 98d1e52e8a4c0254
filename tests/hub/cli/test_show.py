from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_hub.cli.show import clock, count, labels, left, listed, safe, span, table


@given(st.text())
def test_nothing_that_is_shown_steers_a_terminal(text: str) -> None:
    shown = safe(text)
    assert not any(ord(letter) < 32 and letter not in "\t\n" for letter in shown)
    assert not any(0x7F <= ord(letter) < 0xA0 for letter in shown)


@given(st.text(alphabet=st.characters(min_codepoint=0xA1, max_codepoint=0x1FFF)))
def test_what_is_plain_is_shown_as_it_is(text: str) -> None:
    assert safe(text) == text


def test_escape_sequences_are_shown_as_text() -> None:
    assert safe("\x1b[2Jgone\r\u202e") == "\\x1b[2Jgone\\x0d\\u202e"


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (None, "-"),
        (0, "0s"),
        (999, "0s"),
        (1_000, "1s"),
        (59_999, "59s"),
        (60_000, "1m"),
        (3_600_000, "1h"),
        (86_400_000, "1d"),
    ],
)
def test_a_span_is_in_its_largest_unit(ms: int | None, shown: str) -> None:
    assert span(ms) == shown


def test_a_moment_is_shown_to_the_millisecond() -> None:
    assert clock(1_700_000_000_042).endswith(".042")


def test_counts_and_lists_read_like_a_sentence() -> None:
    assert (count(1, "copy"), count(2, "copy"), count(0, "node")) == ("1 copy", "2 copies", "0 nodes")
    assert (listed([]), listed(["a"]), listed(["a", "b"]), listed("abc")) == (
        "",
        "a",
        "a and b",
        "a, b and c",
    )
    assert listed("abcd", most=2) == "a, b and 2 more"
    assert (labels({}), labels({"b": "2", "a": "1"})) == ("-", "a=1 b=2")


def test_a_table_has_one_line_for_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    table(("NAME", "SAYS"), [("web", "two\nlines\x1b[0m"), ("a-longer-name", "x")], "none")
    assert capsys.readouterr().out == (
        "NAME           SAYS\nweb            two lines\\x1b[0m\na-longer-name  x\n"
    )


def test_an_empty_table_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    table(("NAME",), [], "There is none.")
    assert capsys.readouterr().out == "There is none.\n"


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (3_599_900, "1h"), (2 * 86_400_000 - 50, "2d"), (90_000, "2m"), (59_900, "1m"), (20_000, "20s"), (0, "0s"),
    ],
)  # fmt: skip
def test_what_is_left_of_an_hour_that_just_began_is_an_hour(ms: int, shown: str) -> None:
    assert left(ms) == shown
