"""Who may say and hear what, on a real nats-server. Each test starts one: about 0.5 s."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest
from nats.aio.client import Client

from skerry_hub.nats import link
from skerry_protocol import subjects
from skerry_protocol.codec import encode
from skerry_protocol.messages import Beat
from tests.natsrig import REGION, Hub, on_the_stream, row, started, until


async def said(refused: list[str], subject: str) -> None:
    """The server refused `subject`. Its word comes some time after the answer to a flush."""
    await until(lambda: any(f'"{subject.lower()}"' in text for text in refused))


async def refusals(client: Client, refused: list[str], subjects_tried: Iterable[str]) -> set[str]:
    """Which of these the server did not let it publish on. Its words come in order, so the last is waited for."""
    tried = list(subjects_tried)
    for subject in [*tried, "the.end"]:
        await client.publish(subject, b"x")
    await said(refused, "the.end")
    found = {subject for subject in tried if any(f'"{subject.lower()}"' in text for text in refused)}
    refused.clear()
    return found


async def test_a_node_may_speak_only_for_itself(tmp_path: Path) -> None:
    hub = Hub()
    async with started(tmp_path) as rig, rig.hub(hub), rig.node() as other:
        refused: list[str] = []
        bad = rig.make_node()
        client = await rig.hostile(bad, refused)
        not_its_own = [
            subjects.beat(REGION, other.id), subjects.report(REGION, other.id), subjects.assign(REGION, other.id),
            subjects.ask(REGION, other.id), subjects.nudge(REGION, other.id), subjects.assign(REGION, bad.id),
            subjects.direct_get(REGION, other.id), f"{subjects.inbox(other.id)}.x", f"{subjects.HUB_INBOX}.x",
            f"{subjects.answer(other.id)}.x", f"$JS.API.DIRECT.GET.{subjects.ASSIGN_STREAM}",
            f"$JS.API.STREAM.MSG.GET.{subjects.ASSIGN_STREAM}", f"$JS.API.STREAM.PURGE.{subjects.ASSIGN_STREAM}",
            f"$JS.API.STREAM.DELETE.{subjects.REPORT_STREAM}", "$JS.API.STREAM.CREATE.MINE", "$JS.API.INFO",
            f"$JS.API.CONSUMER.CREATE.{subjects.ASSIGN_STREAM}", f"$JS.API.CONSUMER.CREATE.{subjects.ASSIGN_STREAM}.c",
            f"$JS.API.CONSUMER.DURABLE.CREATE.{subjects.ASSIGN_STREAM}.c",
            f"$JS.API.CONSUMER.MSG.NEXT.{subjects.REPORT_STREAM}.{subjects.REPORT_CONSUMER}",
            f"$JS.ACK.{subjects.REPORT_STREAM}.{subjects.REPORT_CONSUMER}.1.1.1.1.1", "$SYS.REQ.CLAIMS.UPDATE",
        ]  # fmt: skip
        assert await refusals(client, refused, not_its_own) == set(not_its_own)
        assert await refusals(client, refused, [subjects.beat(REGION, bad.id)]) == set()
        assert all(node == bad.id for node, _ in hub.beats)
        await client.close()


async def test_a_node_may_hear_only_itself(tmp_path: Path) -> None:
    hub = Hub()
    async with started(tmp_path) as rig, rig.hub(hub) as bus, rig.node() as other:
        refused: list[str] = []
        client = await rig.hostile(rig.make_node(), refused)
        overheard: asyncio.Queue[object] = asyncio.Queue()
        wanted = [
            subjects.assign(REGION, other.id), subjects.assign(REGION, "*"), "sk.>", ">", "*",
            subjects.beat(REGION, "*"), f"{subjects.inbox(other.id)}.>", f"{subjects.HUB_INBOX}.>",
            f"{subjects.answer(other.id)}.>", "_INBOX_answer.>", "$JS.>", "$SYS.>",
        ]  # fmt: skip
        for subject in wanted:
            await client.subscribe(subject, cb=overheard.put)
        for subject in wanted:
            await said(refused, subject)
        hub.rows[other.id] = row(other.id, 1, b"secret")
        bus.publish([other.id])
        await other.next_heard()
        await link.settle(client)
        assert overheard.empty()
        await client.close()


@pytest.mark.parametrize(
    "payload", [b"", b'{"seq":1}', b'{"next_by_subj":">"}', b'{"multi_last":["sk.>"],"batch":9}']
)
async def test_a_direct_get_gives_a_node_its_own_alone(tmp_path: Path, payload: bytes) -> None:
    hub = Hub()
    async with started(tmp_path) as rig, rig.hub(hub) as bus, rig.node() as other:
        hub.rows[other.id] = row(other.id, 1, b"secret")
        bus.publish([other.id])
        await other.next_heard()
        bad = rig.make_node()
        client = await rig.hostile(bad, [])
        reply = await client.request(subjects.direct_get(REGION, bad.id), payload, timeout=5)
        assert reply.data == b""
        await client.close()


async def test_answers_go_only_to_the_node_that_asked(tmp_path: Path) -> None:
    """A beat whose answer is wanted on another node's subject would make the hub speak there."""
    hub = Hub()
    async with started(tmp_path) as rig, rig.hub(hub) as bus, rig.node() as other:
        bad = rig.make_node()
        client = await rig.hostile(bad, [])
        for target in (
            subjects.assign(REGION, other.id),
            subjects.ask(REGION, other.id),
            f"{subjects.inbox(other.id)}.x",
        ):
            await client.publish(subjects.beat(REGION, bad.id), encode(Beat("b")), reply=target)
        await client.publish(subjects.beat(REGION, bad.id), encode(Beat("b")))
        await link.settle(client)
        assert (await other.bus.beat(Beat("mine"))).number == 1  # nothing was answered before
        assert bus.rejects.total == 4
        assert other.heard.empty()
        await client.close()


async def test_a_reply_subject_gives_a_node_no_place_in_anothers_stream(tmp_path: Path) -> None:
    """A direct get is answered wherever it asks for: another node may hear that, but the stream keeps its own."""
    hub = Hub()
    async with started(tmp_path) as rig, rig.hub(hub) as bus, rig.node() as other:
        bad = rig.make_node()
        hub.rows = {bad.id: row(bad.id, 1, b"for the bad one"), other.id: row(other.id, 1, b"secret")}
        bus.publish([bad.id])
        await on_the_stream(bus)
        bus.publish([other.id])
        assert await other.next_heard() == b"secret"
        await on_the_stream(bus)
        client = await rig.hostile(bad, [])
        await client.publish(subjects.direct_get(REGION, bad.id), reply=subjects.assign(REGION, other.id))
        assert await other.next_heard() == b"for the bad one"  # names another node: it is not accepted
        assert await other.bus.newest() == b"secret"
        await client.close()
