"""The node's end of NATS: hears its assignments, questions and nudges, sends beats and reports.

`run()` connects and connects again until it is cancelled, with jittered back-off of its own, so that a fleet that lost
its hub comes back spread out. On each connection, in this order: subscribe, read the newest assignment by direct get,
call `on_assign` with it, set `connected`, call `on_connected`. So whatever was published meanwhile comes by one way or
the other, and often by both. Must never judge an assignment: bytes are handed on as they came.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from skerry_protocol import subjects
from skerry_protocol.codec import WireError, decode, encode
from skerry_protocol.ids import Region
from skerry_protocol.messages import Ask, AskPart, Beat, BeatReply, ReportBatch

from . import buslink
from .answers import Answers
from .buslink import BusError, Login, LoginRefused, NotConnected, Unanswered
from .natslib import APIError, Client, Msg, errors

log = logging.getLogger(__name__)

REFUSALS = 3
SILENCES = 2  # each takes ten seconds to show
BACK_OFF_LEAST_S = 0.25
BACK_OFF_SOON_S = 15.0  # for the first minutes: a hub that was started anew is to be found again soon
SOON_TRIES = 50
BACK_OFF_MOST_S = 60.0
REQUEST_WITHIN_S = 10.0
PROBE_WITHIN_S = 5.0
PENDING_MESSAGES = 64
PENDING_BYTES = 16 << 20
SMALL_MAX = 64 << 10
EXPECTED_STREAM = "Nats-Expected-Stream"

T = TypeVar("T")
Send = Callable[[AskPart], Awaitable[None]]


def longest() -> float:
    """How long between tries at most, for a node of which nobody waits to hear."""
    return BACK_OFF_MOST_S


async def nothing() -> None:
    """What a node that does not care does on a connection."""


@dataclass(frozen=True)
class Handlers:
    """What the bus calls. `on_assign` gets bytes of an Envelope or an AssignmentAt, from anybody, unchecked.

    `on_ask` sends parts; `send` raises BusError once nobody listens. It runs beside everything else, and is cancelled
    when the connection ends. The others hold up what comes after them. An exception of any of them is logged, no more.
    `on_shut_out`: NATS did not let this node in, REFUSALS times or more in a row; or nothing answered, SILENCES times.
    """

    on_assign: Callable[[bytes], Awaitable[None]]
    on_ask: Callable[[Ask, Send], Awaitable[None]]
    on_nudge: Callable[[], Awaitable[None]]
    on_connected: Callable[[], Awaitable[None]] = nothing
    on_shut_out: Callable[[], Awaitable[None]] = nothing


class NodeBus:
    """See the module. `connected` is set while there is a connection; `trouble` says why there is none.

    `servers` and `tls` are asked on each try, because both may change (see pinned.context and pinned.only). So is
    `most_s`, the longest wait between tries: a node that is to beat often must not be taken for lost once its hub is
    back, because it waits.
    """

    def __init__(
        self, region: Region, login: Login, servers: Callable[[], Sequence[str]], tls: Callable[[], ssl.SSLContext],
        handlers: Handlers, most_s: Callable[[], float] = longest,
    ) -> None:  # fmt: skip
        self.connected = asyncio.Event()
        self.trouble: str | None = "not connected yet"
        self.dropped = 0
        self._region = region
        self._login = login
        self._servers = servers
        self._tls = tls
        self._do = handlers
        self._most_s = most_s
        self._client: Client | None = None
        self._lost = asyncio.Event()
        self._hurry = asyncio.Event()
        self._asking: asyncio.Task[None] | None = None
        self._jitter = random.SystemRandom()

    async def run(self) -> None:
        """Keeps a connection until cancelled."""
        try:
            await self._kept_up()
        finally:
            if self._asking is not None:
                self._asking.cancel()

    async def _kept_up(self) -> None:
        failures = refusals = silences = 0
        while True:
            was_up, error = False, None
            try:
                was_up = await self._once()
                self.trouble = "the connection to NATS ended"
            except BusError as failure:
                self.trouble, error = str(failure), failure
            refusals = refusals + 1 if isinstance(error, LoginRefused) else 0
            # Where nothing answers it may be the tunnel, whose other end does not know this node any more.
            silences = silences + 1 if isinstance(error, Unanswered) else 0
            if refusals >= REFUSALS or silences >= SILENCES:
                self._shut_out()
            failures = 0 if was_up else failures + 1
            log.info("%s (trying again)", self.trouble)
            await self._back_off(failures)

    def _shut_out(self) -> None:
        """Beside the next tries: who is asked may not answer either, for long."""
        if self._asking is None or self._asking.done():
            what = "that NATS does not let this node in"
            self._asking = asyncio.create_task(_guarded(what, self._do.on_shut_out()))

    def log_in(self, login: Login) -> None:
        """Connect with these credentials from now on, and at once."""
        self._login = login
        self.reconnect()

    def reconnect(self) -> None:
        """Drop the connection, if there is one, and try at once: the network changed, or the hub does not answer."""
        self._hurry.set()
        self._lost.set()

    async def beat(self, beat: Beat, timeout_s: float = REQUEST_WITHIN_S) -> BeatReply:
        """The hub's answer. Raises BusError: not connected, no hub listens, no answer in time, or not readable."""
        client = self._up()
        try:
            reply = await self._while_up(
                client.request(subjects.beat(self._region, self._login.node), encode(beat), timeout=timeout_s)
            )
            return decode(BeatReply, reply.data, limit=SMALL_MAX)
        except errors.NoRespondersError as error:
            raise BusError("cannot beat: NATS is there, but no hub listens") from error
        except (TimeoutError, errors.TimeoutError) as error:
            await self._probe(client)
            raise BusError(f"cannot beat: no answer within {timeout_s:g} s") from error
        except WireError as error:
            raise BusError(f"cannot beat: the answer cannot be read: {error}") from error
        except (OSError, errors.Error) as error:
            raise BusError(f"cannot beat: {_text(error)}") from error

    async def newest(self) -> bytes | None:
        """The node's newest assignment on the stream, None where there is none. Raises BusError."""
        client = self._up()
        try:
            subject = subjects.direct_get(self._region, self._login.node)
            reply = await self._while_up(client.request(subject, timeout=REQUEST_WITHIN_S))
        except (TimeoutError, OSError, errors.Error) as error:
            raise BusError(f"cannot read the newest assignment: {_text(error)}") from error
        status = (reply.headers or {}).get("Status")
        if status == "404":
            return None
        if status is not None or not reply.data:
            raise BusError(f"cannot read the newest assignment: NATS answers {status or 'nothing'}")
        return reply.data

    async def report(self, batch: ReportBatch) -> None:
        """Returns when the report is stored. Raises BusError where that is not known: send the same batch again.

        The message id is made from the bytes, so that NATS takes a repeat only once, and no other node can guess it.
        """
        client = self._up()
        data = encode(batch)
        headers = {"Nats-Msg-Id": hashlib.sha256(data).hexdigest(), EXPECTED_STREAM: subjects.REPORT_STREAM}
        subject = subjects.report(self._region, self._login.node)
        try:
            stored = client.request(subject, data, timeout=REQUEST_WITHIN_S, headers=headers)
            _acknowledged((await self._while_up(stored)).data)
        except errors.NoRespondersError as error:
            raise BusError("cannot report: NATS has no place for reports yet") from error
        except APIError as error:
            raise BusError(f"cannot report: NATS refuses it: {error.description}") from error
        except (TimeoutError, OSError, ValueError, errors.Error) as error:
            raise BusError(f"cannot report: {_text(error)}") from error

    async def _while_up(self, asked: Coroutine[object, object, T]) -> T:
        """The answer. Raises BusError as soon as the connection is lost, after which none can come."""
        lost = asyncio.create_task(self._lost.wait())
        answer = asyncio.create_task(asked)
        try:
            await asyncio.wait({answer, lost}, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            raise BusError("the connection to NATS ended before the answer came")
        finally:
            lost.cancel()
            answer.cancel()
            await asyncio.gather(lost, answer, return_exceptions=True)

    async def _once(self) -> bool:
        """One connection from start to end. Whether it ever served."""
        lost = self._lost = asyncio.Event()
        client = await buslink.connect(self._servers(), self._tls(), self._login, lost.set, self._refused)
        answers = Answers(client, self._login.node, self._do.on_ask)
        try:
            buslink.heed()
            async with asyncio.TaskGroup() as group:
                start = group.create_task(self._start(client, answers))
                await lost.wait()
                start.cancel()
        except* (OSError, errors.Error) as several:
            raise BusError(f"cannot use NATS: {_text(several.exceptions[0])}") from several
        finally:
            was_up = self._client is not None
            self._client = None
            self.connected.clear()
            await answers.stop()
            await buslink.close(client)
        return was_up

    async def _start(self, client: Client, answers: Answers) -> None:
        region, node = self._region, self._login.node
        await _listen(client, subjects.assign(region, node), self._heard_assign)
        await _listen(client, subjects.ask(region, node), answers.take)
        await _listen(client, subjects.nudge(region, node), self._heard_nudge)
        await buslink.settle(client)
        self._client, self.trouble = client, None
        try:
            held = await self.newest()
        except BusError as error:
            log.info("%s (the next beat will show whether there is a newer one)", error)
            held = None
        if held is not None:
            await _guarded("an assignment", self._do.on_assign(held))
        self.connected.set()
        await _guarded("a connection", self._do.on_connected())

    async def _heard_assign(self, message: Msg) -> None:
        await _guarded("an assignment", self._do.on_assign(message.data))

    async def _heard_nudge(self, _message: Msg) -> None:
        await _guarded("a nudge", self._do.on_nudge())

    async def _probe(self, client: Client) -> None:
        """Whether the connection still carries anything. A half-open one is otherwise noticed after minutes."""
        try:
            await client.flush(timeout=int(PROBE_WITHIN_S))
        except (TimeoutError, OSError, errors.Error):
            if client is self._client:
                self._lost.set()

    async def _back_off(self, failures: int) -> None:
        """Between half and the whole of a time that doubles; `reconnect` ends it."""
        longest = BACK_OFF_SOON_S if failures <= SOON_TRIES else BACK_OFF_MOST_S
        most = min(longest, self._most_s(), BACK_OFF_LEAST_S * 2 ** min(failures, 10))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._jitter.uniform(most / 2, most)):
                await self._hurry.wait()
        self._hurry.clear()

    def _refused(self, text: str) -> None:
        self.dropped += 1
        log.warning("NATS did not permit something: %s", text)

    def _up(self) -> Client:
        if self._client is None:
            raise NotConnected(f"not connected: {self.trouble}")
        return self._client


class _Acknowledgement(msgspec.Struct, frozen=True):
    """JetStream's, as far as it is looked at. `error` has at least a code."""

    seq: int | None = None
    error: dict[str, object] | None = None


def _acknowledged(answer: bytes) -> None:
    """JetStream's word that it stored a message. Raises APIError where it did not, ValueError where it is no such word.

    As nats-py's own JetStreamContext.publish does, which brings half a megabyte of other things.
    """
    word = msgspec.json.decode(answer, type=_Acknowledgement)
    if word.error is not None:
        raise APIError.from_error(word.error)
    if word.seq is None:
        raise ValueError("what NATS answers is no acknowledgement")


async def _listen(client: Client, subject: str, heard: Callable[[Msg], Awaitable[None]]) -> None:
    await client.subscribe(
        subject, cb=heard, pending_msgs_limit=PENDING_MESSAGES, pending_bytes_limit=PENDING_BYTES
    )


async def _guarded(what: str, work: Awaitable[None]) -> None:
    """Whatever the agent makes of a message, the connection stays."""
    try:
        await work
    except Exception:
        log.exception("cannot take %s", what)


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__


__all__ = ["BusError", "Handlers", "Login", "LoginRefused", "NodeBus", "NotConnected", "Send"]
