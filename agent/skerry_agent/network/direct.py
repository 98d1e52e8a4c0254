"""Direct tunnels to other nodes: looked at as often as `ways` says, and led to where it says, beside the turns.

Nothing is looked at where no other node takes direct tunnels. A route is the turns' business: `changed` is called when
the direct way leads to others than before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv6Network, ip_address

from skerry_netplan.kernel.tunnels import Backend, TunnelError, TunnelSeen
from skerry_netplan.linter import endpoint
from skerry_netplan.lower import KEEPALIVE
from skerry_netplan.state import DIRECT, Peer
from skerry_protocol.ids import NodeName
from skerry_protocol.messages import Hint
from skerry_protocol.network import Mate, Network

from .paths import Counted
from .seeking import literal
from .sessions import Sessions
from .ways import Near, Ways

ENDPOINTS_MOST = 8


class Directs:
    """`know`, then `looked` what the turn has read, then `wake`: the turns' part. `run`: until cancelled.

    `now_ms`: CLOCK_BOOTTIME; `wall`: the machine's clock.
    """

    def __init__(
        self,
        backend: Callable[[], Backend],
        now_ms: Callable[[], int],
        wall: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self._backend, self._now_ms, self._wall, self._changed = backend, now_ms, wall, changed
        self._ways, self._sessions = Ways(), Sessions()
        self._peers: dict[bytes, Peer] = {}
        self._names: dict[NodeName, bytes] = {}
        self._begins: dict[bytes, str] = {}
        self._word = asyncio.Event()

    @property
    def direct(self) -> frozenset[NodeName]:
        """The nodes that the direct way leads to."""
        return self._ways.direct

    @property
    def endpoints(self) -> dict[bytes, str]:
        """Where tunnels are kept open, by key."""
        return self._ways.endpoints

    def know(self, plan: Network, hint: Hint, found: Mapping[str, str]) -> None:
        """Who there is. `found`: where tunnels ended that worked, by key (hex)."""
        mates = {mate.name: mate for mate in plan.mates}
        self._names = {name: mate.key for name, mate in mates.items() if mate.key is not None}
        self._peers = {
            key: Peer(key, frozenset({mates[name].network}), None, KEEPALIVE)
            for name, key in self._names.items()
        }
        near = {name: Near(key, _ends(plan, mates[name], hint, found)) for name, key in self._names.items()}
        self._begins |= self._ways.know(near, self._now_ms())
        self._sessions.forget(set(self._peers))
        self._prune()

    def looked(self, seen: TunnelSeen | None) -> None:
        """What the tunnel shows."""
        now, wall = self._now_ms(), self._wall()
        peers = {key: one for key, one in seen.peers.items() if key in self._peers} if seen else {}
        counted = {
            key: Counted(one.received, one.sent, self._sessions.lives(key, one.handshake, wall, now))
            for key, one in peers.items()
        }
        self._begins |= self._ways.looked(counted, now)
        self._prune()

    def wake(self) -> None:
        """There may be something to begin, or to look at."""
        self._word.set()

    async def look(self) -> None:
        """Looks at the tunnel, where there is something to look at, and begins what is to begin elsewhere."""
        if self._ways.due_ms() is None:
            return
        before = self.direct
        try:
            self.looked(await self._backend().read(DIRECT))
        except TunnelError:
            return  # not made yet, or gone: a turn says so
        for key, at in list(self._begins.items()):
            await self._begin(key, at)
        if self.direct != before:
            self._changed()

    async def run(self) -> None:
        while True:
            due_ms = self._ways.due_ms()
            try:
                async with asyncio.timeout(None if due_ms is None else due_ms / 1000):
                    await self._word.wait()
            except TimeoutError:
                pass  # nobody called: it is time to look
            self._word.clear()
            await self.look()

    async def _begin(self, key: bytes, at: str) -> None:
        """What is refused is not tried again: the next endpoint is, or this one in the next round.

        A tunnel that is only now to be kept open sends at once, even where it has a session.
        """
        self._begins.pop(key, None)
        if (peer := self._peers.get(key)) is not None:
            with suppress(TunnelError):
                await self._backend().set_peer(DIRECT, replace(peer, keepalive=0), at)
                await self._backend().set_peer(DIRECT, peer, None)

    def _prune(self) -> None:
        """A tunnel that carries is left where it is, also where it was found so."""
        open_ways = {self._names[name] for name in self.direct if name in self._names}
        self._begins = {
            key: at for key, at in self._begins.items() if key in self._peers and key not in open_ways
        }


def _ends(plan: Network, mate: Mate, hint: Hint, found: Mapping[str, str]) -> tuple[str, ...]:
    """Where it may be, the best first: as the hub said last, then where it was."""
    known = found.get(mate.key.hex()) if mate.key is not None else None
    texts = (*hint.endpoints.get(mate.name, ()), *((known,) if known else ()))
    return tuple(dict.fromkeys(_outside(plan, texts)))[:ENDPOINTS_MOST]


def _outside(plan: Network, texts: tuple[str, ...]) -> Iterator[str]:
    """No tunnel leads through itself."""
    whole = IPv6Network(plan.whole)
    for text in texts:
        at = literal(text)
        parsed = endpoint(at) if at else None
        if at and parsed and ip_address(parsed[0]) not in whole:
            yield at
