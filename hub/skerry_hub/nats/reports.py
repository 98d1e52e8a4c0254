"""Takes reports off the stream, in order, and acknowledges each only after it was stored.

Must never store anything itself, and never acknowledge what was not: `on_report` returns after its commit. A report
that is no report is dropped, because sending it again would not mend it. One that cannot be stored comes again later;
what its node said after it waits for that, because the hub takes a node's entries in their order or not at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from skerry_protocol import subjects
from skerry_protocol.codec import WireError, decode
from skerry_protocol.ids import NODE_ID, NodeId
from skerry_protocol.messages import ReportBatch

from .link import StreamsLost, heed
from .rejects import Rejects

log = logging.getLogger(__name__)

REPORT_MAX = 512 << 10
BATCH = 128
FETCH_S = 30.0
TRIES = 5
FIRST_PAUSE_S = 0.1
LATER_S = 15.0
GONE_S = 3 * LATER_S


class OnReport(Protocol):
    """Stores reports, all of them or none; returns after the commit."""

    def __call__(self, *reports: tuple[NodeId, ReportBatch]) -> Awaitable[None]: ...


async def at_once() -> None:
    """Nothing else comes first."""


class Report(NamedTuple):
    """One of a node's on the stream."""

    message: Msg
    node: NodeId
    batch: ReportBatch
    number: int


class Waiting:
    """Reports that come again, by node and number in the stream: what follows one of them waits for it.

    Each is seen again every LATER_S; one that is not has gone from the stream, which keeps only so much, and nobody has
    to wait for it. Times: s.
    """

    def __init__(self) -> None:
        self._seen: dict[NodeId, dict[int, float]] = {}

    def is_next(self, node: NodeId, number: int, now: float) -> bool:
        """Whether nothing of this node has to come before it."""
        left = {known: at for known, at in self._seen.get(node, {}).items() if now - at < GONE_S}
        self._seen[node] = left
        return all(known >= number for known in left)

    def comes_again(self, node: NodeId, number: int, now: float) -> None:
        """It could not be taken now."""
        self._seen.setdefault(node, {})[number] = now

    def done(self, node: NodeId, number: int) -> None:
        """It was taken."""
        left = self._seen.get(node, {})
        left.pop(number, None)
        if not left:
            self._seen.pop(node, None)


async def run(
    js: JetStreamContext,
    on_report: OnReport,
    rejects: Rejects,
    turn: Callable[[], Awaitable[None]] = at_once,
) -> None:
    """Takes reports until cancelled, some after each `turn`. Raises StreamsLost where stream or consumer is gone."""
    source = await js.pull_subscribe_bind(consumer=subjects.REPORT_CONSUMER, stream=subjects.REPORT_STREAM)
    waiting = Waiting()
    try:
        while True:
            heed()
            await turn()
            found = [await _read(message, rejects) for message in await _fetch(source)]
            await _take_all([one for one in found if one is not None], on_report, rejects, waiting)
    finally:
        try:
            await source.unsubscribe()
        except nats.errors.Error:
            log.debug("the connection ended before the reports' subscription")


async def _fetch(source: JetStreamContext.PullSubscription) -> list[Msg]:
    try:
        return await source.fetch(BATCH, timeout=FETCH_S)
    except (TimeoutError, nats.errors.TimeoutError):
        await _still_there(source)
        return []
    except nats.errors.Error as error:
        raise StreamsLost(f"the stream of reports is gone: {error}") from error


async def _still_there(source: JetStreamContext.PullSubscription) -> None:
    """A fetch from a consumer that is gone ends like one that found nothing: ask, when there was nothing."""
    try:
        await source.consumer_info()
    except (TimeoutError, nats.errors.Error) as error:
        raise StreamsLost(f"the stream of reports is gone: {error}") from error


async def _read(message: Msg, rejects: Rejects) -> Report | None:
    """The report; None where it is none, which is then off the stream."""
    node = subjects.node_of(message.subject)
    if node == subjects.NOBODY:
        await message.ack()
        return None
    try:
        if NODE_ID.fullmatch(node) is None:
            raise WireError("the subject names no node")
        batch = decode(ReportBatch, message.data, limit=REPORT_MAX)
    except WireError as error:
        rejects.add(node, "report", str(error))
        await message.term()
        return None
    return Report(message, node, batch, message.metadata.sequence.stream)


async def _take_all(
    reports: Sequence[Report], on_report: OnReport, rejects: Rejects, waiting: Waiting
) -> None:
    """In one commit where that can be: after a change thousands come at once. Else each by itself, so that one that
    cannot be stored holds up no other node's."""
    now = asyncio.get_running_loop().time()
    if len(reports) > 1 and all(waiting.is_next(one.node, one.number, now) for one in reports):
        try:
            await on_report(*((one.node, one.batch) for one in reports))
        except Exception as error:  # noqa: BLE001 - whatever the store raises, the reports must not be lost
            what = "report, with others, that could not be stored"
            rejects.add(reports[0].node, what, f"{type(error).__name__}: {error}")
        else:
            for one in reports:
                await one.message.ack()
                waiting.done(one.node, one.number)
            return
    for one in reports:
        await _take(one, on_report, rejects, waiting)


async def _take(one: Report, on_report: OnReport, rejects: Rejects, waiting: Waiting) -> None:
    loop = asyncio.get_running_loop()
    if waiting.is_next(one.node, one.number, loop.time()) and await _stored(one, on_report, rejects):
        await one.message.ack()
        waiting.done(one.node, one.number)
    else:
        await one.message.nak(delay=LATER_S)
        waiting.comes_again(one.node, one.number, loop.time())


async def _stored(one: Report, on_report: OnReport, rejects: Rejects) -> bool:
    """Whether it was stored within a few tries. Later ones wait meanwhile, because their order counts."""
    for attempt in range(TRIES):
        try:
            await on_report((one.node, one.batch))
        except Exception as error:  # noqa: BLE001 - whatever the store raises, the report must not be lost
            rejects.add(one.node, "report that could not be stored", f"{type(error).__name__}: {error}")
            await asyncio.sleep(FIRST_PAUSE_S * 2**attempt)
        else:
            return True
    return False
