"""The hub asks a node, over a real nats-server. Each test starts one: about 0.5 s."""

import asyncio
from pathlib import Path

import pytest

from skerry_agent.hublink.bus import Send
from skerry_hub.nats.bus import BusError
from skerry_protocol.messages import Ask, AskPart
from tests.natsrig import Hub, started, within


async def test_asking_a_node_that_is_not_there_says_so(tmp_path: Path) -> None:
    async with started(tmp_path) as rig, rig.hub(Hub()) as bus:
        with pytest.raises(BusError, match="it is not connected"):
            [part async for part in bus.ask(rig.make_node().id, Ask("status"))]


async def test_a_silent_answer_ends_at_its_deadline(tmp_path: Path) -> None:
    async with started(tmp_path) as rig, rig.hub(Hub()) as bus, rig.node() as node:
        stopped = asyncio.Event()

        async def silent(_question: Ask, _send: Send) -> None:
            await stopped.wait()

        node.answer = silent
        with pytest.raises(BusError, match="no answer within"):
            [part async for part in bus.ask(node.id, Ask("logs"), timeout_s=0.05)]
        stopped.set()


async def test_following_ends_at_the_node_when_nobody_listens(tmp_path: Path) -> None:
    async with started(tmp_path) as rig, rig.hub(Hub()) as bus, rig.node() as node:
        ended = asyncio.Event()

        async def endless(_question: Ask, send: Send) -> None:
            try:
                while True:
                    await send(AskPart(lines=("again",)))
            finally:
                ended.set()

        node.answer = endless
        parts = bus.ask(node.id, Ask("logs", follow=True))
        assert (await anext(parts)).lines == ("again",)
        assert (await anext(parts)).lines == ("again",)
        await parts.aclose()
        await within(ended.wait())


async def test_a_node_that_fails_to_answer_says_why(tmp_path: Path) -> None:
    async with started(tmp_path) as rig, rig.hub(Hub()) as bus, rig.node() as node:

        async def failing(_question: Ask, _send: Send) -> None:
            raise KeyError("web")

        node.answer = failing
        parts = [part async for part in bus.ask(node.id, Ask("why"))]
        assert parts == [AskPart(last=True, error="cannot answer: KeyError: 'web'")]


async def test_without_a_connection_asking_says_why(tmp_path: Path) -> None:
    async with started(tmp_path) as rig:
        async with rig.hub(Hub()) as bus:
            pass
        with pytest.raises(BusError, match="cannot reach the nodes"):
            await bus.nudge([rig.make_node().id])
