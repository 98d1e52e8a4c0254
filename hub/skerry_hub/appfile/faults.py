"""What is wrong in an app file, as data, and in words that are safe to print.

Owns how a fault names its place, shows what was found (bounded, without control characters, whatever it is) and guesses
what was meant. It never decides what is wrong.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, time

from msgspec import Struct

Key = str | int
Path = tuple[Key, ...]

SHOWN_MAX = 60
FAULTS_MAX = 500
FINDINGS_MAX = 2000
BARE = re.compile(r"[A-Za-z0-9_-]{1,60}")


class Finding(Struct, frozen=True):
    """One thing wrong at `path`, before its line is known."""

    path: Path
    found: str
    expected: str
    hint: str = ""


Say = Callable[[Finding], None]


class Fault(Struct, frozen=True, omit_defaults=True):
    """One thing wrong. `line` counts from 1; None where there is no text (an app from the wire)."""

    line: int | None
    field: str
    found: str
    expected: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.field}: " if self.field else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}found {self.found}, expected {self.expected}{hint}"


class Faults(Struct, frozen=True):
    """All that is wrong in the file `name`, by line. Never empty."""

    name: str
    faults: tuple[Fault, ...]


class TooMany(Exception):
    """More findings than anybody reads; looking on would only take time."""


class Findings(list[Finding]):
    """Findings as they come. `say` raises TooMany when there are FINDINGS_MAX."""

    def say(self, finding: Finding) -> None:
        self.append(finding)
        if len(self) >= FINDINGS_MAX:
            raise TooMany


def format_faults(faults: Faults) -> str:
    """One line per fault, `file:line: field: found …, expected … (hint)`, as compilers do."""
    return "\n".join(
        f"{faults.name}:{fault.line}: {fault}" if fault.line else f"{faults.name}: {fault}"
        for fault in faults.faults
    )


def placed(findings: Iterable[Finding], lines: dict[Path, int] | None) -> tuple[Fault, ...]:
    """Findings as faults in the order of their lines; of thousands only the first, and a count of the rest.

    `lines` is None where there is no text.
    """
    found = [
        Fault(_line(lines, one.path), dotted(one.path), one.found, one.expected, one.hint) for one in findings
    ]
    found.sort(key=lambda fault: (fault.line or 0, fault.field))
    rest = len(found) - FAULTS_MAX
    if rest > 0:
        found[FAULTS_MAX:] = [Fault(found[FAULTS_MAX].line, "", f"{rest} more faults", "these mended first")]
    return tuple(found)


def _line(lines: dict[Path, int] | None, path: Path) -> int | None:
    """The line of the path, or of what it would be in."""
    if lines is None:
        return None
    for length in range(len(path), 0, -1):
        line = lines.get(path[:length])
        if line is not None:
            return line
    return 1


def dotted(path: Path) -> str:
    """A path as TOML writes it: `app.web.run[0]`, odd keys in quotes."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += ("." if text else "") + (key if BARE.fullmatch(key) else quoted(key))
    return text


def quoted(text: str) -> str:
    """`text` in double quotes, everything unprintable escaped, cut after SHOWN_MAX characters."""
    cut = text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "..."
    return json.dumps(cut)


def show(value: object) -> str:
    """A value of a TOML document in a few words. Total, and short for any value."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else "a huge number"
    if isinstance(value, float):
        return str(value)
    if isinstance(value, (datetime, date, time)):
        return f"the date or time {value.isoformat()}"
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    return "a table" if value else "an empty table"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` is most like, if it is like one."""
    if len(word) > 2 * SHOWN_MAX:
        return None
    matches = difflib.get_close_matches(word.lower().replace("-", "_"), list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the nearest known word, or nothing."""
    match = nearest(word, known)
    return f"did you mean {match}?" if match else ""
