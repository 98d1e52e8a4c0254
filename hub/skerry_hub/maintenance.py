"""What is done now and then: pruning answers that were remembered for repeats, collecting archives that nothing wants,
ending revocations that have piled up. The clock of it is apscheduler's.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from .artifacts.artifacts import ArtifactStore
from .artifacts.collecting import collect
from .clock import now_ms
from .store import Owner, Store
from .store import schema as s

LOG = logging.getLogger(__name__)
IDEMPOTENCY_MS = 24 * 3_600_000
EVERY_MINUTES = 60
COLLECT_HOURS = 24


class Maintenance:
    """The jobs of one run of the hub."""

    def __init__(self, store: Store, artifacts: ArtifactStore, rotate: Callable[[], Awaitable[bool]]) -> None:
        """`rotate` changes the signing key of NATS where that is due."""
        self._store = store
        self._rotate = rotate
        self._artifacts = artifacts
        self._scheduler = AsyncIOScheduler(timezone="UTC")

    def start(self) -> None:
        """A run that was missed, however late, is made good once."""
        self._scheduler.add_job(
            self.prune, "interval", minutes=EVERY_MINUTES, misfire_grace_time=None, coalesce=True
        )
        self._scheduler.add_job(
            self.collect, "interval", hours=COLLECT_HOURS, misfire_grace_time=None, coalesce=True
        )
        self._scheduler.add_job(
            self.rotate, "interval", hours=COLLECT_HOURS, misfire_grace_time=None, coalesce=True
        )
        self._scheduler.start()

    def stop(self) -> None:
        """Ends the jobs."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    async def rotate(self) -> None:
        """Another signing key where revocations have piled up."""
        if await self._rotate():
            LOG.info("changed the signing key of NATS")

    async def collect(self) -> None:
        """Removes the archives that nothing can want any more."""
        gone = await collect(self._store, self._artifacts, now_ms())
        if gone:
            LOG.info("collected %d archives", len(gone))

    async def prune(self) -> int:
        """Drops what is older than a day; returns how much."""
        async with self._store.write() as tx:
            hand = tx.as_owner(Owner.API)
            return await hand.drop(s.idempotency, s.idempotency.c.at_ms < now_ms() - IDEMPOTENCY_MS)
