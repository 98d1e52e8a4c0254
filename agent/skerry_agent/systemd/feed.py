"""Changes on their way from systemd to whoever reads them, bounded: a slow reader is told to read everything anew."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator, Sequence
from fnmatch import fnmatchcase

from .port import Change, Resync, UnitChanged

BEHIND = 4096  # what a reader may be behind by before it gets a Resync instead


class Reader(AsyncIterator[Change]):
    """One reader's queue. Begins with a Resync, so that nothing between its reading and its listening is lost."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = patterns
        self._last: dict[str, Change] = {}
        self._waiting: deque[Change] = deque([Resync("new reader")])
        self._ready = asyncio.Event()
        self._ready.set()

    def put(self, change: Change) -> None:
        """One more change, if it is one; drops everything unread where the reader is too far behind."""
        if isinstance(change, Resync):
            self._last.clear()
        elif self._is_old(change):
            return
        if len(self._waiting) >= BEHIND:
            self._waiting.clear()
            self._last.clear()
            change = Resync("the reader fell behind")
        self._waiting.append(change)
        self._ready.set()

    def _is_old(self, change: UnitChanged) -> bool:
        """systemd says everything twice, and tells of units that nobody here asked for."""
        if self._last.get(change.name) == change:
            return True
        if not any(fnmatchcase(change.name, pattern) for pattern in self._patterns):
            return True
        self._last[change.name] = change
        return False

    async def __anext__(self) -> Change:
        while not self._waiting:
            self._ready.clear()
            await self._ready.wait()
        return self._waiting.popleft()


class Feed:
    """All readers of one port. A reader that nobody holds any more is forgotten."""

    def __init__(self) -> None:
        self._readers: weakref.WeakSet[Reader] = weakref.WeakSet()

    def reader(self, patterns: Sequence[str]) -> Reader:
        """A new reader; it sees every change from now on of units that fit a pattern."""
        reader = Reader(patterns)
        self._readers.add(reader)
        return reader

    def put(self, change: Change) -> None:
        """Tell all readers."""
        for reader in tuple(self._readers):
            reader.put(change)
