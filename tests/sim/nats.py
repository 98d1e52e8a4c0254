"""A NATS for simulations: as much of server, JetStream and client as Skerry leans on, over wires that may be bad.

Stands in for `nats.aio.client.Client` behind the two places that connect. Everything is bytes, as on the real one; who
may say what is not checked here. Each message from or to a client goes over that client's `Wire`, which decides when it
arrives, how often, and whether at all. A server that is killed keeps its streams; `wipe` loses them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field
from typing import Protocol

import nats.errors
from nats.js.api import ConsumerConfig, PubAck, RawStreamMsg, StreamConfig
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
DIRECT_GET = "$JS.API.DIRECT.GET."
NO_RESPONDERS = {"Status": "503"}
REQUEST_S = 5.0

Callback = Callable[["Msg"], Awaitable[None]]


class Wire(Protocol):
    """What lies between a client and the server."""

    def carry(self, up: bool, arrive: Callable[[], None]) -> None:
        """Calls `arrive` now, later, more than once, or never. `up`: towards the server."""


@dataclass
class Msg:
    """A message as a callback sees it."""

    client: Client
    subject: str
    data: bytes
    reply: str = ""
    headers: dict[str, str] | None = None
    seq: int = 0

    async def respond(self, data: bytes) -> None:
        """Answers a request."""
        await self.client.publish(self.reply, data)

    async def ack(self) -> None:
        """A report was taken."""
        self.client.settle(self.seq, again_s=None)

    async def term(self) -> None:
        """A report is not to come again."""
        await self.ack()

    async def nak(self, delay: float = 0) -> None:
        """A report is to come again."""
        self.client.settle(self.seq, again_s=delay)


@dataclass
class Stream:
    """Messages by subject (`last` only), or in order."""

    config: StreamConfig
    last: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    queue: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    seq: int = 0
    ids: set[str] = field(default_factory=set)

    @property
    def ordered(self) -> bool:
        """Whether it keeps every message until it is taken."""
        return self.config.max_msgs_per_subject != 1

    def captures(self, subject: str) -> bool:
        """Whether a message on this subject is stored here."""
        return any(fits(pattern, subject) for pattern in self.config.subjects or ())


class Server:
    """One nats-server. `up` False: nobody is connected."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.up = True
        self.streams: dict[str, Stream] = {}
        self.clients: dict[Client, None] = {}
        self.more = asyncio.Event()

    def kill(self) -> None:
        """As by SIGKILL; what was acknowledged is on disk."""
        self.up = False
        for client in tuple(self.clients):
            client.lose()

    def start(self) -> None:
        """It listens again."""
        self.up = True

    def wipe(self) -> None:
        """The store is gone."""
        self.streams.clear()

    def route(self, subject: str, data: bytes, reply: str, headers: dict[str, str]) -> None:
        """A message has come from a client."""
        if not self.up:
            return
        if subject.startswith(DIRECT_GET):
            self._direct_get(subject.removeprefix(DIRECT_GET), reply)
            return
        stored = next((one for one in self.streams.values() if one.captures(subject)), None)
        if stored is not None:
            self._store(stored, subject, data, reply, headers)
        heard = self._spread(subject, data, reply)
        if reply and stored is None and not heard:
            self._spread(reply, b"", "", NO_RESPONDERS)

    def _spread(self, subject: str, data: bytes, reply: str, headers: dict[str, str] | None = None) -> bool:
        heard = False
        for client in tuple(self.clients):
            if any(fits(pattern, subject) for pattern in client.patterns()):
                heard = True
                client.wire.carry(False, lambda c=client: c.deliver(subject, data, reply, headers))  # type: ignore[misc]
        return heard

    def _store(self, stream: Stream, subject: str, data: bytes, reply: str, headers: dict[str, str]) -> None:
        expected = headers.get(EXPECTED)
        before = stream.last.get(subject, (0, b""))[0]
        if expected is not None and int(expected) != before:
            error = {"code": 400, "err_code": 10071, "description": f"wrong last sequence: {before}"}
            self._spread(reply, json.dumps({"error": error}).encode(), "")
            return
        name = headers.get("Nats-Msg-Id", "")
        if not name or name not in stream.ids:
            stream.ids.add(name)
            stream.seq += 1
            stream.last[subject] = (stream.seq, data)
            if stream.ordered:
                stream.queue[stream.seq] = (subject, data)
                self.more.set()
        if reply:
            self._spread(reply, json.dumps({"stream": stream.config.name, "seq": stream.seq}).encode(), "")

    def _direct_get(self, rest: str, reply: str) -> None:
        name, _, subject = rest.partition(".")
        found = self.streams[name].last.get(subject) if name in self.streams else None
        if name not in self.streams:
            self._spread(reply, b"", "", NO_RESPONDERS)
        else:
            self._spread(reply, found[1] if found else b"", "", None if found else {"Status": "404"})


class Subscription:
    """What `subscribe` gives."""

    def __init__(self, client: Client, subject: str, cb: Callback | None) -> None:
        self.client, self.subject, self.cb = client, subject, cb
        self.queue: asyncio.Queue[Msg] = asyncio.Queue()
        self.task = asyncio.create_task(self._run()) if cb is not None else None

    async def _run(self) -> None:
        assert self.cb is not None
        while True:
            await self.cb(await self.queue.get())

    async def next_msg(self, timeout: float = 1.0) -> Msg:
        """The next message."""
        try:
            return await asyncio.wait_for(self.queue.get(), timeout)
        except TimeoutError:
            raise nats.errors.TimeoutError from None

    async def unsubscribe(self) -> None:
        """No more."""
        self.client.subscriptions.pop(self, None)
        if self.task is not None:
            self.task.cancel()


class Client:
    """A connection. `lost` is called once it is no use."""

    def __init__(self, server: Server, wire: Wire, lost: Callable[[], None], name: str) -> None:
        self.server, self.wire, self.lost, self.name = server, wire, lost, name
        self.subscriptions: dict[Subscription, None] = {}
        self.closed = False
        self._requests: dict[str, asyncio.Future[Msg]] = {}
        self._number = 0

    def patterns(self) -> list[str]:
        """What it listens to."""
        return [one.subject for one in self.subscriptions] + list(self._requests)

    def lose(self) -> None:
        """The connection is gone, and this end notices."""
        self._close()
        self.lost()

    def _close(self) -> None:
        self.closed = True
        self.server.clients.pop(self, None)
        for one in tuple(self.subscriptions):
            if one.task is not None:
                one.task.cancel()
        self.subscriptions.clear()

    def deliver(self, subject: str, data: bytes, reply: str, headers: dict[str, str] | None) -> None:
        """A message has come over the wire."""
        if self.closed:
            return
        message = Msg(self, subject, data, reply, headers)
        if (waiting := self._requests.get(subject)) is not None:
            if not waiting.done():
                waiting.set_result(message)
            return
        for one in tuple(self.subscriptions):
            if fits(one.subject, subject):
                one.queue.put_nowait(message)

    def new_inbox(self) -> str:
        """A subject of its own."""
        self._number += 1
        return f"_INBOX.{self.name}.{self._number}"

    async def subscribe(self, subject: str, cb: Callback | None = None, **_: object) -> Subscription:
        """Hears a subject."""
        self._check()
        one = Subscription(self, subject, cb)
        self.subscriptions[one] = None
        return one

    async def publish(
        self, subject: str, data: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Sends a message."""
        self._check()
        self.wire.carry(True, lambda: self.server.route(subject, data, reply, headers or {}))

    async def request(
        self,
        subject: str,
        data: bytes = b"",
        timeout: float = REQUEST_S,
        headers: dict[str, str] | None = None,
        inbox: str = "",
    ) -> Msg:
        """Sends a message and awaits the first answer. Raises TimeoutError and NoRespondersError of nats.errors."""
        self._number += 1
        reply = f"{self.name}.{self._number}"
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
        self._check()
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
        self._close()

    def settle(self, seq: int, again_s: float | None) -> None:
        """A report was taken, or is to come again."""
        for stream in self.server.streams.values():
            if again_s is None and not self.closed:
                stream.queue.pop(seq, None)
        if again_s is not None:
            self.server.loop.call_later(again_s, self.server.more.set, context=Context())

    def jetstream(self, **_: object) -> JetStream:
        """Streams."""
        return JetStream(self)

    def _check(self) -> None:
        if self.closed:
            raise nats.errors.ConnectionClosedError


class JetStream:
    """Streams, as far as they are used."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._server = client.server

    async def stream_info(self, name: str) -> object:
        """Raises NotFoundError where it is not there."""
        self._client._check()
        if name not in self._server.streams:
            raise NotFoundError
        return object()

    async def add_stream(self, config: StreamConfig) -> None:
        """A new stream."""
        assert config.name is not None
        self._server.streams[config.name] = Stream(config)

    async def update_stream(self, config: StreamConfig) -> None:
        """Its settings."""

    async def add_consumer(self, _stream: str, _config: ConsumerConfig) -> None:
        """Reports are taken in order by whoever fetches."""

    async def publish(
        self,
        subject: str,
        data: bytes,
        timeout: float = REQUEST_S,
        stream: str = "",
        headers: dict[str, str] | None = None,
    ) -> PubAck:
        """Returns when it is stored."""
        try:
            answer = await self._client.request(subject, data, timeout, headers)
        except nats.errors.NoRespondersError:
            raise NoStreamResponseError from None
        found = json.loads(answer.data or b"{}")
        if "error" in found:
            raise APIError.from_error(found["error"])
        if "stream" not in found:
            raise NoStreamResponseError
        return PubAck(stream=found["stream"], seq=found["seq"])

    async def get_last_msg(self, name: str, subject: str) -> RawStreamMsg:
        """The newest message on a subject."""
        self._client._check()
        if name not in self._server.streams:
            raise NotFoundError(code=404, err_code=10059)
        found = self._server.streams[name].last.get(subject)
        if found is None:
            raise NotFoundError(code=404, err_code=10037)
        return RawStreamMsg(subject=subject, seq=found[0], data=found[1])

    async def pull_subscribe_bind(self, consumer: str, stream: str) -> Pull:
        """Takes reports."""
        return Pull(self._client, stream)


class Pull:
    """The consumer of reports."""

    def __init__(self, client: Client, stream: str) -> None:
        self._client, self._stream = client, stream

    async def fetch(self, batch: int, timeout: float) -> list[Msg]:
        """The next reports; waits for one."""
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            self._client._check()
            if self._stream not in self._client.server.streams:
                raise nats.errors.ConnectionClosedError
            queue = self._client.server.streams[self._stream].queue
            if queue:
                return [
                    Msg(self._client, subject, data, seq=seq)
                    for seq, (subject, data) in list(queue.items())[:batch]
                ]
            self._client.server.more.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._client.server.more.wait()
            except TimeoutError:
                raise nats.errors.TimeoutError from None

    async def consumer_info(self) -> object:
        """Raises where it is gone."""
        self._client._check()
        if self._stream not in self._client.server.streams:
            raise nats.errors.Error
        return object()

    async def unsubscribe(self) -> None:
        """No more."""


def fits(pattern: str, subject: str) -> bool:
    """NATS's wildcards."""
    if pattern == subject:
        return True
    want, have = pattern.split("."), subject.split(".")
    for index, word in enumerate(want):
        if word == ">":
            return len(have) > index
        if index >= len(have) or word not in {"*", have[index]}:
            return False
    return len(want) == len(have)
