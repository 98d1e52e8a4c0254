"""A hub that serves: the API, the bus and the loops, started and stopped in order.

Start: the store is open, the graph runs once, the bus connects by itself as often as it takes, and the API opens last:
who reaches it finds a hub that decides. Stop is the same backwards.
"""

from __future__ import annotations

from .api.app import application
from .api.server import ApiServer
from .hub import Hub, Settings
from .identity import Identity


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
