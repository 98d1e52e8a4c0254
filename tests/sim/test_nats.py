"""The simulated NATS keeps every promise that the real one keeps. Each test of the real one starts it: about 0.5 s."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from nats.aio.client import Client
from nats.js.api import PersistMode, StreamConfig

from skerry_agent.hublink import buslink
from skerry_agent.hublink.bus import Login
from skerry_hub.nats import auth, link
from skerry_hub.nats.nkeys import Kind, public_text
from skerry_protocol import subjects
from skerry_protocol.ids import NodeId
from skerry_protocol.signing import new_key, public_key
from tests.natsrig import REGION, Rig, running, within

from . import jetstream_conformance, nats_conformance
from . import nats as fake
from .nats_conformance import Node
from .natsserver import Server, Stream
from .world import Here

pytestmark = pytest.mark.anyio
PROMISES = {**nats_conformance.PROMISES, **jetstream_conformance.PROMISES}


def nothing() -> None:
    """Who does not care."""


class Fake:
    """See nats_conformance.Place."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._server, self._line, self._nodes = Server(loop), Here(loop), 0

    def _connect(self, lost: Callable[[], None], inbox: str) -> Client:
        client = fake.Client(self._server, self._line, lost, inbox)
        self._server.clients[client] = None
        return cast("Client", client)

    async def hub(self, lost: Callable[[], None] = nothing) -> Client:
        return self._connect(lost, subjects.HUB_INBOX)

    async def node(self, lost: Callable[[], None] = nothing) -> Node:
        self._nodes += 1
        name = NodeId(f"n{self._nodes}")
        return Node(name, self._connect(lost, subjects.inbox(name)))

    async def restart(self, wiped: bool = False) -> None:
        self._server.kill()
        if wiped:
            self._server.wipe()
        self._server.start()

    async def lose_streams(self) -> None:
        self._server.wipe()


class Real:
    """See nats_conformance.Place."""

    def __init__(self, rig: Rig, stack: AsyncExitStack) -> None:
        self._rig, self._stack = rig, stack
        self._server = AsyncExitStack()

    async def start(self) -> None:
        self._rig.server.ready.clear()
        await self._server.enter_async_context(running(self._rig.server.run()))
        await within(self._rig.server.ready.wait())

    async def stop(self) -> None:
        await self._server.aclose()

    async def _as(self, token: str, key: bytes, lost: Callable[[], None]) -> Client:
        client = await link.connect((self._rig.server.url,), self._rig.hub_tls, token, key, lost)
        self._stack.push_async_callback(link.close, client)
        return client

    async def hub(self, lost: Callable[[], None] = nothing) -> Client:
        accounts = self._rig.accounts
        return await self._as(auth.hub_credentials(accounts, REGION), accounts.hub_user, lost)

    async def node(self, lost: Callable[[], None] = nothing) -> Node:
        made = self._rig.make_node()
        login = Login(made.id, made.credentials, made.key)
        url, tls = self._rig.server.url, self._rig.node_tls()
        client = await buslink.connect((url,), tls, login, lost, lambda _refused: None)
        self._stack.push_async_callback(buslink.close, client)
        return Node(made.id, client)

    async def restart(self, wiped: bool = False) -> None:
        pid = self._rig.server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await self.stop()
        if wiped:
            shutil.rmtree(self._rig.settings.folder / "jetstream")
        await self.start()

    async def lose_streams(self) -> None:
        """By a user who may do anything."""
        key, accounts = new_key(), self._rig.accounts
        token = auth._issue(
            accounts.signing, Kind.ACCOUNT, public_text(Kind.USER, public_key(key)), "god", 1,
            {**auth._permissions([">"], [">"]), "issuer_account": accounts.mesh_id},
        )  # fmt: skip
        js = (await self._as(token, key, nothing)).jetstream()
        for stream in (subjects.ASSIGN_STREAM, subjects.REPORT_STREAM):
            await js.delete_stream(stream)


@asynccontextmanager
async def real(folder: Path) -> AsyncIterator[Real]:
    """A place with a nats-server of its own."""
    async with AsyncExitStack() as stack:
        place = Real(Rig(folder), stack)
        stack.push_async_callback(place.stop)
        await place.start()
        yield place


@pytest.mark.parametrize("name", PROMISES)
async def test_the_fake_keeps_the_promise(name: str) -> None:
    await PROMISES[name](Fake())


@pytest.mark.parametrize("name", PROMISES)
async def test_the_real_one_keeps_the_promise(name: str, tmp_path: Path) -> None:
    async with real(tmp_path) as place:
        await PROMISES[name](place)


def test_the_fake_forgets_in_a_kill_what_need_not_be_on_the_disk_yet() -> None:
    config = StreamConfig(name="S", subjects=["a.*"], persist_mode=PersistMode.ASYNC)
    stream, synced = Stream(config), Stream(replace(config, persist_mode=None))
    for each in (stream, synced):
        for now, subject, word in (
            (0.0, "a.x", b"1"),
            (5.0, "a.x", b"2"),
            (5.5, "a.y", b"3"),
            (5.6, "a.x", b"4"),
        ):
            each.store(subject, word, {}, now)
        each.recover(5.9)
    assert stream.last == {"a.x": (1, b"1")}
    assert synced.last == {"a.x": (4, b"4"), "a.y": (3, b"3")}
