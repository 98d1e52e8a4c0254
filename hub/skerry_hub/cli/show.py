"""Data to text for the operator: tables, ages, JSON. Nothing else in the command line formats.

Names, reasons and log lines come from nodes and from other people: whatever could steer a terminal is shown as text.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence

import click
import msgspec

COLOURS = {
    "healthy": "green", "ready": "green", "done": "green", "open": "green",
    "failed": "red", "silent": "red", "dead": "red", "revoked": "red", "expired": "red",
    "waiting": "yellow", "starting": "yellow", "held": "yellow", "draining": "yellow", "running": "yellow",
}  # fmt: skip
STEPS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"))
# C0 and C1 controls but the newline and the tab, and the marks that turn the direction of writing.
STEERING = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


def safe(text: str) -> str:
    """`text` without anything that steers a terminal."""
    return text.translate(STEERING)


def say(text: str = "") -> None:
    """A line on standard output."""
    click.echo(safe(text))


def span(ms: int | None) -> str:
    """A length of time in its largest whole unit: `42s`, `3h`, `12d`; `-` for None."""
    if ms is None:
        return "-"
    for unit, letter in STEPS:
        if ms >= unit:
            return f"{ms // unit}{letter}"
    return "0s"


def left(ms: int) -> str:
    """The time that is left, in its largest unit, to the nearest: an hour that has just begun is `1h`, not `59m`."""
    for unit, letter in STEPS:
        if ms * 100 >= unit * 99:
            return f"{(ms + unit // 2) // unit}{letter}"
    return "0s"


def now_ms() -> int:
    """This machine's wall clock, for ages alone."""
    return int(time.time() * 1000)


def age(at_ms: int | None) -> str:
    """How long ago a moment was."""
    return "-" if at_ms is None else span(max(0, now_ms() - at_ms))


def clock(at_ms: int) -> str:
    """A moment as local date and time, to the millisecond."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1000)) + f".{at_ms % 1000:03d}"


def count(number: int, what: str) -> str:
    """`1 copy`, `2 copies`, `3 nodes`."""
    plural = what[:-1] + "ies" if what.endswith("y") else what + "s"
    return f"{number} {what if number == 1 else plural}"


def listed(names: Iterable[str], most: int = 8) -> str:
    """`a, b and c`; of many, the first ones and how many more."""
    words = list(names)
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def labels(pairs: dict[str, str]) -> str:
    """Labels as people write them, sorted."""
    return " ".join(f"{key}={value}" for key, value in sorted(pairs.items())) or "-"


def as_json(value: object) -> None:
    """One JSON document on standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def as_json_line(value: object) -> None:
    """One JSON document on one line: for what comes bit by bit."""
    click.echo(msgspec.json.encode(value).decode())


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Left-aligned columns, coloured words where a terminal looks; `empty` where there is no row."""
    texts = [[safe(str(cell)).replace("\n", " ") for cell in row] for row in rows]
    if not texts:
        click.echo(empty)
        return
    widths = [max(len(line[column]) for line in [list(heads), *texts]) for column in range(len(heads))]
    click.secho(_line(heads, widths), bold=True)
    for row in texts:
        click.echo(_line(row, widths, paint=True))


def _line(cells: Sequence[str], widths: Sequence[int], paint: bool = False) -> str:
    last = len(cells) - 1
    padded = [
        cell if at == last else cell.ljust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(painted(cell) if paint else cell for cell in padded)


def painted(word: str) -> str:
    """A word of state in its colour, where a terminal looks."""
    colour = COLOURS.get(word.strip())
    return click.style(word, fg=colour) if colour and sys.stdout.isatty() else word
