"""Gets the newest assignment of each node onto the stream. Keeps no queue, only the set of nodes that have one to send.

The bytes are read when they are sent, one message at a time for a node, each with the sequence that the subject is
expected to have: two that race cannot put an older one over a newer. Must never make or change an assignment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial

from nats.js import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from skerry_protocol import subjects
from skerry_protocol.codec import encode
from skerry_protocol.ids import NodeId, Region
from skerry_protocol.messages import AssignmentAt

from ..model import AssignmentRow
from .link import StreamsLost, heed

log = logging.getLogger(__name__)

INLINE_MAX = 256_000
# What waits for its acknowledgement at once. After a change to all, each node that has it beats twice and reports: with
# few under way, those who have it would take the hub's time from those who wait.
AT_ONCE = 2_048
LOOKS_AT_ONCE = (
    128  # a new connection looks at all: nothing that may hold up the beats of those who come back
)
PAUSE_S = 0.5
YIELD_S = 2.0
SENT_WITHIN_S = 3.0  # a stream that is gone shows only so, because the node itself listens there
WRONG_LAST_SEQUENCE = 10_071
NO_MESSAGE = 10_037
EXPECTED_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"

Newest = Callable[[NodeId], Awaitable[AssignmentRow | None]]
MayReplace = Callable[[NodeId, bytes], Awaitable[bool]]


def wire(row: AssignmentRow) -> bytes:
    """What travels: the envelope, or where to fetch it if it is over INLINE_MAX."""
    if len(row.envelope) <= INLINE_MAX:
        return row.envelope
    return encode(AssignmentAt(row.issued, len(row.envelope)))


class Publisher:
    """The set of nodes to publish, and a task for each that is being sent.

    `may_replace` sees what the stream holds for a node before this hub first writes there, where it is not what would
    be written; False leaves it (a restored hub finds out that way).
    """

    def __init__(self, region: Region, newest: Newest, may_replace: MayReplace) -> None:
        self.sent = 0
        self._region = region
        self._newest = newest
        self._may_replace = may_replace
        self._wanted: dict[NodeId, None] = {}
        self._busy: set[NodeId] = set()
        self._again: set[NodeId] = set()  # of those: wanted once more meanwhile
        self._sequences: dict[NodeId, int] = {}
        self._looks = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._work = asyncio.Event()
        self._idle = asyncio.Event()  # nothing waits
        self._idle.set()

    @property
    def waiting(self) -> frozenset[NodeId]:
        """The nodes whose newest assignment is not on the stream yet."""
        return frozenset(self._wanted) | self._busy

    async def drained(self) -> None:
        """Returns when all is sent, or after YIELD_S: what else can wait for that long has its turn then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(YIELD_S):
                await self._idle.wait()

    def want(self, nodes: Iterable[NodeId]) -> None:
        """Publish the newest assignment of these nodes, now or as soon as there is a connection."""
        self._wanted.update(dict.fromkeys(nodes))
        if self._wanted:
            self._idle.clear()
            self._work.set()

    async def run(self, js: JetStreamContext) -> None:
        """Sends until cancelled. Raises StreamsLost where the stream is gone; what was not sent is still wanted."""
        self._sequences.clear()
        async with asyncio.TaskGroup() as group:
            while True:
                heed()
                node = await self._take()
                group.create_task(self._one(js, node)).add_done_callback(partial(self._over, node))

    async def _take(self) -> NodeId:
        """The next node, which is busy from then on."""
        while True:
            while self._wanted and len(self._busy) < AT_ONCE:
                node = next(iter(self._wanted))
                del self._wanted[node]
                if node not in self._busy:
                    self._busy.add(node)
                    return node
                self._again.add(node)
            self._work.clear()
            await self._work.wait()

    async def _one(self, js: JetStreamContext, node: NodeId) -> bool:
        sent = await self._send(js, node)
        if not sent:
            await asyncio.sleep(PAUSE_S)
        return sent

    def _over(self, node: NodeId, task: asyncio.Task[bool]) -> None:
        """However it ended; a task that was cancelled before it began comes here too."""
        sent = not task.cancelled() and task.exception() is None and task.result()
        self._busy.discard(node)
        if not sent or node in self._again:
            self._again.discard(node)
            self.want([node])
        self._work.set()
        if not self._wanted and not self._busy:
            self._idle.set()

    async def _send(self, js: JetStreamContext, node: NodeId) -> bool:
        """Whether the node's newest is on the stream, or is not to be."""
        try:
            return await self._publish(js, node)
        except StreamsLost:
            raise
        except Exception as error:  # noqa: BLE001 - what one node's store row or subject does must not stop the rest
            self._sequences.pop(node, None)  # whether it arrived is not known
            log.warning("cannot publish the assignment of %s: %s (it is tried again)", node, error)
            return False

    async def _publish(self, js: JetStreamContext, node: NodeId) -> bool:
        subject = subjects.assign(self._region, node)
        row = await self._newest(node)
        if row is None:
            return True
        data = wire(row)
        if node not in self._sequences and not await self._look(js, node, data):
            return True  # it is there already, or is not to be
        headers = {EXPECTED_SEQUENCE: str(self._sequences[node])}
        try:
            done = await js.publish(
                subject, data, timeout=SENT_WITHIN_S, stream=subjects.ASSIGN_STREAM, headers=headers
            )
        except NoStreamResponseError as error:
            raise StreamsLost("the stream of assignments is gone") from error
        except APIError as error:
            if error.err_code != WRONG_LAST_SEQUENCE:
                raise
            del self._sequences[node]  # somebody else wrote there: look at it, then decide again
            return False
        self._sequences[node] = done.seq
        self.sent += 1
        return True

    async def _look(self, js: JetStreamContext, node: NodeId, data: bytes) -> bool:
        """Learns the subject's sequence. Whether something else is there, and may be replaced."""
        try:
            async with self._looks:
                last = await js.get_last_msg(subjects.ASSIGN_STREAM, subjects.assign(self._region, node))
        except NotFoundError as error:
            if error.err_code != NO_MESSAGE:
                raise StreamsLost("the stream of assignments is gone") from error
            self._sequences[node] = 0
            return True
        held = last.data or b""
        if held == data:
            self._sequences[node] = last.seq or 0
            return False  # whoever missed it reads it from there, as the next beat tells him to
        if not await self._may_replace(node, held):
            return False
        self._sequences[node] = last.seq or 0
        return True
