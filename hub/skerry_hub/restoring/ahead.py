"""Nodes that claim to hold what this hub never issued: each is asked to show it, and marked by what it shows.

Anybody can name an assignment. Only one that this hub's key signed (or that of a newer delegation) shows that the store
is an old one, and pauses the region; a claim without it pauses the node that makes it. While a node is asked for the
first time, no new claim is given, for DOUBT_S at most: so that neither a store that was put back in silence nor a
hostile member does harm. Must never trust an answer: `paused.shown` judges it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable

from skerry_protocol.codec import MESSAGE_MAX
from skerry_protocol.ids import NodeId
from skerry_protocol.messages import Ask, AskPart, Issued

from ..identity import Identity
from ..nats.link import BusError
from ..store import Store
from .paused import is_known, mark_ahead, shown

LOG = logging.getLogger(__name__)
DOUBT_S = 10.0
ANSWER_WITHIN_S = 60.0
AGAIN_S = 30.0

AskNode = Callable[[NodeId, Ask], AsyncGenerator[AskPart, None]]


class Ahead:
    """See the module. `ask` reaches a node; `kick` asks for a run of the loops when doubt ends. Times: monotonic s."""

    def __init__(self, store: Store, identity: Identity, ask: AskNode, kick: Callable[[], None]) -> None:
        self._store = store
        self._identity = identity
        self._ask = ask
        self._kick = kick
        self._doubts: dict[NodeId, float] = {}
        self._doubted: set[NodeId] = set()
        self._unshown: dict[NodeId, tuple[Issued, float]] = {}
        self._tasks: dict[NodeId, asyncio.Task[None]] = {}

    def claimed(self, node: NodeId, issued: Issued, now: float) -> None:
        """A node said that it holds this, which is not known here. Returns at once."""
        if node in self._tasks:
            return
        if node not in self._doubted:
            self._doubted.add(node)
            self._doubts[node] = now
        self._unshown[node] = (issued, now)
        task = asyncio.create_task(self._look(node, issued))
        self._tasks[node] = task
        task.add_done_callback(lambda _: self._done(node))

    def again(self, node: NodeId, issued: Issued | None, now: float) -> None:
        """A beat: one that could not show what it holds is asked again now and then."""
        found = self._unshown.get(node)
        if found is None or issued is None:
            return
        if found[0] != issued or now - found[1] >= AGAIN_S:
            self.claimed(node, issued, now)

    def in_doubt(self, now: float) -> bool:
        """Whether it is not known yet that this store is the newest: no new claim meanwhile."""
        return any(now - began < DOUBT_S for began in self._doubts.values())

    async def settled(self) -> None:
        """Waits for the questions that are out."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await asyncio.sleep(0)  # their ends are noted

    async def close(self) -> None:
        """Ends all questions."""
        for task in self._tasks.values():
            task.cancel()
        await self.settled()

    def _done(self, node: NodeId) -> None:
        self._tasks.pop(node, None)
        if self._doubts.pop(node, None) is not None:
            self._kick()

    async def _look(self, node: NodeId, issued: Issued) -> None:
        try:
            async with self._store.read() as view:
                if await is_known(view, node, issued):
                    self._unshown.pop(node, None)
                    return
            envelope = shown(self._identity, node, issued, await self._fetched(node))
            await mark_ahead(self._store, node, issued, envelope)
            if envelope is not None:
                self._unshown.pop(node, None)
        except Exception:  # it is asked again after a while
            LOG.exception("cannot find out what %s holds", node)

    async def _fetched(self, node: NodeId) -> bytes:
        """What the node answers; empty where there is no answer."""
        data = bytearray()
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                async for part in self._ask(node, Ask("assignment")):
                    data += part.data or b""
                    if part.error is not None or len(data) > MESSAGE_MAX:
                        return b""
        except (BusError, TimeoutError) as error:
            LOG.info("%s does not show what it holds: %s", node, error)
            return b""
        return bytes(data)
