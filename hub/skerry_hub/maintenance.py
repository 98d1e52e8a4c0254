"""What is done now and then: pruning what the store does not keep for ever, collecting archives that nothing wants,
ending revocations that have piled up. The clock of it is apscheduler's; the first run comes soon after each start, or a
hub that is restarted every day would never do what is done once a day.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from .artifacts.artifacts import ArtifactStore
from .artifacts.collecting import collect
from .clock import now_ms
from .pruning import prune
from .store import Store

LOG = logging.getLogger(__name__)
FIRST = timedelta(minutes=5)
PRUNE_EVERY = timedelta(hours=1)
COLLECT_EVERY = timedelta(days=1)


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
        first = datetime.now(UTC) + FIRST
        for work, every in (
            (self.prune, PRUNE_EVERY),
            (self.collect, COLLECT_EVERY),
            (self.rotate, COLLECT_EVERY),
        ):
            self._scheduler.add_job(
                work,
                "interval",
                seconds=every.total_seconds(),
                next_run_time=first,
                misfire_grace_time=None,
                coalesce=True,
            )
        self._scheduler.start()

    def due(self) -> tuple[datetime, ...]:
        """When each job runs next."""
        return tuple(job.next_run_time for job in self._scheduler.get_jobs())

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

    async def prune(self) -> None:
        """Removes what the store does not keep for ever."""
        gone = await prune(self._store, now_ms())
        if gone:
            LOG.info("pruned %d rows", gone)
