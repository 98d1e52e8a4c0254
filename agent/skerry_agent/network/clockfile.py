"""The machine's clock as it was last, kept on disk, and put back once in a boot, before tunnels begin (`clock`).

Once: whoever sets the clock back by hand later is not gainsaid when skerry-net starts again.
"""

from __future__ import annotations

import asyncio
import ctypes
import time
from collections.abc import Callable
from pathlib import Path

from ..disk import sealed
from ..disk.files import DiskError, make_folder
from ..disk.sealed import Twice
from ..libc import LIBC
from .clock import EVERY_S, put_to, to_keep
from .records import CLOCK, LOOKED, Clock

_TIMEX_MOST = 512  # bytes; more than struct timex has
_TIME_ERROR = 5  # what is told of a clock that nobody keeps


def set_clock(to: float) -> None:
    """Raises OSError, as in a container, which has no clock of its own."""
    time.clock_settime(time.CLOCK_REALTIME, to)


def is_right() -> bool:
    """Whether the kernel says that somebody keeps the clock in step, by NTP or another source (adjtimex(2))."""
    state = int(LIBC.adjtimex(ctypes.create_string_buffer(_TIMEX_MOST)))
    return 0 <= state < _TIME_ERROR


class ClockFile:
    """`state`, `run`: skerry-net's folders. `right`: whether the clock is known to be."""

    def __init__(
        self,
        state: Path,
        run: Path,
        wall: Callable[[], float] = time.time,
        put: Callable[[float], None] = set_clock,
        right: Callable[[], bool] = is_right,
    ) -> None:
        self._path, self._looked = state / CLOCK, run / LOOKED
        self._wall, self._put, self._right = wall, put, right

    def begin(self) -> str:
        """What was done, for the journal. Where it may not be done, nothing is."""
        if self._looked.exists():
            return ""
        now = self._wall()
        to = put_to(self._saved(), now)
        try:
            make_folder(self._looked.parent)
            self._looked.touch()
            if to is not None:
                self._put(to)
        except (DiskError, OSError):
            return ""
        return f"the clock was {to - now:.0f} s behind what it had been, and was put to that" if to else ""

    def keep(self) -> None:
        """Where it cannot be written, nothing is lost but this."""
        at = to_keep(self._saved(), self._wall(), self._right())
        if at is None:
            return
        try:
            make_folder(self._path.parent)
            sealed.write_twice(self._path, sealed.bytes_of(Clock(at)))
        except DiskError:
            return

    async def run(self) -> None:
        """Keeps it now and then, until cancelled."""
        while True:
            self.keep()
            await asyncio.sleep(EVERY_S)

    def _saved(self) -> float | None:
        found = sealed.read_twice(self._path)
        record = sealed.message(Clock, found.data, CLOCK) if isinstance(found, Twice) else None
        return record.at if isinstance(record, Clock) else None
