"""A hub that serves: the API, the bus and the loops, started and stopped in order.

Start: the store is open, the graph runs once, the bus connects by itself as often as it takes, and the API opens last:
who reaches it finds a hub that decides. Stop is the same backwards.
"""

from __future__ import annotations

import asyncio
import logging
import signal

from .api.app import application
from .api.server import ApiServer
from .hub import Hub, Settings
from .identity import Identity
from .store import Deposed

__all__ = ["Service", "Settings", "serve"]

LOG = logging.getLogger(__name__)


class Service:
    """One run of a hub. Made by `Service.open`."""

    def __init__(self, hub: Hub, server: ApiServer) -> None:
        self.hub = hub
        self._server = server

    @classmethod
    async def open(cls, identity: Identity, settings: Settings) -> Service:
        """Opens store and port. Raises StoreError and OSError."""
        hub = await Hub.open(identity, settings)
        try:
            return cls(hub, ApiServer(application(hub), identity, settings.host, settings.port))
        except BaseException:
            await hub.stop()
            raise

    @property
    def port(self) -> int:
        """Where the API listens."""
        return self._server.port

    async def start(self) -> None:
        """Returns once the API takes connections."""
        await self.hub.start(self.port)
        await self._server.start()

    async def stop(self) -> None:
        """Ends everything that `start` began."""
        self.hub.end_streams()
        await self._server.stop()
        await self.hub.stop()


async def serve(identity: Identity, settings: Settings) -> None:
    """One run, until SIGTERM or SIGINT. Raises StoreError, Deposed, NatsServerError, OSError."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    service = await Service.open(identity, settings)
    try:
        await service.start()
        LOG.info("serving region %s of mesh %s on port %d", identity.region, identity.mesh, service.port)
        await _until(stopping, service.hub.store.deposed)
        if service.hub.store.deposed.is_set():
            raise Deposed(service.hub.store.deposed_by)
    finally:
        await service.stop()


async def _until(*events: asyncio.Event) -> None:
    """Returns when one of them is set."""
    waiting = [asyncio.create_task(one.wait()) for one in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
