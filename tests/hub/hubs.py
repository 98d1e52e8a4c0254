"""A whole hub for a test: real keys, a real store, real TLS on a port of its own."""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import nats
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nats.aio.client import Client

from skerry_hub.daemon import first_admin
from skerry_hub.hub import Settings
from skerry_hub.identity import Identity, create, read
from skerry_hub.service import Service
from skerry_protocol import signing, subjects
from skerry_protocol.codec import decode, encode
from skerry_protocol.ids import MeshName, NodeName, Region, node_id
from skerry_protocol.jointoken import JoinToken, parse_token
from skerry_protocol.messages import Beat, BeatReply, JoinReply, JoinRequest


class Desk:
    """A running hub and an admin's client."""

    def __init__(self, service: Service, token: str) -> None:
        self.service = service
        self.hub = service.hub
        self.token = token
        self.base = f"https://127.0.0.1:{service.port}"
        self.client = self.as_person(token)

    def as_person(self, token: str | None) -> httpx.AsyncClient:
        """A client with somebody's token."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        limits = httpx.Limits(max_connections=200)
        return httpx.AsyncClient(
            base_url=self.base, headers=headers, verify=trusting(self.hub.identity), timeout=30, limits=limits
        )

    async def post(
        self, path: str, body: object, key: str | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """A POST as the admin, perhaps with an idempotency key."""
        more = {"Idempotency-Key": key} if key else {}
        return await self.client.post(path, json=body, headers={**more, **(headers or {})})


def trusting(identity: Identity) -> ssl.SSLContext:
    """TLS that takes this hub's certificate and no other."""
    context = ssl.create_default_context(cafile=str(identity.certificate))
    context.check_hostname = False
    return context


async def made(data: Path) -> str:
    """A new hub in `data`; returns its admin's token."""
    identity = create(data, MeshName("coast"), Region("north"))
    return await first_admin(identity, "admin")


@asynccontextmanager
async def serving(data: Path, token: str = "", nats_url: str | None = "none") -> AsyncIterator[Desk]:
    """The hub in `data`, made where there is none, serving until the end of the block."""
    if not (data / "delegation").exists():
        token = await made(data)
    service = await Service.open(read(data), Settings("127.0.0.1", 0, nats=nats_url, nats_port=-1))
    try:
        await service.start()
        desk = Desk(service, token)
        async with desk.client:
            yield desk
    finally:
        await service.stop()


class Machine:
    """A machine as the hub sees one: a key, HTTPS, NATS. It runs nothing."""

    def __init__(self, desk: Desk, hostname: str = "box") -> None:
        self.desk = desk
        self.hostname = hostname
        self.key = signing.new_key()
        self.public = signing.public_key(self.key)
        self.id = node_id(self.public)
        self.reply: JoinReply | None = None
        self.number = 0
        self.network_keys: tuple[bytes, bytes] | None = None

    def request(self, token: str, name: str | None = None) -> JoinRequest:
        """What it sends to join by a token's text."""
        read = parse_token(token)
        assert isinstance(read, JoinToken)
        words = signing.join_words(read.id, read.secret, self.public)
        return JoinRequest(
            token=read.id,
            secret=read.secret,
            machine_key=self.public,
            proof=signing.sign(self.key, signing.JOIN, words).signature,
            hostname=self.hostname,
            name=None if name is None else NodeName(name),
            arch="x86_64",
            link_key=self.network_keys[0] if self.network_keys else None,
            direct_key=self.network_keys[1] if self.network_keys else None,
        )

    async def join(self, client: httpx.AsyncClient, token: str, name: str | None = None) -> httpx.Response:
        """The hub's answer, kept where it let the machine in."""
        answer = await client.post("/join", content=encode(self.request(token, name)))
        if answer.status_code == 200:
            self.reply = decode(JoinReply, answer.content)
        return answer

    def header(self) -> dict[str, str]:
        """What proves it to the hub on a fetch."""
        word = signing.fetch_words(self.id, self.desk.hub.identity.tls_pin)
        signature = signing.sign(self.key, signing.FETCH, word).signature
        return {"Authorization": f"Skerry-Node {self.id} {base64.b64encode(signature).decode()}"}

    async def connect(self) -> Client:
        """Its connection to NATS."""
        assert self.reply is not None
        reply = self.reply
        private = Ed25519PrivateKey.from_private_bytes(self.key)
        return await nats.connect(
            list(reply.nats),
            tls=trusting(self.desk.hub.identity),
            tls_hostname="skerry-hub",
            tls_handshake_first=True,
            user_jwt_cb=lambda: bytearray(reply.credentials.encode()),
            signature_cb=lambda nonce: base64.b64encode(private.sign(nonce.encode())),
            inbox_prefix=subjects.inbox(self.id).encode(),
        )

    async def beat(self, bus: Client, **said: object) -> BeatReply:
        """One beat and its answer."""
        beat = Beat(boot="boot-1", reply=self.number, **said)  # type: ignore[arg-type]
        subject = subjects.beat(self.desk.hub.identity.region, self.id)
        answer = await bus.request(subject, encode(beat), timeout=5)
        reply = decode(BeatReply, answer.data)
        self.number = reply.number
        return reply


async def token_of(desk: Desk, **asked: object) -> str:
    """A new join token's text."""
    answer = await desk.post("/api/tokens", asked)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["text"])
