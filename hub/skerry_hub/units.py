"""Sizes, durations and shares of processors, as operators write them.

Sizes are binary, as in systemd's MemoryMax= (systemd.resource-control(5)): K is 1024 bytes, M 1024 K, G 1024 M and T
1024 G. A limit of "1G" is therefore the same number in the app file, in the unit file and in `systemctl show`. There is
no "MB" or "MiB": one way to write it. Durations always carry their unit, for a bare 10 has been read as seconds and as
milliseconds once too often.

Each function takes whatever TOML gave and returns the number, or a `Wrong` that says what to write.
"""

from __future__ import annotations

import re
from fractions import Fraction

from msgspec import Struct

SIZE_PATTERN = r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([KMGT]?)"
DURATION_PATTERN = (
    r"(?=[0-9])"
    r"(?:([0-9]{1,12}(?:\.[0-9]{1,3})?)d)?"
    r"(?:([0-9]{1,12}(?:\.[0-9]{1,3})?)h)?"
    r"(?:([0-9]{1,12}(?:\.[0-9]{1,3})?)m(?!s))?"
    r"(?:([0-9]{1,12}(?:\.[0-9]{1,3})?)s)?"
    r"(?:([0-9]{1,12})ms)?"
)
SIZE_EXPECTED = 'a size such as "256M", "1.5G" or a whole number of bytes'
DURATION_EXPECTED = 'a duration such as "10s", "1m30s", "500ms", "2h" or "1d"'
CPU_EXPECTED = "a number of processors such as 0.5 or 2"

_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_MILLISECONDS = (86_400_000, 3_600_000, 60_000, 1_000, 1)
_SIZE = re.compile(SIZE_PATTERN)
_DURATION = re.compile(DURATION_PATTERN)
_LONG_SIZE = re.compile(r"([0-9.]+) ?([KMGTkmgt])(?:i?[Bb])?")
_BARE_NUMBER = re.compile(r"[0-9]{1,12}")


class Wrong(Struct, frozen=True):
    """Not a value of this kind: what would be, and a hint if what was meant can be guessed."""

    expected: str
    hint: str = ""


def size(value: object) -> int | Wrong:
    """Bytes. A fraction of a byte is dropped."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if not isinstance(value, str):
        return Wrong(SIZE_EXPECTED)
    match = _SIZE.fullmatch(value)
    if match is None:
        long = _LONG_SIZE.fullmatch(value)
        hint = f'write "{long[1]}{long[2].upper()}": K, M, G and T are powers of 1024' if long else ""
        return Wrong(SIZE_EXPECTED, hint)
    return int(Fraction(match[1]) * _FACTORS[match[2]])


def duration(value: object) -> int | Wrong:
    """Milliseconds. A fraction of one is dropped. Units go from the largest to the smallest, each once."""
    if isinstance(value, str):
        match = _DURATION.fullmatch(value)
        if match is not None:
            parts = zip(match.groups(), _MILLISECONDS, strict=True)
            return int(sum(Fraction(number) * unit for number, unit in parts if number))
    number = _number(value)
    hint = f'a bare number has no unit: write "{number}s" or "{number}ms"' if number is not None else ""
    return Wrong(DURATION_EXPECTED, hint)


def _number(value: object) -> str | None:
    if isinstance(value, str):
        return value if _BARE_NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return str(value) if 0 <= value < 1e12 else None


def cpu(value: object) -> int | Wrong:
    """Thousandths of a processor."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        hint = (
            "a number without quotes or unit: 0.5 is half of one processor" if isinstance(value, str) else ""
        )
        return Wrong(CPU_EXPECTED, hint)
    if not 0 <= value <= 1e6:  # false for what is not a number, too
        return Wrong(CPU_EXPECTED)
    return round(value * 1000)


def write_duration(milliseconds: int) -> str:
    """The shortest text that `duration` reads back as the same number; `milliseconds` >= 0."""
    parts = []
    for unit, word in zip(_MILLISECONDS, ("d", "h", "m", "s", "ms"), strict=True):
        count, milliseconds = divmod(milliseconds, unit)
        if count:
            parts.append(f"{count}{word}")
    return "".join(parts) or "0s"


def write_size(size: int) -> str:
    """The size with the largest unit that leaves a whole number."""
    for word in ("T", "G", "M", "K"):
        if size and size % _FACTORS[word] == 0:
            return f"{size // _FACTORS[word]}{word}"
    return str(size)
