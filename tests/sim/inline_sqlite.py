"""aiosqlite without its thread: what it hands over is done at once, by real sqlite3.

Only who waits for the database differs, so that a run has one order of events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiosqlite.core


class _Inline:
    """Takes the place of the queue to the thread."""

    def put_nowait(self, item: tuple[asyncio.Future[object] | None, Callable[[], object]]) -> None:
        future, function = item
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            if future is not None:
                future.set_exception(error)
        else:
            if future is not None:
                future.set_result(result)


class _NoThread:
    """Takes the place of the thread."""

    daemon = True

    def __init__(self, **_: object) -> None: ...

    def start(self) -> None: ...


def install() -> None:
    """Every connection that is made from now on is inline."""
    aiosqlite.core.SimpleQueue = _Inline  # type: ignore[assignment,attr-defined]
    aiosqlite.core.Thread = _NoThread  # type: ignore[assignment,attr-defined]
