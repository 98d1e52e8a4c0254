"""JetStream as a client of the simulated NATS sees it: `nats.js.JetStreamContext`, as far as Skerry uses it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import nats.errors
from nats.js.api import ConsumerConfig, PubAck, RawStreamMsg, StreamConfig
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError, ServiceUnavailableError

from .natsserver import EXPECTED_STREAM, Consumer, Stream

if TYPE_CHECKING:
    from .nats import Client, Msg

REQUEST_S = 5.0
NO_STREAM, NO_CONSUMER, NO_MESSAGE = 10_059, 10_014, 10_037


class JetStream:
    """See the module. What it asks of the server is answered at once, if there is a connection."""

    def __init__(self, client: Client, timeout: float) -> None:
        self._client, self._timeout = client, timeout

    def _stream(self, name: str) -> Stream:
        self._client.check()
        stream = self._client.server.streams.get(name)
        if stream is None:
            raise NotFoundError(code=404, err_code=NO_STREAM, description="stream not found")
        return stream

    async def stream_info(self, name: str) -> object:
        """Raises NotFoundError where it is not there."""
        return self._stream(name)

    async def add_stream(self, config: StreamConfig) -> None:
        """A new stream."""
        self._client.check()
        assert config.name is not None
        self._client.server.streams.setdefault(config.name, Stream(config))

    async def update_stream(self, config: StreamConfig) -> None:
        """Its settings."""
        assert config.name is not None
        self._stream(config.name).config = config

    async def add_consumer(self, stream: str, config: ConsumerConfig) -> None:
        """One that is there keeps its place."""
        assert config.durable_name is not None
        consumers = self._stream(stream).consumers
        consumers.setdefault(config.durable_name, Consumer(config)).config = config

    async def delete_consumer(self, stream: str, consumer: str) -> bool:
        """What it had out is nobody's then. Raises NotFoundError."""
        if self._stream(stream).consumers.pop(consumer, None) is None:
            raise NotFoundError(code=404, err_code=NO_CONSUMER, description="consumer not found")
        return True

    async def publish(
        self,
        subject: str,
        data: bytes = b"",
        timeout: float | None = None,
        stream: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> PubAck:
        """Returns when it is stored."""
        sent = dict(headers or {})
        if stream is not None:
            sent[EXPECTED_STREAM] = stream
        try:
            answer = await self._client.request(subject, data, timeout or self._timeout, sent)
        except nats.errors.NoRespondersError:
            raise NoStreamResponseError from None
        found = json.loads(answer.data)
        if "error" in found:
            raise APIError.from_error(found["error"])
        return PubAck.from_response(found)

    async def get_last_msg(self, name: str, subject: str) -> RawStreamMsg:
        """The newest message on a subject."""
        found = self._stream(name).last.get(subject)
        if found is None:
            raise NotFoundError(code=404, err_code=NO_MESSAGE, description="no message found")
        return RawStreamMsg(subject=subject, seq=found[0], data=found[1])

    async def pull_subscribe_bind(self, consumer: str, stream: str) -> Pull:
        """Takes messages. Nothing is asked of the server yet."""
        self._client.check()
        return Pull(self._client, stream, consumer)


class Pull:
    """A way to fetch from a consumer."""

    def __init__(self, client: Client, stream: str, consumer: str) -> None:
        self._client, self._stream, self._consumer = client, stream, consumer

    def _there(self) -> tuple[Stream, Consumer] | None:
        self._client.check()
        stream = self._client.server.streams.get(self._stream)
        consumer = stream.consumers.get(self._consumer) if stream is not None else None
        return None if stream is None or consumer is None else (stream, consumer)

    async def fetch(self, batch: int = 1, timeout: float = 5.0) -> list[Msg]:
        """The next messages; waits for one. Raises TimeoutError of nats.errors."""
        loop, server = asyncio.get_running_loop(), self._client.server
        deadline = loop.time() + timeout
        while True:
            there = self._there()
            if there is None:
                raise ServiceUnavailableError(code=503)
            stream, consumer = there
            if chosen := consumer.take(stream.queue, batch, loop.time()):
                return [self._message(stream, consumer, seq) for seq in chosen]
            server.more.clear()
            wake = min([deadline, *consumer.due.values()])
            try:
                async with asyncio.timeout_at(wake):
                    await server.more.wait()
            except TimeoutError:
                if loop.time() >= deadline:
                    raise nats.errors.TimeoutError from None

    def _message(self, stream: Stream, consumer: Consumer, seq: int) -> Msg:
        subject, data = stream.queue[seq]

        def settle(again_s: float | None) -> None:
            server = self._client.server
            if again_s is None:
                consumer.due.pop(seq, None)
                stream.queue.pop(seq, None)
            elif seq in consumer.due:
                consumer.due[seq] = server.loop.time() + again_s
                server.more.set()

        return self._client.message(subject, data, seq, settle)

    async def consumer_info(self) -> object:
        """Raises NotFoundError where it is gone."""
        if self._there() is None:
            raise NotFoundError(code=404, err_code=NO_CONSUMER)
        return object()

    async def unsubscribe(self) -> None:
        """No more. Raises ConnectionClosedError."""
        self._client.check()
