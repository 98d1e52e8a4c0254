"""D-Bus arguments as pystemd's lowest layer takes them: (type, value) pairs, with containers opened and closed.

Owns the encoding of property lists. pystemd's own tables know neither CPUWeight nor most others, so none are used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Argument = tuple[int, object]
CLOSE: Argument = (-1, None)

# The properties that may be set on a running unit. All are 64-bit.
LIVE = frozenset(
    {
        "CPUQuotaPerSecUSec",
        "CPUWeight",
        "IOWeight",
        "MemoryHigh",
        "MemoryLow",
        "MemoryMax",
        "MemorySwapMax",
        "StartupCPUWeight",
        "TasksMax",
    }
)


def text(value: str) -> Argument:
    """A string."""
    return (ord("s"), value.encode())


def flag(value: bool) -> Argument:
    """A boolean."""
    return (ord("b"), value)


def texts(values: Sequence[str]) -> list[Argument]:
    """An array of strings."""
    return [(ord("a"), b"s"), *(text(value) for value in values), CLOSE]


def numbers(values: Mapping[str, int]) -> list[Argument]:
    """An `a(sv)` of name → 64-bit number, as SetUnitProperties takes it."""
    pieces: list[Argument] = [(ord("a"), b"(sv)")]
    for name, value in values.items():
        pieces += [(ord("r"), b"sv"), text(name), (ord("v"), b"t"), (ord("t"), value), CLOSE, CLOSE]
    return [*pieces, CLOSE]
