"""Unit files as the fake systemd reads them: from real folders, with drop-ins and wants links.

Owns the little of the syntax that Skerry's own units use. A unit is a snapshot of its file: what changes on disk later
is seen only when it is read again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

Settings = dict[str, tuple[str, ...]]
LISTS = frozenset({"Requisite", "Requires", "BindsTo", "PartOf", "Wants", "Conflicts", "After", "Before"})
TIME = re.compile(r"([0-9.]+)\s*(us|ms|s|min|h)?")
UNITS_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000}
DEFAULT_STOP_US = 90_000_000


class UnitText(Struct, frozen=True):
    """What systemd would have in memory of one unit."""

    name: str
    source: str
    settings: Settings
    drop_ins: tuple[str, ...]
    wants: tuple[str, ...]

    def words(self, key: str) -> tuple[str, ...]:
        """Every word of a list setting."""
        return self.settings.get(key, ())

    def last(self, key: str, otherwise: str = "") -> str:
        """The value that counts of a setting that is not a list."""
        return self.settings.get(key, (otherwise,))[-1]

    @property
    def stop_us(self) -> int | None:
        """TimeoutStopSec= in force; None is without end."""
        text = self.last("TimeoutStopSec")
        return None if text == "infinity" else microseconds(text) if text else DEFAULT_STOP_US


def read(folders: Sequence[Path], name: str, built_in: bool = False) -> UnitText | None:
    """The unit as it is on disk now; None where there is no file. The first folder wins, drop-ins add up."""
    file, drop_ins = _files(folders, name)
    if file is None and not built_in:
        return None
    texts = _texts(file, drop_ins)
    wants = tuple(
        link
        for folder in folders
        for link in _listed(f"{folder}/{name}.wants")
        if os.path.islink(f"{folder}/{name}.wants/{link}")  # noqa: PTH114 - see _files
    )
    return UnitText(name, "\0".join(texts), _parsed(texts), tuple(drop_ins), wants)


def source(folders: Sequence[Path], name: str) -> str | None:
    """The `source` that `read` would give; None where there is no file."""
    file, drop_ins = _files(folders, name)
    return None if file is None else "\0".join(_texts(file, drop_ins))


def _files(folders: Sequence[Path], name: str) -> tuple[str | None, list[str]]:
    """By strings: thousands of units are read in a simulation, and paths as objects are most of what that costs."""
    places = [f"{folder}/{name}" for folder in folders]
    file = next((one for one in places if os.access(one, os.F_OK) and os.path.isfile(one)), None)  # noqa: PTH113
    drop_ins = [f"{place}.d/{one}" for place in places for one in _listed(f"{place}.d")]
    return file, sorted(one for one in drop_ins if one.endswith(".conf"))


def _listed(folder: str) -> list[str]:
    if not os.access(folder, os.F_OK):  # nearly always, and an exception takes several times as long
        return []
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []


def _texts(file: str | None, drop_ins: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(_text, (*([file] if file else ()), *drop_ins)))


def _text(file: str) -> str:
    with open(file, "rb") as opened:  # noqa: PTH123
        return opened.read().decode()


@lru_cache(maxsize=1_000)
def _parsed(texts: tuple[str, ...]) -> Settings:
    found: dict[str, list[str]] = {}
    for line in "\n".join(texts).splitlines():
        key, separator, value = line.partition("=")
        if not separator or line.startswith(("#", ";", "[")):
            continue
        values = found.setdefault(key.strip(), [])
        if key.strip() in LISTS:
            values.extend(value.split())
        elif not value.strip():
            values.clear()
        else:
            values.append(value.strip())
    return {key: tuple(values) for key, values in found.items() if values}


def microseconds(text: str) -> int:
    """A time span of systemd.time(7): a number alone is seconds."""
    return round(sum(float(number) * UNITS_US[unit or "s"] for number, unit in TIME.findall(text)))
