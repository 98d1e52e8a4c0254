"""Kinds made of kinds: lists, tables of the operator's own keys, tables of declared fields, and alternatives.

All faults inside are said, not the first alone. What is faulty is left out, or stands as its `blank`, so that the
fields that are right can still be checked against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .faults import Finding, Path, Say, did_you_mean, quoted, show
from .kinds import Kind, Leaf, Schema

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class ListOf(Generic[T]):
    """A list of `least` to `most` items, as a tuple; `unique` ones never twice."""

    item: Kind[T]
    expected: str
    most: int
    least: int = 0
    unique: bool = False
    if_text: Callable[[str], str] = lambda _: ""  # the hint where a string stands in the place of the list

    def read(self, value: object, path: Path, say: Say) -> tuple[T, ...] | None:
        if not isinstance(value, (list, tuple)) or not self.least <= len(value) <= self.most:
            say(Finding(path, show(value), self.expected, self._hint(value)))
            return None
        got: list[T] = []
        for index, one in enumerate(value):
            item = self.item.read(one, (*path, index), say)
            if item is not None and self.unique and item in got:
                say(Finding((*path, index), f"{show(one)} again", "each once"))
            elif item is not None:
                got.append(item)
        return tuple(got)

    def _hint(self, value: object) -> str:
        if isinstance(value, str):
            return self.if_text(value)
        long = isinstance(value, (list, tuple)) and len(value) > self.most
        return f"at most {self.most} items" if long else ""

    def schema(self) -> Schema:
        bounds: Schema = {"minItems": self.least, "maxItems": self.most}
        return (
            {"type": "array", "items": self.item.schema()}
            | bounds
            | ({"uniqueItems": True} if self.unique else {})
        )


@dataclass(frozen=True)
class MapOf(Generic[T]):
    """A table whose keys the operator chooses: each passes `key`, each value `item`."""

    key: Leaf[str]
    item: Kind[T]
    expected: str
    most: int
    least: int = 0

    def read(self, value: object, path: Path, say: Say) -> dict[str, T] | None:
        if not isinstance(value, dict) or not self.least <= len(value) <= self.most:
            large = isinstance(value, dict) and len(value) > self.most
            say(Finding(path, show(value), self.expected, f"at most {self.most} keys" if large else ""))
            return None
        got = {}
        for key, one in value.items():
            name = self.key.read(key, (*path, key), _as_key(say))
            item = self.item.read(one, (*path, key), say)
            if name is not None and item is not None:
                got[name] = item
        return got

    def schema(self) -> Schema:
        bounds: Schema = {"minProperties": self.least, "maxProperties": self.most}
        return {
            "type": "object",
            "propertyNames": self.key.schema(),
            "additionalProperties": self.item.schema(),
        } | bounds


def _as_key(say: Say) -> Say:
    return lambda one: say(Finding(one.path, f"the key {one.found}", one.expected, one.hint))


@dataclass(frozen=True)
class Row:
    """One declared field: its key, what it may hold, what it means, and the attribute that it becomes.

    A `required` one has a `blank` that stands for it when it is missing or wrong, and a `why` for the error.
    """

    key: str
    kind: Kind[object]
    about: str
    attribute: str = ""
    default: str = ""
    required: bool = False
    blank: object = None
    why: str = ""


@dataclass(frozen=True)
class Section(Generic[T]):
    """A table of declared fields. `make` is called with the attributes that were given and right, and blanks."""

    rows: tuple[Row, ...]
    make: Callable[..., T]
    about: str
    extra: Schema = field(default_factory=dict)  # rules between fields, for the schema

    def read(self, value: object, path: Path, say: Say) -> T | None:
        if not isinstance(value, dict):
            keys = ", ".join(row.key for row in self.rows[:4])
            say(Finding(path, show(value), f"a table with {keys}" + (" ..." if len(self.rows) > 4 else "")))
            return None
        self._unknown(value, path, say)
        got = {}
        for row in self.rows:
            read = self._one(row, value, path, say)
            if read is not None or row.required:
                got[row.attribute or row.key] = row.blank if read is None else read
        return self.make(**got)

    def _unknown(self, value: Mapping[str, object], path: Path, say: Say) -> None:
        known = [row.key for row in self.rows]
        for key in value:
            if key not in known:
                guess = did_you_mean(key, known) or "known: " + ", ".join(known)
                say(Finding((*path, key), f"the unknown key {quoted(key)}", "a known key", guess))

    def _one(self, row: Row, value: Mapping[str, object], path: Path, say: Say) -> object:
        if row.key in value:
            return row.kind.read(value[row.key], (*path, row.key), say)
        if row.required:
            say(Finding((*path, row.key), "nothing", row.why or f"{row.key}, it has no default"))
        return None

    def schema(self) -> Schema:
        properties: Schema = {row.key: _described(row) for row in self.rows}
        required: Schema = {"required": [row.key for row in self.rows if row.required]}
        return (
            {
                "type": "object",
                "description": self.about,
                "properties": properties,
                "additionalProperties": False,
            }
            | (required if required["required"] else {})
            | self.extra
        )


def _described(row: Row) -> Schema:
    about = row.about + (f" Default: {row.default}." if row.default else "")
    return row.kind.schema() | {"description": about}


@dataclass(frozen=True)
class Either(Generic[T_co]):
    """Alternatives that differ in TOML's own type: the first whose type fits reads the value."""

    cases: tuple[tuple[type, Kind[T_co]], ...]
    expected: str

    def read(self, value: object, path: Path, say: Say) -> T_co | None:
        for kind_of, kind in self.cases:
            if isinstance(value, kind_of):
                return kind.read(value, path, say)
        say(Finding(path, show(value), self.expected))
        return None

    def schema(self) -> Schema:
        return {"anyOf": [kind.schema() for _, kind in self.cases]}


@dataclass(frozen=True)
class Mapped(Generic[T_co]):
    """`kind`, its value turned into another form."""

    kind: Kind[object]
    turn: Callable[[object], T_co]

    def read(self, value: object, path: Path, say: Say) -> T_co | None:
        got = self.kind.read(value, path, say)
        return None if got is None else self.turn(got)

    def schema(self) -> Schema:
        return self.kind.schema()
