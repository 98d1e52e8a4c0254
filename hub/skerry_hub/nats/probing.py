"""Whether the streams still take messages. One whose files somebody deleted takes none, says nothing, and stays there.

Now and then, and where the server complains of its store, a message that is for nobody is put on each. Where one takes
none, `broken` is called: the hub's own server is then started anew, which takes up what is whole and lacks what is not,
so that it is made anew too. Nothing is ever deleted for it: a disk that is full looks the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

import nats.errors
from nats.js import JetStreamContext

from skerry_protocol import subjects
from skerry_protocol.ids import Region

from .link import heed

LOG = logging.getLogger(__name__)
EVERY_S = 300.0
ANSWER_S = 4.0
TRIES = 2


def nobody() -> None:
    """For a server that is somebody else's."""


class Probing:
    """`doubt` is set by who has reason for it. `trouble`: which streams take nothing."""

    def __init__(self, region: Region) -> None:
        self.doubt = asyncio.Event()
        self.broken: Callable[[], None] = nobody
        self.trouble: str | None = None
        self._streams = {
            subjects.ASSIGN_STREAM: subjects.assign(region, subjects.NOBODY),
            subjects.REPORT_STREAM: subjects.report(region, subjects.NOBODY),
        }

    async def run(self, js: JetStreamContext) -> None:
        """Until cancelled."""
        if self.trouble is not None:
            self.doubt.set()  # it was another connection's
        while True:
            heed()
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self.doubt.wait()
            self.doubt.clear()
            closed = [name for name in self._streams if not await self._takes(js, name)]
            self.trouble = f"{' and '.join(closed)} of NATS takes no message" if closed else None
            if self.trouble is not None:
                LOG.warning("%s", self.trouble)
                self.broken()
                asyncio.get_running_loop().call_later(ANSWER_S, self.doubt.set)

    async def _takes(self, js: JetStreamContext, name: str) -> bool:
        for _ in range(TRIES):
            with suppress(TimeoutError, nats.errors.Error):
                await js.publish(self._streams[name], b"", timeout=ANSWER_S, stream=name)
                return True
        return False
