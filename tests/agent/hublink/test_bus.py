"""A node's bus and a hub's bus against a real nats-server. Each test starts one: about 0.3 s."""

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.hublink.bus import BusError, Login, LoginRefused, NotConnected
from skerry_protocol.ids import NodeId
from skerry_protocol.messages import Ask, AskPart, Beat, Entry, Event, ReportBatch
from skerry_protocol.signing import new_key
from tests.natsrig import DEADLINE_S, Hub, row, running, started, until, within


def batch(number: int) -> ReportBatch:
    return ReportBatch("box", (Entry(number, event=Event("boot", "booted", 5)),))


async def test_what_a_node_and_its_hub_say_to_each_other(tmp_path: Path) -> None:
    hub = Hub()
    async with started(tmp_path) as rig, rig.hub(hub) as bus, rig.node() as node:
        assert (await node.bus.beat(Beat("boot-1"))).number == 1
        assert hub.beats == [(node.id, Beat("boot-1"))]

        assert await node.bus.newest() is None
        hub.rows[node.id] = row(node.id, 1, b"first")
        bus.publish([node.id])
        assert await node.next_heard() == b"first"
        assert await node.bus.newest() == b"first"

        batch = ReportBatch("box", (Entry(1, event=Event("boot", "booted", 5)),))
        await node.bus.report(batch)
        assert await hub.next_report() == (node.id, batch)

        assert [part async for part in bus.ask(node.id, Ask("status"))] == [
            AskPart(lines=("status",), last=True)
        ]
        await bus.nudge([node.id])
        await within(node.nudges.get())


async def test_a_node_comes_back_to_nats_without_any_hub(tmp_path: Path) -> None:
    hub = Hub()
    async with started(tmp_path) as rig, rig.node() as node:
        async with rig.hub(hub) as bus:
            hub.rows[node.id] = row(node.id, 1, b"first")
            bus.publish([node.id])
            assert await node.next_heard() == b"first"
        await within(node.connections.get())
        with pytest.raises(BusError, match="no hub listens"):
            await node.bus.beat(Beat("b"))
        assert rig.server.pid is not None
        os.kill(rig.server.pid, signal.SIGKILL)
        await within(node.connections.get())
        assert await node.next_heard() == b"first"
        await node.bus.report(batch(1))
        async with rig.hub(hub):
            assert await hub.next_report() == (node.id, batch(1))


async def test_a_node_that_was_away_gets_what_it_missed(tmp_path: Path) -> None:
    hub = Hub()
    async with started(tmp_path) as rig, rig.hub(hub) as bus:
        node = rig.make_node()
        hub.rows[node.id] = row(node.id, 1, b"missed")
        bus.publish([node.id])
        async with running(node.bus.run()):
            assert await node.next_heard() == b"missed"


async def test_a_server_with_another_key_is_not_talked_to(tmp_path: Path) -> None:
    """Takes 1 s: the client waits for the end of a connection whose handshake it broke off."""
    async with started(tmp_path) as rig:
        node = rig.make_node()
        rig.tls_key = b"\0" * 32
        # Counted as a refusal: a hub whose key was replaced is asked for the root's word over HTTPS.
        with pytest.raises(LoginRefused, match="did not delegate to"):
            await rig.hostile(node, [])


async def test_without_a_connection_everything_says_so(tmp_path: Path) -> None:
    async with started(tmp_path) as rig:
        node = rig.make_node()
        for work in (node.bus.beat(Beat("b")), node.bus.newest(), node.bus.report(batch(1))):
            with pytest.raises(NotConnected, match="not connected yet"):
                await work


async def test_reconnect_drops_the_connection_and_makes_another(tmp_path: Path) -> None:
    async with started(tmp_path) as rig, rig.node() as node:
        await within(node.connections.get())
        node.bus.reconnect()
        await within(node.connections.get())


@given(st.text(max_size=80))
def test_only_what_looks_like_a_nonce_is_signed(nonce: str) -> None:
    login = Login(NodeId("n" + "a" * 16), "a.b.c", new_key())
    if re.fullmatch(r"[A-Za-z0-9_-]{8,64}", nonce):
        login.sign(nonce)
    else:
        with pytest.raises(BusError):
            login.sign(nonce)


class Mute(Hub):
    """Hears beats and answers none."""

    def on_beat(self, node: NodeId, beat: Beat, _now: int) -> None:
        self.beats.append((node, beat))


async def test_what_is_asked_ends_with_its_connection(tmp_path: Path) -> None:
    """Its answer cannot come any more: a lease must not wait for that."""
    hub = Mute()
    async with started(tmp_path) as rig, rig.hub(hub), rig.node() as node:
        beat = asyncio.ensure_future(node.bus.beat(Beat("b"), timeout_s=1000))
        await until(lambda: bool(hub.beats))
        assert rig.server.pid is not None
        os.kill(rig.server.pid, signal.SIGKILL)
        with pytest.raises(BusError, match="ended before the answer came"):
            await asyncio.wait_for(beat, DEADLINE_S)
