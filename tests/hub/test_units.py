"""Units: what operators write, and that nothing else passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_hub.units import Wrong, cpu, duration, size, write_duration, write_size


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), (4096, 4096), ("1024", 1024), ("1K", 1024), ("256M", 256 << 20), ("1.5G", 3 << 29),
     ("2T", 2 << 40), ("0.5K", 512), ("0.3K", 307)],
)  # fmt: skip
def test_sizes(text: object, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize(
    "text", ["", "M", "1 M", "-1M", "1,5G", "1P", "1e3", "0x10", "1M\n", -1, 1.5, True, None, [1], "\u0661"]
)
def test_what_is_no_size(text: object) -> None:
    assert isinstance(size(text), Wrong)


@pytest.mark.parametrize("text", ["256MB", "256MiB", "256m", "256 M"])
def test_other_spellings_of_sizes_get_a_hint(text: str) -> None:
    wrong = size(text)
    assert isinstance(wrong, Wrong)
    assert wrong.hint.startswith('write "256M"')


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10s", 10_000), ("1m30s", 90_000), ("500ms", 500), ("2h", 7_200_000), ("1d", 86_400_000), ("0s", 0),
     ("1.5s", 1500), ("0.5m", 30_000), ("1d2h3m4s5ms", 93_784_005)],
)  # fmt: skip
def test_durations(text: str, expected: int) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "10 s",
        "30s1m",
        "1m1m",
        "-1s",
        "1.5ms",
        "1w",
        "1S",
        "10s\n",
        10,
        1.5,
        True,
        None,
        float("nan"),
    ],
)
def test_what_is_no_duration(text: object) -> None:
    assert isinstance(duration(text), Wrong)


@pytest.mark.parametrize("text", [10, 10.0, "10"], ids=repr)
def test_bare_numbers_are_no_durations_and_the_hint_says_why(text: object) -> None:
    wrong = duration(text)
    assert isinstance(wrong, Wrong)
    assert wrong.hint.startswith("a bare number has no unit")


@pytest.mark.parametrize(("value", "milli"), [(0.5, 500), (2, 2000), (0, 0), (0.0004, 0), (1.2345, 1234)])
def test_processors(value: object, milli: int) -> None:
    assert cpu(value) == milli


@pytest.mark.parametrize("value", ["0.5", "500m", True, -1, float("inf"), float("nan"), 1e300, None, 10**400])
def test_what_is_no_number_of_processors(value: object) -> None:
    assert isinstance(cpu(value), Wrong)


@given(st.integers(0, 10**15))
def test_what_is_written_is_read_back(number: int) -> None:
    assert duration(write_duration(number)) == number
    assert size(write_size(number)) == number


@given(st.text() | st.integers() | st.floats())
def test_any_value_is_a_number_or_wrong(value: object) -> None:
    for parse in (size, duration, cpu):
        got = parse(value)
        assert isinstance(got, Wrong) or got >= 0
