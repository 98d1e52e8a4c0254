"""The hub's end of NATS: answers beats, takes reports, publishes assignments, asks and nudges nodes.

`run()` connects and connects again until it is cancelled; while it cannot, what is to be published is kept as a set and
nothing else is. On each connection, in this order: tell the server who is revoked, make the streams, listen for beats,
call `on_connected` (the hub was deaf before: whoever was silent has not been heard, so this counts as a beat from
everybody), then publish and take reports. Who a message is from is read from its subject, which NATS's permissions
enforce, never from its content. Must never decide anything.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from skerry_protocol import subjects
from skerry_protocol.codec import WireError, decode, encode
from skerry_protocol.ids import NODE_ID, NodeId, Region
from skerry_protocol.messages import Ask, AskPart, Beat, BeatReply

from ..clock import monotonic_ms, now_ms
from . import asking, auth, link, reports
from .link import BusError, StreamsLost
from .probing import Probing
from .publisher import MayReplace, Newest, Publisher
from .rejects import Rejects

log = logging.getLogger(__name__)

BEAT_MAX = 256 << 10
BACK_OFF_LEAST_S = 0.1
BROKEN_AFTER = 4
BACK_OFF_MOST_S = 5.0
ASK_TIMEOUT_S = 10.0


async def always(_node: NodeId, _held: bytes) -> bool:
    """A hub that was not restored replaces whatever the stream holds."""
    return True


@dataclass(frozen=True)
class Handlers:
    """What the bus asks of the rest of the hub.

    `on_beat(node, beat, now_ms)` answers from memory, or with something to wait for; None leaves it unanswered.
    `on_report` returns after its commit. `nodes` are all that may have an assignment; `revoked` are all machine keys
    (raw public) that were ever removed; both are read on each connection. `servers` may wait until there is one.
    """

    servers: Callable[[], Awaitable[Sequence[str]]]
    on_beat: Callable[[NodeId, Beat, int], BeatReply | Awaitable[BeatReply | None] | None]
    on_report: reports.OnReport
    newest: Newest
    nodes: Callable[[], Awaitable[Collection[NodeId]]]
    revoked: Callable[[], Awaitable[Collection[bytes]]]
    on_connected: Callable[[], None]
    may_replace: MayReplace = always
    clock: Callable[[], int] = monotonic_ms


class HubBus:
    """See the module. `connected` is set while beats are heard; `trouble` says why they are not."""

    def __init__(
        self, region: Region, accounts: auth.Accounts, tls: ssl.SSLContext, handlers: Handlers
    ) -> None:
        self.connected = asyncio.Event()
        self.trouble: str | None = "not connected yet"
        self.connections = 0
        self.rejects = Rejects()
        self.probing = Probing(region)
        self.publisher = Publisher(region, handlers.newest, handlers.may_replace)
        self._region = region
        self._accounts = accounts
        self._tls = tls
        self._do = handlers
        self._client: Client | None = None
        self._later: set[asyncio.Task[None]] = set()
        self._jitter = random.SystemRandom()

    async def run(self) -> None:
        """Connects, serves, and does so again, until cancelled."""
        failures = 0
        while True:
            before = self.connections
            link.heed()
            try:
                await self._serve_once()
                self.trouble = "the connection to NATS ended"
            except* BusError as group:
                self.trouble = str(_first(group))
            except* Exception as group:
                # A store that is busy for a moment must not end the bus for good.
                self.trouble = f"the bus failed: {_first(group)!r}"
                log.exception("the bus failed")
            log.warning("%s (connecting again)", self.trouble)
            failures = failures + 1 if self.connections == before else 0
            if failures == BROKEN_AFTER:
                self.probing.broken()  # who cannot set up its streams is no server to wait for
            most = min(BACK_OFF_MOST_S, BACK_OFF_LEAST_S * 2**failures)
            await asyncio.sleep(self._jitter.uniform(most / 2, most))

    def publish(self, nodes: Iterable[NodeId]) -> None:
        """Send the newest assignment of these nodes, again if need be. Returns at once; it will be sent."""
        self.publisher.want(nodes)

    async def ask(
        self, node: NodeId, question: Ask, timeout_s: float = ASK_TIMEOUT_S
    ) -> AsyncGenerator[AskPart, None]:
        """The node's answer, part by part; each is waited for `timeout_s`. Raises BusError."""
        async with aclosing(
            asking.ask(self._up(), self._region, node, question, timeout_s, self.rejects)
        ) as parts:
            async for part in parts:
                yield part

    async def nudge(self, nodes: Iterable[NodeId]) -> None:
        """Asks nodes to beat now. Raises BusError where there is no connection; arrival is not promised."""
        client = self._up()
        try:
            for node in nodes:
                await client.publish(subjects.nudge(self._region, node))
            await link.settle(client)
        except nats.errors.Error as error:
            raise BusError(f"cannot nudge nodes: {error}") from error

    async def revoke(self, machine_key: bytes) -> None:
        """Throws the machine out of NATS, now and for ever. Its key must be in what `revoked` gives from now on.

        Raises BusError where the server was not told; it is told again on the next connection.
        """
        revoked = {machine_key, *await self._do.revoked()}
        await self._push(await self._do.servers(), revoked)

    async def change_accounts(self, accounts: auth.Accounts) -> None:
        """Use these accounts from now on. Raises BusError where the server was not told; it is on each connection."""
        self._accounts = accounts
        await self._push(await self._do.servers(), await self._do.revoked())

    def account_token(self, revoked: Collection[bytes]) -> str:
        """What a server is to start with."""
        return auth.mesh_account_token(self._accounts, revoked, now_ms() // 1000)

    async def _push(self, servers: Sequence[str], revoked: Collection[bytes]) -> None:
        system = (auth.system_credentials(self._accounts), self._accounts.system_user)
        await link.push_account(servers, self._tls, system, self.account_token(revoked))

    async def _serve_once(self) -> None:
        """One connection from start to end."""
        servers = await self._do.servers()
        await self._push(servers, await self._do.revoked())
        lost = asyncio.Event()
        token = auth.hub_credentials(self._accounts, self._region)
        client = await link.connect(servers, self._tls, token, self._accounts.hub_user, lost.set)
        try:
            link.heed()
            await link.first_of(lost, self._serve(client))
        finally:
            self._gone()
            await link.close(client)

    async def _serve(self, client: Client) -> None:
        js = client.jetstream(timeout=link.REQUEST_WITHIN_S)
        await link.ensure_streams(js, self._region)
        await client.subscribe(subjects.beat(self._region, "*"), cb=self._on_beat)
        await link.settle(client)
        # A connection may mean a new stream, so that everything is published once for each.
        self.publisher.want(await self._do.nodes())
        self._client, self.trouble = client, None
        self.connections += 1
        self.connected.set()
        self._do.on_connected()
        link.heed()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.publisher.run(js))
            group.create_task(reports.run(js, self._do.on_report, self.rejects, self.publisher.drained))
            group.create_task(self.probing.run(js))

    async def _on_beat(self, message: Msg) -> None:
        node = subjects.node_of(message.subject)
        try:
            reply = self._answer(node, message)
        except WireError as error:
            self.rejects.add(node, "beat", str(error))
            return
        except Exception as error:  # one node's beat must not end everybody's
            self.rejects.add(node, "beat that could not be answered", f"{type(error).__name__}: {error}")
            log.debug("a beat of %s failed", node, exc_info=True)
            return
        if reply is None or isinstance(reply, BeatReply):
            await self._respond(message, reply)
            return
        # Something must be committed first: other nodes' beats do not wait for it.
        task = asyncio.create_task(self._respond_later(node, message, reply))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _respond_later(self, node: NodeId, message: Msg, reply: Awaitable[BeatReply | None]) -> None:
        try:
            await self._respond(message, await reply)
        except Exception as error:  # the node beats again
            self.rejects.add(node, "beat that could not be answered", f"{type(error).__name__}: {error}")
            log.debug("a beat of %s failed", node, exc_info=True)

    async def _respond(self, message: Msg, reply: BeatReply | None) -> None:
        if reply is not None:
            await message.respond(encode(reply))

    def _answer(self, node: NodeId, message: Msg) -> BeatReply | Awaitable[BeatReply | None] | None:
        """Raises WireError where the message is no beat of that node, or asks for the answer elsewhere."""
        if NODE_ID.fullmatch(node) is None:
            raise WireError("the subject names no node")
        if not message.reply.startswith(f"{subjects.inbox(node)}."):
            raise WireError("the answer is not for the node itself")
        beat = decode(Beat, message.data, limit=BEAT_MAX)
        return self._do.on_beat(node, beat, self._do.clock())

    def _up(self) -> Client:
        if self._client is None:
            raise BusError(f"cannot reach the nodes: {self.trouble}")
        return self._client

    def _gone(self) -> None:
        self._client = None
        self.connected.clear()


def _first(group: BaseExceptionGroup[Exception]) -> BaseException:
    """The first error in a group of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


__all__ = ["BusError", "Handlers", "HubBus", "StreamsLost", "always"]
