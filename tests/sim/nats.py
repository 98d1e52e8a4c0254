"""A NATS for simulations, the client's half: as much of `nats.aio.client.Client` as Skerry leans on, over bad wires.

Stands in behind the two places that connect. Everything is bytes, as on the real one. Each message from or to a client
goes over that client's `Wire`, which decides when it arrives, how often, and whether at all. That it does as the real
client and server do is shown by `nats_conformance`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import nats.errors

from .jetstream import REQUEST_S, JetStream
from .natsserver import NO_RESPONDERS, Headers, Server, fits

log = logging.getLogger(__name__)

MAX_PAYLOAD = 1 << 20
PENDING_MESSAGES = 512 << 10
PENDING_BYTES = 128 << 20

Callback = Callable[["Msg"], Awaitable[None]]


class Wire(Protocol):
    """What lies between a client and the server."""

    def carry(self, up: bool, arrive: Callable[[], None]) -> None:
        """Calls `arrive` now, later, more than once, or never. `up`: towards the server."""


@dataclass(frozen=True)
class Sequence:
    """See nats.aio.msg.Msg.Metadata."""

    stream: int


@dataclass(frozen=True)
class Metadata:
    """See nats.aio.msg.Msg.Metadata."""

    sequence: Sequence


@dataclass
class Msg:
    """A message as a callback sees it. `settle`: what becomes of it in its stream, where it is of one."""

    client: Client
    subject: str
    data: bytes
    reply: str = ""
    headers: Headers | None = None
    settle: Callable[[float | None], None] | None = None
    seq: int = 0

    @property
    def metadata(self) -> Metadata:
        """Where it is in its stream."""
        return Metadata(Sequence(self.seq))

    async def respond(self, data: bytes) -> None:
        """Answers a request."""
        if not self.reply:
            raise nats.errors.Error("no reply subject available")
        await self.client.publish(self.reply, data)

    def _settle(self, again_s: float | None) -> None:
        """The word goes over the wire, and may be lost on it."""
        if self.settle is None:
            raise nats.errors.NotJSMessageError
        self.client.check()
        settle, server = self.settle, self.client.server
        self.client.wire.carry(True, lambda: settle(again_s) if server.up else None)

    async def ack(self) -> None:
        """It was taken."""
        self._settle(None)

    async def term(self) -> None:
        """It is not to come again."""
        self._settle(None)

    async def nak(self, delay: float | None = None) -> None:
        """It is to come again, after so many seconds."""
        self._settle(delay or 0.0)


class Subscription:
    """What `subscribe` gives. More than the limits allow to wait is dropped, as by the real client."""

    def __init__(self, client: Client, subject: str, cb: Callback | None, limits: tuple[int, int]) -> None:
        self.client, self.subject, self.cb = client, subject, cb
        self._most, self._most_bytes = limits
        self._bytes = 0
        self._queue: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._run(cb)) if cb is not None else None

    def put(self, message: Msg) -> None:
        """A message has come."""
        if self._queue.qsize() < self._most and self._bytes + len(message.data) < self._most_bytes:
            self._bytes += len(message.data)
            self._queue.put_nowait(message)

    async def _get(self) -> Msg:
        message = await self._queue.get()
        if message is None:
            raise nats.errors.ConnectionClosedError
        self._bytes -= len(message.data)
        return message

    async def _run(self, cb: Callback) -> None:
        while True:
            message = await self._get()
            try:
                await cb(message)
            except Exception:  # the real client goes on, too
                log.exception("a callback failed")

    async def next_msg(self, timeout: float | None = 1.0) -> Msg:
        """The next message. Raises TimeoutError and ConnectionClosedError of nats.errors."""
        self.client.check()
        try:
            return await asyncio.wait_for(self._get(), timeout)
        except TimeoutError:
            raise nats.errors.TimeoutError from None

    async def unsubscribe(self) -> None:
        """No more. Raises ConnectionClosedError."""
        self.client.check()
        self.client.leave(self)
        self.stop()

    def stop(self) -> None:
        """Nothing is handed on any more; who waits for a message hears why there is none."""
        if self._task is not None:
            self._task.cancel()
        else:
            self._queue.put_nowait(None)


class Client:
    """A connection. `lost` is called once it is no use. `inbox`: the prefix of its reply subjects."""

    def __init__(self, server: Server, wire: Wire, lost: Callable[[], None], inbox: str) -> None:
        self.server, self.wire, self.lost, self.inbox = server, wire, lost, inbox
        self.is_closed = False
        self._subscriptions: dict[Subscription, None] = {}
        self._patterns: set[str] = set()
        self._requests: dict[str, asyncio.Future[Msg]] = {}

    # What the server does with it

    def hears(self, subject: str) -> bool:
        """Whether a message on this subject is for it."""
        if subject in self._requests or subject in self._patterns:
            return True
        return any(fits(pattern, subject) for pattern in self._patterns if "*" in pattern or ">" in pattern)

    def send(self, subject: str, data: bytes, reply: str, headers: Headers | None) -> None:
        """From the server, over the wire."""
        self.wire.carry(False, partial(self._deliver, subject, data, reply, headers))

    def lose(self) -> None:
        """The connection is gone, and this end notices."""
        self.is_closed = True
        self.server.clients.pop(self, None)
        self.server.more.set()
        for one in self._subscriptions:
            one.stop()
        self._subscriptions.clear()
        self._patterns.clear()
        self.lost()

    def _deliver(self, subject: str, data: bytes, reply: str, headers: Headers | None) -> None:
        """A message has come over the wire."""
        if self.is_closed:
            return
        message = Msg(self, subject, data, reply, headers)
        if (waiting := self._requests.get(subject)) is not None:
            if not waiting.done():
                waiting.set_result(message)
            return
        for one in tuple(self._subscriptions):
            if fits(one.subject, subject):
                one.put(message)

    # What its owner does with it

    def check(self) -> None:
        """Raises ConnectionClosedError."""
        if self.is_closed:
            raise nats.errors.ConnectionClosedError

    def message(self, subject: str, data: bytes, seq: int, settle: Callable[[float | None], None]) -> Msg:
        """One of a stream."""
        return Msg(self, subject, data, settle=settle, seq=seq)

    def new_inbox(self) -> str:
        """A subject of its own, also where two clients have one prefix."""
        return f"{self.inbox}.{next(self.server.numbers)}"

    async def subscribe(
        self,
        subject: str,
        cb: Callback | None = None,
        pending_msgs_limit: int = PENDING_MESSAGES,
        pending_bytes_limit: int = PENDING_BYTES,
    ) -> Subscription:
        """Hears a subject."""
        self.check()
        one = Subscription(self, subject, cb, (pending_msgs_limit, pending_bytes_limit))
        self._subscriptions[one] = None
        self._patterns.add(subject)
        return one

    def leave(self, one: Subscription) -> None:
        """That subscription ends."""
        self._subscriptions.pop(one, None)
        self._patterns = {other.subject for other in self._subscriptions}

    async def publish(
        self, subject: str, data: bytes = b"", reply: str = "", headers: Headers | None = None
    ) -> None:
        """Sends a message."""
        self.check()
        if len(data) > MAX_PAYLOAD:
            raise nats.errors.MaxPayloadError
        self.wire.carry(True, partial(self.server.route, subject, data, reply, headers or {}))

    async def request(
        self, subject: str, data: bytes = b"", timeout: float = REQUEST_S, headers: Headers | None = None
    ) -> Msg:
        """Sends a message and awaits the first answer. Raises TimeoutError and NoRespondersError of nats.errors."""
        reply = self.new_inbox()
        waiting = self._requests[reply] = asyncio.get_running_loop().create_future()
        try:
            await self.publish(subject, data, reply, headers)
            message = await asyncio.wait_for(waiting, timeout)
        except TimeoutError:
            raise nats.errors.TimeoutError from None
        finally:
            del self._requests[reply]
        if message.headers == NO_RESPONDERS:
            raise nats.errors.NoRespondersError
        return message

    async def flush(self, timeout: float = 10.0) -> None:
        """A round trip."""
        self.check()
        there = asyncio.get_running_loop().create_future()

        def back() -> None:
            if not there.done():
                there.set_result(None)

        self.wire.carry(True, lambda: self.wire.carry(False, back) if self.server.up else None)
        try:
            await asyncio.wait_for(there, timeout)
        except TimeoutError:
            raise nats.errors.TimeoutError from None

    async def close(self) -> None:
        """Ends the connection."""
        if not self.is_closed:
            self.lose()

    def jetstream(self, timeout: float = REQUEST_S, **_: object) -> JetStream:
        """Streams."""
        return JetStream(self, timeout)


__all__ = ["Client", "Msg", "Server", "Subscription", "Wire"]
