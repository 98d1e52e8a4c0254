"""Where each key of a TOML text stands: key path -> line. TOML parsers don't tell, and a fault needs its line.

Owns positions and the bounds on depth; tomllib owns what is TOML and what values are. `scan` runs first, because
tomllib's time grows with the square of the length of a dotted key: what is too deep is refused before tomllib sees it.
It is lenient: where the text is no TOML it stops, and tomllib, given the text up to there, says why. It is total and
takes time and memory in proportion to the text.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from dataclasses import dataclass, field

from .faults import Path

DEPTH_MAX = 16

# Possessive single characters only: before 3.11.5 possessive groups match wrongly (cpython issue 106052).
_BLANK = re.compile(r"(?:[ \t\n]++|#[^\n]*+)*")
_SPACE = re.compile(r"[ \t]*+")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]++")
_BASIC = re.compile(r'"(?:[^"\\\n]++|\\[^\n])*"')
_LITERAL = re.compile(r"'[^'\n]*+'")
_LONG_BASIC = re.compile(r'"""|\\.', re.DOTALL)
_LONG_LITERAL = re.compile("'''")
_PLAIN = re.compile(r"[^,\]}#\n\"'\[{]++")
_END_OF_LINE = re.compile(r"[ \t]*+(?:#[^\n]*+)?(?:\n|\Z)")


@dataclass(frozen=True)
class Scan:
    """`lines` of all keys and list items, from 1. `stopped`: the offset where the text is no TOML or too deep."""

    text: str
    lines: dict[Path, int]
    stopped: int | None = None
    too_deep: bool = False

    def line_at(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1


def scan(text: str) -> Scan:
    """The lines of `text`, whose line ends are "\\n" (tomllib reads "\\r\\n" as that too)."""
    scanner = _Scanner(text)
    try:
        scanner.document()
    except _Stop as stop:
        return Scan(text, scanner.lines, stop.offset, stop.too_deep)
    return Scan(text, scanner.lines)


class _Stop(Exception):
    def __init__(self, offset: int, too_deep: bool = False) -> None:
        super().__init__(offset)
        self.offset = offset
        self.too_deep = too_deep


@dataclass
class _Scanner:
    text: str
    at: int = 0
    lines: dict[Path, int] = field(default_factory=dict)
    counts: dict[Path, int] = field(default_factory=dict)  # lists of tables ([[x]]): how many so far
    ends: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ends = [match.start() for match in re.finditer("\n", self.text)]

    def document(self) -> None:
        table: Path = ()
        self.skip(_BLANK)
        while self.at < len(self.text):
            if self.text.startswith("[", self.at):
                table = self.header()
            else:
                self.pair(table)
            self.skip(_END_OF_LINE)
            self.skip(_BLANK)

    def header(self) -> Path:
        """`[a.b]` or `[[a.b]]`: where the keys after it belong."""
        start, several = self.at, self.text.startswith("[[", self.at)
        self.at += 2 if several else 1
        self.skip(_SPACE)
        parts = self.key()
        self.skip(_SPACE)
        self.expect("]]" if several else "]")
        path = self.within((), parts[:-1], start)
        path = self.entered(path, parts[-1], start)
        if several:
            self.counts[path] = self.counts.get(path, 0) + 1
            path = (*path, self.counts[path] - 1)
        self.lines[path] = self.line(start)
        return path

    def pair(self, table: Path) -> None:
        """`a.b = value`, at the top, in a table or in an inline table."""
        start = self.at
        parts = self.key()
        self.skip(_SPACE)
        self.expect("=")
        self.skip(_SPACE)
        path = self.within(table, parts[:-1], start)
        self.value(self.entered(path, parts[-1], start))

    def key(self) -> list[str]:
        parts = [self.key_part()]
        while True:
            after = self.at
            self.skip(_SPACE)
            if not self.text.startswith(".", self.at):
                self.at = after
                return parts
            if len(parts) == DEPTH_MAX:
                raise _Stop(self.at, too_deep=True)
            self.at += 1
            self.skip(_SPACE)
            parts.append(self.key_part())

    def key_part(self) -> str:
        start = self.at
        if self.text.startswith('"', start):
            self.skip(_BASIC)
            return self.unquoted(start)
        if self.text.startswith("'", start):
            self.skip(_LITERAL)
            return self.text[start + 1 : self.at - 1]
        self.skip(_BARE_KEY)
        return self.text[start : self.at]

    def unquoted(self, start: int) -> str:
        raw = self.text[start : self.at]
        if "\\" not in raw:
            return raw[1:-1]
        try:
            return str(tomllib.loads(f"key = {raw}")["key"])
        except ValueError:
            raise _Stop(start) from None

    def value(self, path: Path) -> None:
        text, at = self.text, self.at
        if text.startswith("[", at):
            self.items(path)
        elif text.startswith("{", at):
            self.pairs(path)
        elif text.startswith(('"', "'"), at):
            basic = text.startswith('"', at)
            if text.startswith(('"""', "'''"), at):
                self.long_string(_LONG_BASIC if basic else _LONG_LITERAL, text[at])
            else:
                self.skip(_BASIC if basic else _LITERAL)
        else:
            self.skip(_PLAIN)

    def long_string(self, stops: re.Pattern[str], quote: str) -> None:
        """To its first three quotes that are not escaped, and one or two more, which belong to it."""
        for stop in stops.finditer(self.text, self.at + 3):
            if stop[0][0] == quote:
                more = self.text[stop.end() : stop.end() + 2]
                self.at = stop.end() + len(more) - len(more.lstrip(quote))
                return
        raise _Stop(self.at)

    def items(self, path: Path) -> None:
        self.at += 1
        index = 0
        while True:
            self.skip(_BLANK)
            if self.text.startswith("]", self.at):
                break
            if index:
                self.expect(",")
                self.skip(_BLANK)
                if self.text.startswith("]", self.at):
                    break
            self.value(self.entered(path, index, self.at))
            index += 1
        self.at += 1

    def pairs(self, path: Path) -> None:
        self.at += 1
        first = True
        while True:
            self.skip(_BLANK)
            if self.text.startswith("}", self.at):
                break
            if not first:
                self.expect(",")
                self.skip(_BLANK)
                if self.text.startswith("}", self.at):
                    break
            self.pair(path)
            first = False
        self.at += 1

    def within(self, path: Path, parts: list[str], start: int) -> Path:
        """`path` with `parts` below it; a list of tables stands for its last one."""
        for part in parts:
            path = self.entered(path, part, start)
            if path in self.counts:
                path = (*path, self.counts[path] - 1)
        return path

    def entered(self, path: Path, key: str | int, start: int) -> Path:
        if len(path) >= DEPTH_MAX:
            raise _Stop(start, too_deep=True)
        path = (*path, key)
        self.lines.setdefault(path, self.line(start))
        return path

    def line(self, offset: int) -> int:
        return bisect_left(self.ends, offset) + 1

    def skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise _Stop(self.at)
        self.at = match.end()

    def expect(self, word: str) -> None:
        if not self.text.startswith(word, self.at):
            raise _Stop(self.at)
        self.at += len(word)
