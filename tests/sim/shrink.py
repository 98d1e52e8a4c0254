"""Cuts a plan of blows short: drops what is not needed for a promise to be broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def shrunk(blows: Sequence[T], breaks: Callable[[list[T]], bool]) -> list[T]:
    """A part of `blows` that still breaks and from which none can be dropped alone. `blows` itself must break.

    Drops halves first, then quarters, down to one at a time, and begins again where that helped.
    """
    kept = list(blows)
    size = max(1, len(kept) // 2)
    while True:
        before = len(kept)
        start = 0
        while start < len(kept):
            fewer = kept[:start] + kept[start + size :]
            if breaks(fewer):
                kept = fewer
            else:
                start += size
        if size == 1 and len(kept) == before:
            return kept
        size = max(1, size // 2)
