"""A real nats-server on loopback with a hub's bus and any number of nodes, for the tests of both ends.

Everything is awaited with a deadline; nothing sleeps.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from nats.aio.client import Client

from skerry_agent.hublink import buslink, pinned
from skerry_agent.hublink.bus import Handlers as NodeHandlers
from skerry_agent.hublink.bus import Login, NodeBus, Send
from skerry_hub.model import AssignmentRow
from skerry_hub.nats import auth, link
from skerry_hub.nats.bus import Handlers, HubBus
from skerry_hub.nats.config import Listen, Settings
from skerry_hub.nats.server import NatsServer
from skerry_protocol.ids import NodeId, Region, node_id
from skerry_protocol.messages import Ask, AskPart, Beat, BeatReply, Issued, ReportBatch, Version
from skerry_protocol.signing import digest, new_key, public_key, tls_key_of

REGION = Region("north")
DEADLINE_S = 20.0


async def within(work: Awaitable[object], seconds: float = DEADLINE_S) -> None:
    """`work` ends within the deadline, or the test fails."""
    async with asyncio.timeout(seconds):
        await work


async def until(holds: Callable[[], bool]) -> None:
    """`holds` becomes true within the deadline. For what tells nobody when it changes."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def on_the_stream(bus: HubBus) -> None:
    """A node hears an assignment before the server has stored it, and also where the stream refuses it."""
    await until(lambda: not bus.publisher.waiting)


def make_certificate(
    folder: Path, name: str = "tls", days: tuple[int, int] = (-1, 1)
) -> tuple[Path, Path, bytes]:
    """A self-signed certificate that holds from and until so many days from now: files, and its key's pin."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=days[0]))
        .not_valid_after(now + dt.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / f"{name}.crt", folder / f"{name}.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate, private, tls_key_of(made.public_bytes(serialization.Encoding.DER))


def row(node: NodeId, generation: int, envelope: bytes) -> AssignmentRow:
    """An assignment as the bus sees it: only the bytes count there."""
    return AssignmentRow(node, Issued(Version(1, 1, generation), digest(envelope)), envelope)


@dataclass
class Node:
    """One node's bus and what it heard."""

    key: bytes
    bus: NodeBus
    id: NodeId
    credentials: str
    heard: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    nudges: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    connections: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    answer: Callable[[Ask, Send], Awaitable[None]] | None = None

    async def next_heard(self) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self.heard.get()


@dataclass
class Hub:
    """A hub's bus with handlers that keep what they are given."""

    rows: dict[NodeId, AssignmentRow] = field(default_factory=dict)
    revoked: set[bytes] = field(default_factory=set)
    beats: list[tuple[NodeId, Beat]] = field(default_factory=list)
    reports: asyncio.Queue[tuple[NodeId, ReportBatch]] = field(default_factory=asyncio.Queue)
    connections: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    held: list[tuple[NodeId, bytes]] = field(default_factory=list)
    replace: bool = True
    failures: int = 0
    number: int = 0

    def on_beat(self, node: NodeId, beat: Beat, _now: int) -> BeatReply | None:
        self.beats.append((node, beat))
        self.number += 1
        return BeatReply(term=1, number=self.number)

    async def on_report(self, *reports: tuple[NodeId, ReportBatch]) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("the store is busy")
        for report in reports:
            self.reports.put_nowait(report)

    async def newest(self, node: NodeId) -> AssignmentRow | None:
        return self.rows.get(node)

    async def nodes(self) -> Collection[NodeId]:
        return tuple(self.rows)

    async def all_revoked(self) -> Collection[bytes]:
        return frozenset(self.revoked)

    async def may_replace(self, node: NodeId, held: bytes) -> bool:
        self.held.append((node, held))
        return self.replace

    async def next_report(self) -> tuple[NodeId, ReportBatch]:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reports.get()


class Rig:
    """The server, and hubs and nodes on it."""

    def __init__(self, folder: Path) -> None:
        self.accounts = auth.open_accounts(auth.new_accounts())
        certificate, key, self.tls_key = make_certificate(folder)
        self.settings = Settings(folder / "nats", certificate, key, self.accounts, Listen("127.0.0.1", -1))
        self.server = NatsServer(self.settings, lambda: auth.mesh_account_token(self.accounts, (), 1))
        self.hub_tls = link.client_tls(certificate)

    async def servers(self) -> Sequence[str]:
        await self.server.ready.wait()
        return (self.server.url,)

    def node_tls(self) -> ssl.SSLContext:
        return pinned.context(pinned.only(lambda: {self.tls_key}))

    @asynccontextmanager
    async def hub(self, hub: Hub) -> AsyncIterator[HubBus]:
        """A running bus, connected."""
        handlers = Handlers(
            self.servers, hub.on_beat, hub.on_report, hub.newest, hub.nodes, hub.all_revoked,
            lambda: hub.connections.put_nowait(None), hub.may_replace,
        )  # fmt: skip
        bus = HubBus(REGION, self.accounts, self.hub_tls, handlers)
        async with running(bus.run()):
            await within(bus.connected.wait())
            yield bus

    def make_node(self) -> Node:
        """A node that is let in, not running yet."""
        key = new_key()
        public = public_key(key)
        name = node_id(public)
        credentials = auth.node_credentials(self.accounts, public, REGION, name)

        async def on_assign(data: bytes) -> None:
            node.heard.put_nowait(data)

        async def on_ask(question: Ask, send: Send) -> None:
            if node.answer is None:
                await send(AskPart(lines=(question.what,), last=True))
            else:
                await node.answer(question, send)

        async def on_nudge() -> None:
            node.nudges.put_nowait(None)

        async def on_connected() -> None:
            node.connections.put_nowait(None)

        handlers = NodeHandlers(on_assign, on_ask, on_nudge, on_connected)
        login = Login(name, credentials, key)
        node = Node(
            key,
            NodeBus(REGION, login, lambda: (self.server.url,), self.node_tls, handlers),
            name,
            credentials,
        )
        return node

    @asynccontextmanager
    async def node(self) -> AsyncIterator[Node]:
        """A running, connected node."""
        node = self.make_node()
        async with running(node.bus.run()):
            await within(node.bus.connected.wait())
            yield node

    async def hostile(self, node: Node, refused: list[str]) -> Client:
        """A bare client with that node's credentials, which may try anything."""
        await self.server.ready.wait()
        login = Login(node.id, node.credentials, node.key)
        return await buslink.connect((self.server.url,), self.node_tls(), login, lambda: None, refused.append)


async def tells_of_its_end(rig: Rig, client: Client) -> None:
    """Fails where `closed_cb` is not called, because the server is gone while there is something to be written."""
    ended = asyncio.Event()

    async def on_error(_error: Exception) -> None:
        if client.is_connected:
            await client.publish("anything", b"still to be written")

    async def on_end() -> None:
        ended.set()

    node = rig.make_node()
    login = Login(node.id, node.credentials, node.key)
    await client.connect(
        [rig.server.url], tls=rig.node_tls(), tls_handshake_first=True, tls_hostname="skerry-hub",
        user_jwt_cb=lambda: bytearray(login.credentials.encode()), signature_cb=login.sign, allow_reconnect=False,
        error_cb=on_error, closed_cb=on_end,
    )  # fmt: skip
    assert rig.server.pid is not None
    os.kill(rig.server.pid, signal.SIGKILL)
    await within(ended.wait())


@asynccontextmanager
async def running(work: Awaitable[None]) -> AsyncIterator[asyncio.Future[None]]:
    """`work` runs beside the block; if it raised, so does the end of the block."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[Rig]:
    """A rig whose server is up."""
    rig = Rig(folder)
    async with running(rig.server.run()):
        await within(rig.server.ready.wait())
        yield rig
