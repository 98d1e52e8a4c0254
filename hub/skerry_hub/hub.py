"""One running hub: its identity, its store, its bus and its loops, in one place for the API.

Order of calls: `Hub.open`, `start`, then what the API and the bus ask for, then `stop`.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass

from .identity import Identity
from .leader import take_lead
from .model import Mesh
from .store import Store, StoreError, rows


@dataclass(frozen=True)
class Settings:
    """How this run of the hub was asked for. `nats` None: a server of its own. `advertise`: hosts that nodes try."""

    host: str
    port: int
    nats: str | None = None
    advertise: tuple[str, ...] = ()


class Hub:
    """What the parts of a hub share."""

    def __init__(self, identity: Identity, settings: Settings, store: Store, mesh: Mesh, term: int) -> None:
        self.identity = identity
        self.settings = settings
        self.store = store
        self.mesh = mesh
        self.term = term
        self.port = settings.port
        self._events = asyncio.Event()
        store.on_commit(self._committed)

    @classmethod
    async def open(cls, identity: Identity, settings: Settings) -> Hub:
        """Opens the store and takes the lead. Raises StoreError."""
        store = await Store.open(identity.database)
        try:
            async with store.read() as view:
                mesh = await rows.mesh(view)
            if mesh is None:
                raise StoreError(f"cannot open {store.path}: it is empty (make one with 'skerry-hub init')")
            term = await take_lead(store, secrets.token_hex(4))
        except BaseException:
            await store.close()
            raise
        return cls(identity, settings, store, mesh, term)

    async def start(self, port: int) -> None:
        """Starts the loops. `port` is where the API will listen."""
        self.port = port

    def events_written(self) -> asyncio.Event:
        """Set when the next event is committed. Take it before looking for events, so that none is missed."""
        return self._events

    def _committed(self, tables: frozenset[str]) -> None:
        if "events" in tables:
            self._events.set()
            self._events = asyncio.Event()

    async def stop(self) -> None:
        """Ends what `start` began and closes the store."""
        await self.store.close()
