"""The hub's NATS: its own server as a child, or one by its URL; and the bus on it.

The keys of the region's accounts are in `nats.keys` in the hub's folder, made at first use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from skerry_protocol.codec import WireError

from ..files import write_file, write_new
from ..identity import Identity, IdentityError
from .auth import Accounts, new_accounts, open_accounts, with_new_signing_key
from .bus import Handlers, HubBus
from .config import Listen, Settings
from .link import client_tls
from .server import NatsServer

NONE = "none"


def accounts_of(data: Path) -> Accounts:
    """The region's NATS keys. Raises IdentityError where the file is damaged."""
    file = data / "nats.keys"
    if not file.exists():
        write_new(file, new_accounts())
    try:
        return open_accounts(file.read_bytes())
    except WireError as error:
        raise IdentityError(f"cannot read {file}: {error} (put back a copy of the folder)") from error


def rotated(data: Path, accounts: Accounts) -> Accounts:
    """The accounts under a new signing key, on disk when this returns. Credentials of nodes end with the old one."""
    kept = with_new_signing_key(accounts)
    write_file(data / "nats.keys", kept)
    return open_accounts(kept)


class Nats:
    """Server and bus of one run. `url`: "none" leaves both out (the API alone, for tests and repair)."""

    def __init__(
        self,
        identity: Identity,
        accounts: Accounts,
        url: str | None,
        listen: Listen,
        program: Path | None = None,
    ) -> None:
        self.accounts = accounts
        self._identity = identity
        self._url = url
        self._listen = listen
        self._program = program
        self._server: NatsServer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.bus: HubBus | None = None

    def make_bus(self, handlers: Handlers) -> HubBus:
        """The bus, not yet connected."""
        tls = client_tls(self._identity.certificate)
        self.bus = HubBus(self._identity.region, self.accounts, tls, handlers)
        return self.bus

    async def servers(self) -> Sequence[str]:
        """Where the bus connects; waits until the hub's own server listens."""
        if self._url is not None:
            return [self._url]
        assert self._server is not None
        await self._server.ready.wait()
        return [self._server.url]

    def urls(self, hosts: Sequence[str]) -> tuple[str, ...]:
        """Where nodes connect, for each host that they may reach this hub by."""
        if self._url is not None:
            return () if self._url == NONE else (self._url,)
        port = self._server.port if self._server is not None else self._listen.port
        return tuple(f"tls://{_bracketed(host)}:{port}" for host in hosts)

    @property
    def trouble(self) -> str | None:
        """Why no node is heard; None where they are, or where there is nothing to hear them by."""
        if self._url == NONE or self.bus is None or self.bus.trouble is None:
            return None
        return (self._server.trouble if self._server is not None else None) or self.bus.trouble

    async def start(self, revoked: Sequence[bytes]) -> None:
        """Starts the server, if it is ours, and the bus. Raises NatsServerError where there is no usable server."""
        if self._url == NONE or self.bus is None:
            return
        if self._url is None:
            bus = self.bus
            settings = Settings(
                folder=self._identity.data / "nats",
                certificate=self._identity.certificate,
                tls_key=self._identity.tls_key,
                accounts=self.accounts,
                listen=self._listen,
                program=self._program,
            )
            doubt = bus.probing.doubt.set
            self._server = NatsServer(settings, lambda: bus.account_token(revoked), doubt)
            bus.probing.broken = self._server.start_anew
            await asyncio.to_thread(self._server.check)
            self._tasks.append(asyncio.create_task(self._server.run()))
        self._tasks.append(asyncio.create_task(self.bus.run()))

    async def stop(self) -> None:
        """Ends the bus, then the server."""
        for task in reversed(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
