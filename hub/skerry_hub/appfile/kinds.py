"""Kinds of single values: each reads what TOML gave and describes itself as JSON Schema, from the same numbers.

A kind's `read` gives the value, or says what is wrong and gives None. It never raises, for any value of TOML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

from .. import units
from ..units import Wrong
from .faults import Finding, Path, Say, did_you_mean, show

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
E = TypeVar("E", bound=StrEnum)
Schema = dict[str, object]


class Kind(Protocol[T_co]):
    """What a field may hold."""

    def read(self, value: object, path: Path, say: Say) -> T_co | None: ...

    def schema(self) -> Schema: ...


@dataclass(frozen=True)
class Leaf(Generic[T]):
    """A single value: `convert` gives it or a `Wrong`; `form` is its JSON Schema."""

    convert: Callable[[object], T | Wrong]
    form: Schema

    def read(self, value: object, path: Path, say: Say) -> T | None:
        got = self.convert(value)
        if isinstance(got, Wrong):
            say(Finding(path, show(value), got.expected, got.hint))
            return None
        return got

    def schema(self) -> Schema:
        return self.form


def text(
    expected: str,
    *,
    longest: int,
    pattern: str = "",
    refuse: Callable[[str], str | None] = lambda _: None,
    meant: Mapping[str, str] = MappingProxyType({}),
) -> Leaf[str]:
    """A string of `longest` bytes of UTF-8 at most, without NUL. `refuse` gives a hint for one that won't do.

    `meant`: what others call what is expected here.
    """
    form = re.compile(pattern, re.DOTALL) if pattern else None

    def convert(value: object) -> str | Wrong:
        if not isinstance(value, str):
            hint = f"in quotes: {show(str(value))}" if isinstance(value, (bool, int, float)) else ""
            return Wrong(expected, hint)
        size = utf8_size(value)
        if size is None or "\0" in value:
            return Wrong(expected, "NUL and lone surrogates are not text")
        if size > longest:
            return Wrong(expected, f"it has {size} bytes, {longest} at most")
        if form and form.fullmatch(value) is None:
            return Wrong(expected, f"did you mean {meant[value]}?" if value in meant else "")
        refused = refuse(value)
        return value if refused is None else Wrong(expected, refused)

    schema: Schema = {"type": "string", "maxLength": longest}
    return Leaf(convert, schema | ({"pattern": f"^(?:{pattern})$"} if pattern else {}))


def utf8_size(value: str) -> int | None:
    """Bytes of `value` as UTF-8; None where it is no text (lone surrogates)."""
    try:
        return len(value.encode())
    except UnicodeEncodeError:
        return None


def flag() -> Leaf[bool]:
    """true or false."""
    return Leaf(
        lambda value: value if isinstance(value, bool) else Wrong("true or false"), {"type": "boolean"}
    )


def whole(low: int, high: int, hint: str = "") -> Leaf[int]:
    """A whole number in [low, high]."""

    def convert(value: object) -> int | Wrong:
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return (
            value if isinstance(value, int) and good else Wrong(f"a whole number from {low} to {high}", hint)
        )

    return Leaf(convert, {"type": "integer", "minimum": low, "maximum": high})


def choice(words: type[E], hint: str = "") -> Leaf[E]:
    """One of the words of an enum."""
    known = [str(word) for word in words]

    def convert(value: object) -> E | Wrong:
        if isinstance(value, str) and value in known:
            return words(value)
        guess = did_you_mean(value, known) if isinstance(value, str) else ""
        return Wrong(" or ".join(f'"{word}"' for word in known), guess or hint)

    return Leaf(convert, {"enum": known})


def duration(low: int, high: int) -> Leaf[int]:
    """A duration in [low, high] milliseconds."""
    bounds = f"from {units.write_duration(low)} to {units.write_duration(high)}"
    form: Schema = {"type": "string", "pattern": f"^(?:{units.DURATION_PATTERN})$"}
    return Leaf(_bounded(units.duration, low, high, f"a duration {bounds}"), form)


def size(low: int, high: int) -> Leaf[int]:
    """A size in [low, high] bytes."""
    bounds = f"from {units.write_size(low)} to {units.write_size(high)}"
    form: Schema = {
        "anyOf": [
            {"type": "string", "pattern": f"^(?:{units.SIZE_PATTERN})$"},
            {"type": "integer", "minimum": low, "maximum": high},
        ]
    }
    return Leaf(_bounded(units.size, low, high, f"a size {bounds}"), form)


def cpu(low: int, high: int) -> Leaf[int]:
    """Processors, as thousandths in [low, high]; rounded to the nearest thousandth first."""
    form: Schema = {"type": "number", "minimum": (low - 0.5) / 1000, "maximum": (high + 0.5) / 1000}
    return Leaf(_bounded(units.cpu, low, high, f"a number from {low / 1000:g} to {high / 1000:g}"), form)


def _bounded(
    parse: Callable[[object], int | Wrong], low: int, high: int, expected: str
) -> Callable[[object], int | Wrong]:
    def convert(value: object) -> int | Wrong:
        got = parse(value)
        return Wrong(expected) if isinstance(got, int) and not low <= got <= high else got

    return convert
