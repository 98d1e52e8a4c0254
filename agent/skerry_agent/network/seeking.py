"""Looks hubs up where `hubs` says so, beside the turns of skerry-net: none of them waits for a name server."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address

from skerry_netplan.linter import endpoint
from skerry_protocol.network import HubAt

from .hubs import STALE_MS, Sought, looked

DEADLINE_S = 10.0
Resolve = Callable[[str], Awaitable[str | None]]


def literal(text: str) -> str | None:
    """The endpoint, where it is an address already."""
    found = endpoint(text)
    with suppress(ValueError):
        return written(str(ip_address(found[0])), found[1]) if found else None
    return None


def written(address: str, port: int) -> str:
    """As WireGuard has it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


async def resolve(text: str) -> str | None:
    """An endpoint with an address instead of a name; None where nobody knows it within DEADLINE_S.

    In a thread of its own, which nobody waits for: a name server that does not answer may take a minute to give up.
    """
    found = endpoint(text)
    if found is None:
        return None
    answer = asyncio.get_running_loop().create_future()
    threading.Thread(target=_ask, args=(found[0], answer), daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(DEADLINE_S):
            address = await answer
            return written(address, found[1]) if address else None
    return None


def _ask(name: str, answer: asyncio.Future[str | None]) -> None:
    address = None
    with suppress(OSError, UnicodeError):
        address = str(socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)[0][4][0])

    def tell() -> None:
        if not answer.done():
            answer.set_result(address)

    with suppress(RuntimeError):  # the loop has ended
        answer.get_loop().call_soon_threadsafe(tell)


class Seeker:
    """`found`: called when an address became known, which `take` then gives."""

    def __init__(self, resolve: Resolve, now_ms: Callable[[], int], found: Callable[[], None]) -> None:
        self._resolve, self._now_ms, self._found = resolve, now_ms, found
        self._sought: dict[bytes, Sought] = {}
        self.at: dict[bytes, str] = {}
        """Where those are tried that were not heard since."""
        self._ready: dict[bytes, str] = {}
        self._asking: dict[bytes, asyncio.Task[None]] = {}

    def look(
        self,
        hubs: Sequence[HubAt],
        known: Mapping[bytes, str],
        handshakes: Mapping[bytes, float | None],
        stale_ms: int = STALE_MS,
    ) -> None:
        """`known`: where they were last; `stale_ms`: for how long nothing may be heard of one that answered."""
        keys = {hub.key for hub in hubs}
        self._sought = {key: one for key, one in self._sought.items() if key in keys}
        for hub in hubs:
            before, handshake = self._sought.get(hub.key), handshakes.get(hub.key)
            now = self._now_ms()
            self._sought[hub.key], text = looked(
                before, hub.endpoints, hub.key in known, handshake, now, stale_ms
            )
            if self._sought[hub.key].answered:
                self.at.pop(hub.key, None)
            if text is not None:
                self._look_up(hub.key, text)

    def take(self) -> dict[bytes, str]:
        """The addresses that became known since this was last asked."""
        ready, self._ready = self._ready, {}
        return ready

    @property
    def due_ms(self) -> int | None:
        """When to look again; None: never by itself."""
        return min((one.due_ms for one in self._sought.values()), default=None)

    def _look_up(self, key: bytes, text: str) -> None:
        if (at := literal(text)) is not None:
            self.at[key] = self._ready[key] = at
        elif key not in self._asking:
            self._asking[key] = asyncio.create_task(self._ask(key, text))

    async def _ask(self, key: bytes, text: str) -> None:
        try:
            at = await self._resolve(text)
        finally:
            del self._asking[key]
        if at is not None:
            self.at[key] = self._ready[key] = at
            self._found()
