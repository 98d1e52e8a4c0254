"""A whole hub for a test: real keys, a real store, real TLS on a port of its own."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from skerry_hub.daemon import first_admin
from skerry_hub.hub import Settings
from skerry_hub.identity import Identity, create, read
from skerry_hub.service import Service
from skerry_protocol.ids import MeshName, Region


class Desk:
    """A running hub and an admin's client."""

    def __init__(self, service: Service, token: str) -> None:
        self.service = service
        self.hub = service.hub
        self.token = token
        self.base = f"https://127.0.0.1:{service.port}"
        self.client = self.as_person(token)

    def as_person(self, token: str | None) -> httpx.AsyncClient:
        """A client with somebody's token."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        limits = httpx.Limits(max_connections=200)
        return httpx.AsyncClient(
            base_url=self.base, headers=headers, verify=trusting(self.hub.identity), timeout=30, limits=limits
        )

    async def post(
        self, path: str, body: object, key: str | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """A POST as the admin, perhaps with an idempotency key."""
        more = {"Idempotency-Key": key} if key else {}
        return await self.client.post(path, json=body, headers={**more, **(headers or {})})


def trusting(identity: Identity) -> ssl.SSLContext:
    """TLS that takes this hub's certificate and no other."""
    context = ssl.create_default_context(cafile=str(identity.certificate))
    context.check_hostname = False
    return context


async def made(data: Path) -> str:
    """A new hub in `data`; returns its admin's token."""
    identity = create(data, MeshName("coast"), Region("north"))
    return await first_admin(identity, "admin")


@asynccontextmanager
async def serving(data: Path, token: str = "") -> AsyncIterator[Desk]:
    """The hub in `data`, made where there is none, serving until the end of the block."""
    if not (data / "delegation").exists():
        token = await made(data)
    service = await Service.open(read(data), Settings("127.0.0.1", 0, nats="none"))
    try:
        await service.start()
        desk = Desk(service, token)
        async with desk.client:
            yield desk
    finally:
        await service.stop()
