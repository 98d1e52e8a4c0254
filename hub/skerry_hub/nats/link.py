"""One connection of the hub to NATS, and the streams behind it.

Owns how the hub connects (its own back-off, because the client's gives up and never comes back from a refusal) and the
settings of both streams. Must never decide what is sent.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import nats
import nats.errors
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    PersistMode,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NotFoundError, ServerError

from skerry_protocol import subjects
from skerry_protocol.ids import Region

log = logging.getLogger(__name__)

CONNECT_WITHIN_S = 10.0
CLOSE_WITHIN_S = 1.0  # a connection whose handshake failed never says that it is closed
REQUEST_WITHIN_S = 10.0
ACK_WITHIN_S = 120.0
REPORTS_PER_NODE = 1_000
REPORTS_BYTES = 1 << 30
DEDUP_S = 120.0


class BusError(RuntimeError):
    """NATS did not do what was asked; the text says what and why."""


class StreamsLost(BusError):
    """A stream or its consumer is not there any more: connect again, which makes it anew."""


class Telling(Client):
    """As the library has it, but its end is always told.

    The library says that a connection is closed, then writes what is still to be written; where that fails because the
    other end is gone, it comes to none of its callbacks, and whoever waits for one waits for ever. `closed_cb` may be
    called twice.
    """

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        try:
            await super()._close(status, do_cbs)
        finally:
            if do_cbs and self._closed_cb is not None:
                await self._closed_cb()


def client_tls(certificate: Path) -> ssl.SSLContext:
    """TLS towards a server that shows exactly the hub's own certificate, under whatever name."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=certificate)
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


async def connect(
    servers: Sequence[str], tls: ssl.SSLContext, token: str, key: bytes, lost: Callable[[], None]
) -> Client:
    """A client that says it is `token`'s user, proven by its raw private key. Calls `lost` once it is no use.

    Raises BusError, also when nothing answers within CONNECT_WITHIN_S.
    """
    client = Telling()
    private = Ed25519PrivateKey.from_private_bytes(key)
    heard: list[str] = []

    async def on_error(error: Exception) -> None:
        heard[:] = [str(error) or type(error).__name__]
        log.debug("NATS: %s", heard[0])

    async def on_end() -> None:
        lost()

    try:
        async with asyncio.timeout(CONNECT_WITHIN_S):
            await client.connect(
                list(servers), tls=tls, tls_handshake_first=True, tls_hostname="skerry-hub",
                user_jwt_cb=lambda: bytearray(token.encode()),
                signature_cb=lambda nonce: base64.b64encode(private.sign(nonce.encode())),
                inbox_prefix=subjects.HUB_INBOX.encode(), name="skerry-hub", allow_reconnect=False,
                max_reconnect_attempts=1, reconnect_time_wait=1, connect_timeout=5, ping_interval=20,
                error_cb=on_error, disconnected_cb=on_end, closed_cb=on_end,
            )  # fmt: skip
    except (TimeoutError, OSError, nats.errors.Error) as error:
        await close(client)
        reason = str(error) or (heard[0] if heard else "no answer")
        raise BusError(f"cannot reach NATS at {', '.join(servers)}: {reason}") from error
    except BaseException:
        await close(client)
        raise
    return client


async def settle(client: Client) -> None:
    """Returns when the server has taken all that was sent before. Raises nats.errors.Error.

    Twice, because the client's own flush writes its PING at once, ahead of what still waits to be written: only the
    second comes after that. A subscription might otherwise be missing for a moment more.
    """
    for _ in range(2):
        await client.flush()


async def close(client: Client) -> None:
    """Ends the connection, whatever state it is in."""
    with suppress(TimeoutError, OSError, nats.errors.Error):
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await client.close()


async def ensure_streams(js: JetStreamContext, region: Region) -> bool:
    """Makes both streams where they are missing, and the consumer. Whether the stream of assignments is new.

    The consumer is made anew: to the old one a report that a hub fetched and did not live to store is out for
    ACK_WITHIN_S, and those after it would come first. Raises BusError where JetStream is not there.
    """
    try:
        new = await _ensure(js, _assign_stream(region), in_the_store=True)
        await _ensure(js, _report_stream(region))
        with suppress(NotFoundError):
            await js.delete_consumer(subjects.REPORT_STREAM, subjects.REPORT_CONSUMER)
        await js.add_consumer(subjects.REPORT_STREAM, _report_consumer())
    except (TimeoutError, nats.errors.Error) as error:
        raise BusError(f"cannot set up JetStream: {error}") from error
    heed()
    return new


async def _ensure(js: JetStreamContext, config: StreamConfig, in_the_store: bool = False) -> bool:
    """Whether it is new. One whose files somebody deleted is made anew where all that it holds is in the store."""
    assert config.name is not None
    try:
        there = await js.stream_info(config.name)
    except NotFoundError:
        await js.add_stream(config)
        return True
    try:
        # How a stream is written is settled when it is made: one of an earlier hub stays as it was.
        await js.update_stream(replace(config, persist_mode=there.config.persist_mode))
    except ServerError as error:
        if not in_the_store:
            raise
        log.warning("the stream %s of NATS is broken: %s (it is made anew)", config.name, error)
        await js.delete_stream(config.name)
        await js.add_stream(config)
        return True
    return False


def _assign_stream(region: Region) -> StreamConfig:
    """The newest assignment of each node, which the node reads by direct get.

    What is acknowledged need not be on the disk yet: all of it is in the store, and each connection of the hub sees to
    it that the stream has the newest. To sync each message would make a change to thousands take many seconds.
    """
    return StreamConfig(
        name=subjects.ASSIGN_STREAM, subjects=[subjects.assign(region, "*")], storage=StorageType.FILE,
        max_msgs_per_subject=1, allow_direct=True, discard=DiscardPolicy.OLD, persist_mode=PersistMode.ASYNC,
    )  # fmt: skip


def _report_stream(region: Region) -> StreamConfig:
    """Reports until the hub has stored them. A node that sends too many is refused, and nobody else."""
    return StreamConfig(
        name=subjects.REPORT_STREAM, subjects=[subjects.report(region, "*")], storage=StorageType.FILE,
        retention=RetentionPolicy.WORK_QUEUE, discard=DiscardPolicy.NEW, discard_new_per_subject=True,
        max_msgs_per_subject=REPORTS_PER_NODE, max_bytes=REPORTS_BYTES, duplicate_window=DEDUP_S,
    )  # fmt: skip


def _report_consumer() -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=subjects.REPORT_CONSUMER, ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WITHIN_S,
        max_ack_pending=1_000,
    )  # fmt: skip


async def push_account(
    servers: Sequence[str], tls: ssl.SSLContext, system: tuple[str, bytes], account: str
) -> None:
    """Hands the server a newer token of the mesh account; who is revoked in it is thrown out at once.

    `system` is the token and raw key of the system account's user. Raises BusError.
    """
    client = await connect(servers, tls, *system, lost=lambda: None)
    try:
        reply = await client.request("$SYS.REQ.CLAIMS.UPDATE", account.encode(), timeout=REQUEST_WITHIN_S)
        answer = json.loads(reply.data)
    except (TimeoutError, ValueError, nats.errors.Error) as error:
        raise BusError(f"cannot tell NATS who is revoked: {error}") from error
    finally:
        await close(client)
    if not isinstance(answer, dict) or "error" in answer:
        raise BusError(f"cannot tell NATS who is revoked: {str(answer)[:200]}")


def heed() -> None:
    """Raises CancelledError where this task was cancelled and has not noticed.

    asyncio.wait_for of Python 3.11, which the NATS client waits with, loses a cancellation that meets its result; a
    loop around it would then go on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def first_of(event: asyncio.Event, work: Awaitable[None]) -> None:
    """Runs `work` until it ends or raises, or until `event` is set, which cancels it."""
    task = asyncio.ensure_future(work)
    waiter = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
        if not task.done():
            task.cancel()
        await asyncio.gather(task, waiter, return_exceptions=True)
    if task.done() and not task.cancelled():
        task.result()
