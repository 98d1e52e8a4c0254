"""How much the ways to the hub and to other nodes take: each is looked at when `pathmtu` says so, beside the turns.

A route is the turns' business: `changed` is called when one of them takes more or less than before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from ipaddress import IPv6Network

from skerry_netplan.address import node_address
from skerry_netplan.lower import MTU, MTU_LEAST
from skerry_protocol.network import Network

from .pathmtu import PathMtu, looked

WITHIN_S = 3.0
Ping = Callable[[str, Collection[int], float], Awaitable[frozenset[int]]]
"""(address, sizes, seconds) → which sizes were answered; see `ping.ping`."""


class Breadths:
    """`know` is the turns' part; `run`: until cancelled. `now_ms`: CLOCK_BOOTTIME."""

    def __init__(self, ping: Ping, now_ms: Callable[[], int], changed: Callable[[], None]) -> None:
        self._ping, self._now_ms, self._changed = ping, now_ms, changed
        self._paths: dict[bytes, PathMtu] = {}
        self._at: dict[bytes, str] = {}
        self._ends: dict[bytes, object] = {}
        self._word = asyncio.Event()

    def know(
        self, plan: Network, tunnels: Mapping[bytes, str], outside: tuple[str, ...], before: Mapping[str, int]
    ) -> dict[str, int]:
        """How much ways take that take less than usual, by the peer's key (hex).

        `tunnels`: key → where the tunnel ends that carries something to this peer; `outside`: the machine's own
        addresses. With another of these it is another way. `before`: what was known last, also of who is away now.
        """
        at = _addresses(plan)
        narrow = {key: before[key.hex()] for key in at if key.hex() in before}
        self._ends, former = {key: one for key, one in self._ends.items() if key in at}, self._ends
        self._ends |= {key: (tunnels[key], outside) for key in at if key in tunnels}
        self._paths = {
            key: self._path(key, former.get(key) == end, narrow.get(key, MTU))
            for key, end in self._ends.items()
        }
        self._at = {key: at[key] for key in at if key in tunnels}
        self._word.set()
        narrow |= {key: path.mtu for key, path in self._paths.items()}
        return {key.hex(): mtu for key, mtu in sorted(narrow.items()) if mtu < MTU}

    def _path(self, key: bytes, same: bool, mtu: int) -> PathMtu:
        known = self._paths.get(key)
        if known is None or not same:
            return PathMtu(max(MTU_LEAST, min(MTU, known.mtu if known else mtu)), self._now_ms())
        return known

    async def run(self) -> None:
        while True:
            self._word.clear()
            due_ms = min((self._paths[key].due_ms for key in self._at), default=None)
            rest = None if due_ms is None else max(0.0, (due_ms - self._now_ms()) / 1000)
            try:
                async with asyncio.timeout(rest):
                    await self._word.wait()
            except TimeoutError:
                await self.look()

    async def look(self) -> None:
        """At each that is due, one after the other."""
        changed = False
        for key, path in list(self._paths.items()):
            if self._paths.get(key) is not path or path.due_ms > self._now_ms() or key not in self._at:
                continue
            answered = await self._ping(self._at[key], path.sizes, WITHIN_S)
            if self._paths.get(key) is path:  # else it is due again, by another way
                self._paths[key] = looked(path, answered, self._now_ms())
                changed |= self._paths[key].mtu != path.mtu
        if changed:
            self._changed()


def _addresses(plan: Network) -> dict[bytes, str]:
    """Who is reached by a tunnel of its own, and its address inside."""
    hub = plan.hubs[0]
    mates = {mate.key: str(node_address(IPv6Network(mate.network))) for mate in plan.mates if mate.key}
    return {hub.key: hub.address} | mates
