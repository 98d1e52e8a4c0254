"""One simulated agent: the messages, moments and back-off of a real one, without a machine.

It takes what it is assigned at once, "applies" it a moment later, beats and reports as the agent does. It looks at an
assignment's version and digest and not at its signature: a real node has a processor of its own for that.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import ssl
import time
from collections.abc import Coroutine

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from skerry_agent.hublink import bus as real
from skerry_agent.leases.beating import RETRY_S
from skerry_agent.leases.grants import BEAT_IDLE_MS, beat_every_ms, pace
from skerry_protocol import subjects
from skerry_protocol.codec import decode, encode
from skerry_protocol.ids import NodeId, Region
from skerry_protocol.messages import (
    Assignment,
    Beat,
    BeatReply,
    Entry,
    Instance,
    Issued,
    ReportBatch,
    Step,
    StepName,
    StepState,
)
from skerry_protocol.signing import Envelope, digest

from .line import Line, Lost

APPLIES_S = 0.1
STEPS = (StepName.RECEIVED, StepName.VERIFIED, StepName.STARTED, StepName.HEALTHY)


class Login(Struct, frozen=True):
    """What a node got when it joined."""

    node: NodeId
    key: bytes
    credentials: str


class Server(Struct, frozen=True):
    """Where NATS listens, and the certificate that it shows (None: it speaks plainly)."""

    host: str
    port: int
    certificate: str | None
    region: Region


def tls_of(server: Server) -> ssl.SSLContext | None:
    """One context for all of them."""
    if server.certificate is None:
        return None
    context = ssl.create_default_context(cafile=server.certificate)
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


class SimNode:
    """`took_at`: when it had a newer assignment; `agreed_at`: when a beat's answer named what it holds. None: not since
    `mark`. Moments are of CLOCK_MONOTONIC, which all processes of a machine share."""

    def __init__(self, login: Login, server: Server, tls: ssl.SSLContext | None) -> None:
        self.login = login
        self.took_at: float | None = None
        self.agreed_at: float | None = None
        self.term = self.beats = self.reports = self.losses = 0
        self.heard_at = 0.0  # when the hub last answered
        self.trouble: list[str] = []
        self.held: Issued | None = None
        self.applied: Issued | None = None
        self.up = False
        self._every_s = BEAT_IDLE_MS / 1000
        self._instances: tuple[Instance, ...] = ()
        self._server, self._tls = server, tls
        self._key = Ed25519PrivateKey.from_private_bytes(login.key)
        self._now = asyncio.Event()
        self._once_s: float | None = None
        self._line: Line | None = None
        self._number = self._seq = 0
        self._outbox = login.node[-16:]
        self._unsent: ReportBatch | None = None
        self._applying: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def mark(self) -> None:
        self.took_at = self.agreed_at = None

    def spread(self, chance: random.Random) -> None:
        """The next beat at any moment of the interval, as with nodes that came at any moment."""
        self._once_s = chance.uniform(0, self._every_s)
        self._now.set()

    async def run(self, after_s: float) -> None:
        """From `after_s` on, until cancelled."""
        await asyncio.sleep(after_s)
        failures, chance = 0, random.Random(self.login.node)
        while True:
            was_up = await self._once()
            failures = 0 if was_up else failures + 1
            most = min(real.BACK_OFF_SOON_S, self._every_s, real.BACK_OFF_LEAST_S * 2 ** min(failures, 10))
            await asyncio.sleep(chance.uniform(most / 2, most))

    async def _once(self) -> bool:
        """One connection from start to end. Whether it ever served."""
        line = self._line = Line(self._heard)
        try:
            async with asyncio.timeout(15):
                await self._connect(line)
            self.up = True
            await self._newest(line)
            await self._beating(line)
        except (OSError, TimeoutError) as error:
            self._trouble(f"{type(error).__name__}: {error}")
        finally:
            was_up, self.up = self.up, False
            line.close()
            for task in self._tasks:
                task.cancel()
        self.losses += was_up
        return was_up

    async def _connect(self, line: Line) -> None:
        await line.open(self._server.host, self._server.port, self._tls)
        nonce = str(line.info["nonce"])
        node = self.login.node
        signed = base64.urlsafe_b64encode(self._key.sign(nonce.encode())).decode().rstrip("=")
        await line.login({"jwt": self.login.credentials, "sig": signed, "name": node}, subjects.inbox(node))
        for subject in (subjects.assign, subjects.ask, subjects.nudge):
            line.listen(subject(self._server.region, node))
        await line.settle()

    async def _newest(self, line: Line) -> None:
        held = await self._asked(line, subjects.direct_get(self._server.region, self.login.node))
        if held:
            self._take(held)

    async def _asked(self, line: Line, subject: str, data: bytes = b"", headers: bytes = b"") -> bytes | None:
        """None where there was no answer; the connection is kept."""
        try:
            return await line.ask(subject, data, headers)
        except Lost:
            raise
        except (LookupError, TimeoutError) as error:
            self._trouble(f"{subject.split('.')[2]}: {type(error).__name__}")
            return None

    async def _beating(self, line: Line) -> None:
        """As the agent: one beat at a time, at once on a connection and where something is new."""
        self._later(self._report(line))
        while not line.lost.is_set():
            self._now.clear()
            answered = await self._beat(line) if self._once_s is None else True
            wait_s = self._once_s or (self._every_s if answered else RETRY_S)
            self._once_s = None
            woken = asyncio.ensure_future(self._now.wait())
            lost = asyncio.ensure_future(line.lost.wait())
            await asyncio.wait({woken, lost}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
            lost.cancel()
        raise Lost(line.why)

    async def _beat(self, line: Line) -> bool:
        self.beats += 1
        beat = Beat(
            "boot-1", self._number, self.held, self.applied, term=self.term, at_us=time.monotonic_ns() // 1000
        )
        said = await self._asked(line, subjects.beat(self._server.region, self.login.node), encode(beat))
        if said is None:
            return False
        reply = decode(BeatReply, said)
        self._number, self.term, self.heard_at = reply.number, reply.term, time.monotonic()
        if reply.trouble:
            self._trouble(reply.trouble)
        if reply.newest is None or reply.newest == self.held:
            if self.held == self.applied == beat.applied:
                self.agreed_at = self.agreed_at or time.monotonic()
        elif self.held is None or reply.newest.version > self.held.version:
            await self._newest(line)
        return True

    def _heard(self, subject: str, data: bytes) -> None:
        if ".nudge." in subject:
            self._now.set()
        elif ".assign." in subject:
            self._take(data)

    def _take(self, data: bytes) -> None:
        payload = decode(Envelope, data).assignment.payload
        found = decode(Assignment, payload)
        issued = Issued(found.version, digest(payload))
        if self.held is not None and issued.version <= self.held.version:
            return
        self.held, self.took_at = issued, time.monotonic()
        self._instances = found.instances
        self._every_s = beat_every_ms([entry.app for entry in found.apps], ()) / 1000 * pace(self.login.node)
        self._now.set()
        self._applying = asyncio.ensure_future(self._apply(issued))

    async def _apply(self, issued: Issued) -> None:
        await asyncio.sleep(APPLIES_S)
        self.applied = issued
        self._now.set()
        entries = []
        for instance in self._instances:
            for step in STEPS:
                self._seq += 1
                said = Step(
                    instance.id, instance.app, instance.revision, step, StepState.DONE, issued.version,
                    self._seq, time.time_ns() // 1_000_000,
                )  # fmt: skip
                entries.append(Entry(self._seq, said))
        if entries:
            self._unsent = ReportBatch(self._outbox, tuple(entries))
            if self._line is not None:
                await self._report(self._line)

    async def _report(self, line: Line) -> None:
        """What is not acknowledged is sent again until it is."""
        while (batch := self._unsent) is not None and not line.lost.is_set():
            data = encode(batch)
            name = hashlib.sha256(data).hexdigest()
            headers = (
                f"NATS/1.0\r\nNats-Msg-Id: {name}\r\nNats-Expected-Stream: {subjects.REPORT_STREAM}\r\n\r\n"
            )
            subject = subjects.report(self._server.region, self.login.node)
            try:
                said = await self._asked(line, subject, data, headers.encode())
            except Lost:
                return
            if said is not None and b'"error"' not in said:
                self.reports += 1
                self._unsent = self._unsent if self._unsent is not batch else None
            else:
                await asyncio.sleep(RETRY_S)

    def _later(self, work: Coroutine[object, object, None]) -> None:
        """Ends with the connection."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _trouble(self, text: str) -> None:
        self.trouble = [*self.trouble[-4:], text]
