"""The hub's bus against a real nats-server. Each test starts one: about 0.5 s."""

import asyncio
import json
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from skerry_hub.nats import auth, config, link, publisher, reports
from skerry_hub.nats.nkeys import Kind, public_text
from skerry_protocol import subjects
from skerry_protocol.codec import decode
from skerry_protocol.ids import NodeId
from skerry_protocol.messages import AssignmentAt, Beat, Entry, Event, ReportBatch
from skerry_protocol.signing import new_key, public_key
from tests.natsrig import DEADLINE_S, REGION, Hub, Rig, on_the_stream, row, running, started, until, within


def batch(number: int) -> ReportBatch:
    return ReportBatch("box", (Entry(number, event=Event("boot", "booted", 5)),))


async def test_what_is_no_message_is_dropped_counted_and_the_next_is_served(tmp_path: Path) -> None:
    hub = Hub()
    async with started(tmp_path) as rig, rig.hub(hub) as bus, rig.node() as node:
        bad = rig.make_node()
        client = await rig.hostile(bad, [])
        for data in (
            b"",
            b"\xff",
            b"x" * 1000,
            b"\x81\xa4boot\x01",
            b"\xdd\xff\xff\xff\xff",
            b"a" * (300 << 10),
        ):
            with pytest.raises(nats.errors.TimeoutError):
                await client.request(subjects.beat(REGION, bad.id), data, timeout=0.02)
            await client.publish(subjects.report(REGION, bad.id), data)
        await link.settle(client)
        await node.bus.report(batch(1))
        assert await hub.next_report() == (node.id, batch(1))
        await node.bus.beat(Beat("b"))
        assert bus.rejects.total == 12
        assert {key for key, _ in bus.rejects.seen.items()} == {(bad.id, "beat"), (bad.id, "report")}
        await client.close()


async def test_more_than_a_message_may_have_is_refused_by_the_server(tmp_path: Path) -> None:
    async with started(tmp_path) as rig, rig.hub(Hub()):
        bad = rig.make_node()
        client = await rig.hostile(bad, [])
        with pytest.raises(nats.errors.MaxPayloadError):
            await client.publish(subjects.beat(REGION, bad.id), b"x" * ((1 << 20) + 1))
        await client.close()


async def test_a_revoked_machine_is_thrown_out_and_stays_out(tmp_path: Path) -> None:
    hub = Hub()
    async with started(tmp_path) as rig, rig.node() as node, rig.node() as other:
        async with rig.hub(hub) as bus:
            lost = asyncio.create_task(node.bus._lost.wait())
            hub.revoked.add(public_key(node.key))
            await bus.revoke(public_key(node.key))
            await within(lost)
            with pytest.raises(Exception, match=r"(?i)authori[sz]ation|revoked|cannot reach NATS"):
                await rig.hostile(node, [])
            assert (await other.bus.beat(Beat("b"))).number == 1
        # It also stays out when the server starts afresh with an account token that is older than the stored one.
        await restart(rig)
        with pytest.raises(Exception, match="cannot reach NATS"):
            await rig.hostile(node, [])


async def restart(rig: Rig) -> None:
    """Kills the server and waits for the next one."""
    pid, starts = rig.server.pid, rig.server.starts
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: rig.server.starts > starts)
    await within(rig.server.ready.wait())


async def test_a_revocation_that_the_server_missed_is_made_on_the_next_connection(tmp_path: Path) -> None:
    hub = Hub()
    async with started(tmp_path) as rig, rig.node() as node:
        lost = asyncio.create_task(node.bus._lost.wait())
        hub.revoked.add(public_key(node.key))
        async with rig.hub(hub):
            await within(lost)


async def test_the_newest_bytes_are_read_at_sending(tmp_path: Path) -> None:
    hub = Hub()
    async with started(tmp_path) as rig, rig.node() as node:
        async with rig.hub(hub) as bus:
            for number in range(20):
                hub.rows[node.id] = row(node.id, number, b"v%d" % number)
                bus.publish([node.id])
            while await node.next_heard() != b"v19":
                pass
            assert bus.publisher.sent < 20
        hub.rows[node.id] = row(node.id, 99, b"made while the bus was away")
        async with rig.hub(hub):
            assert await node.next_heard() == b"made while the bus was away"


async def test_what_waits_for_its_turn_is_sent_and_what_is_wanted_meanwhile_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "AT_ONCE", 2)
    hub = Hub()
    async with started(tmp_path) as rig, rig.hub(hub) as bus:
        nodes = [rig.make_node() for _ in range(7)]
        for number in (1, 2):
            hub.rows |= {node.id: row(node.id, number, b"v%d" % number) for node in nodes}
            bus.publish([node.id for node in nodes])
            await asyncio.sleep(0)  # some of them are on their way
            assert len(bus.publisher._busy) <= 2
        await within(bus.publisher.drained())
        assert not bus.publisher.waiting
        js = bus._up().jetstream()
        for node in nodes:
            last = await js.get_last_msg(subjects.ASSIGN_STREAM, subjects.assign(REGION, node.id))
            assert last.data == b"v2"


async def test_what_is_too_big_is_only_announced(tmp_path: Path) -> None:
    hub = Hub()
    async with started(tmp_path) as rig, rig.hub(hub) as bus, rig.node() as node:
        hub.rows[node.id] = row(node.id, 1, b"x" * (publisher.INLINE_MAX + 1))
        bus.publish([node.id])
        told = decode(AssignmentAt, await node.next_heard())
        assert told == AssignmentAt(hub.rows[node.id].issued, publisher.INLINE_MAX + 1)


async def test_two_hubs_that_write_at_once_end_with_one_order(tmp_path: Path) -> None:
    one, two = Hub(), Hub()
    async with started(tmp_path) as rig, rig.node() as node, rig.hub(one) as bus, rig.hub(two) as rival:
        one.rows[node.id] = row(node.id, 1, b"one")
        bus.publish([node.id])
        assert await node.next_heard() == b"one"
        await on_the_stream(bus)
        two.rows[node.id] = row(node.id, 2, b"two")
        rival.publish([node.id])
        assert await node.next_heard() == b"two"
        await on_the_stream(rival)
        assert two.held == [(node.id, b"one")]
        one.rows[node.id] = row(node.id, 3, b"three")
        bus.publish([node.id])  # its last sequence is wrong by now
        assert await node.next_heard() == b"three"
        await on_the_stream(bus)
        assert await node.next_heard() == b"three"
        assert one.held == [(node.id, b"two")]
        assert await node.bus.newest() == b"three"


async def test_a_restored_hub_is_asked_before_it_writes_over_what_it_never_issued(tmp_path: Path) -> None:
    before, restored = Hub(), Hub(replace=False)
    async with started(tmp_path) as rig, rig.node() as node:
        before.rows[node.id] = row(node.id, 7, b"seven")
        async with rig.hub(before) as bus:
            assert await node.next_heard() == b"seven"
            await on_the_stream(bus)
        restored.rows[node.id] = row(node.id, 3, b"three")
        async with rig.hub(restored) as bus:
            await on_the_stream(bus)
            assert restored.held == [(node.id, b"seven")]
            assert await node.bus.newest() == b"seven"


async def test_a_stream_that_was_lost_is_made_anew_and_filled(tmp_path: Path) -> None:
    """Takes 3 s: only an acknowledgement that does not come shows that the stream is gone."""
    hub = Hub()
    async with started(tmp_path) as rig, rig.hub(hub) as bus, rig.node() as node, rig.node() as other:
        for one in (node, other):
            hub.rows[one.id] = row(one.id, 1, b"first")
        bus.publish([node.id, other.id])
        assert await node.next_heard() == await other.next_heard() == b"first"
        await lose_streams(rig)
        hub.rows[node.id] = row(node.id, 2, b"second")
        bus.publish([node.id])
        assert await node.next_heard() == b"second"
        assert await other.next_heard() == b"first"  # for those who were away
        await node.bus.report(batch(1))
        assert await hub.next_report() == (node.id, batch(1))


async def all_powerful(rig: Rig) -> Client:
    """An account user who may do anything."""
    key = new_key()
    token = auth._issue(
        rig.accounts.signing, Kind.ACCOUNT, public_text(Kind.USER, public_key(key)), "god", 1,
        {**auth._permissions([">"], [">"]), "issuer_account": rig.accounts.mesh_id},
    )  # fmt: skip
    return await link.connect((rig.server.url,), rig.hub_tls, token, key, lambda: None)


async def lose_streams(rig: Rig) -> None:
    """What a lost disk does."""
    client = await all_powerful(rig)
    for stream in (subjects.ASSIGN_STREAM, subjects.REPORT_STREAM):
        await client.jetstream().delete_stream(stream)
    await client.close()


async def test_a_report_is_acknowledged_only_after_it_was_stored(tmp_path: Path) -> None:
    hub = Hub(failures=2)
    async with started(tmp_path) as rig, rig.node() as node:
        async with rig.hub(Hub()):
            pass  # makes the streams
        await node.bus.report(batch(1))
        await node.bus.report(batch(2))
        async with rig.hub(hub) as bus:
            assert await hub.next_report() == (node.id, batch(1))
            assert await hub.next_report() == (node.id, batch(2))
            assert bus.rejects.total == 2


class Choosy(Hub):
    """A hub that cannot store what one node says."""

    bad: NodeId

    async def on_report(self, *reports: tuple[NodeId, ReportBatch]) -> None:
        if any(node == self.bad for node, _ in reports):
            raise OSError("it cannot be stored")
        await super().on_report(*reports)


async def test_a_report_that_cannot_be_stored_holds_up_no_other_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "FIRST_PAUSE_S", 0.001)
    hub = Choosy()
    async with started(tmp_path) as rig, rig.node() as bad, rig.node() as good:
        hub.bad = bad.id
        async with rig.hub(Hub()):
            pass  # the streams are there
        for number in (1, 2):
            await bad.bus.report(ReportBatch("bad", batch(number).entries))
            await good.bus.report(batch(number))
        async with rig.hub(hub):
            assert await hub.next_report() == (good.id, batch(1))
            assert await hub.next_report() == (good.id, batch(2))


async def test_what_the_stream_has_already_is_not_written_again(tmp_path: Path) -> None:
    hub = Hub()
    async with started(tmp_path) as rig:
        node = rig.make_node()
        hub.rows[node.id] = row(node.id, 1, b"one")
        async with rig.hub(hub) as bus:
            await on_the_stream(bus)
            assert bus.publisher.sent == 1
        async with rig.hub(hub) as bus:
            await on_the_stream(bus)
            assert bus.publisher.sent == 0
            hub.rows[node.id] = row(node.id, 2, b"two")
            bus.publish([node.id])
            await on_the_stream(bus)
            assert bus.publisher.sent == 1


class Stuck(Hub):
    """A hub that dies while it stores a report."""

    taken: asyncio.Event

    async def on_report(self, *_reports: tuple[NodeId, ReportBatch]) -> None:
        self.taken.set()
        await asyncio.Event().wait()


async def test_what_a_hub_that_died_had_taken_comes_first_to_the_next(tmp_path: Path) -> None:
    """An entry that came after a later one would be taken for one that is known."""
    stuck, hub = Stuck(), Hub()
    stuck.taken = asyncio.Event()
    async with started(tmp_path) as rig, rig.node() as node:
        async with rig.hub(stuck):
            await node.bus.report(batch(1))
            await within(stuck.taken.wait())
        await node.bus.report(batch(2))
        async with rig.hub(hub):
            assert await hub.next_report() == (node.id, batch(1))
            assert await hub.next_report() == (node.id, batch(2))


async def test_a_report_that_comes_twice_is_taken_once(tmp_path: Path) -> None:
    hub = Hub()
    async with started(tmp_path) as rig, rig.hub(hub), rig.node() as node:
        for _ in range(3):
            await node.bus.report(batch(1))
        await node.bus.report(batch(2))
        assert await hub.next_report() == (node.id, batch(1))
        assert await hub.next_report() == (node.id, batch(2))


async def test_one_node_cannot_fill_the_stream_of_reports(tmp_path: Path) -> None:
    async with started(tmp_path) as rig:
        async with rig.hub(Hub()):
            pass
        bad = rig.make_node()
        client = await rig.hostile(bad, [])
        js = client.jetstream()
        for number in range(1_000):
            await js.publish_async(
                subjects.report(REGION, bad.id), b"%d" % number, stream=subjects.REPORT_STREAM
            )
        await within(js.publish_async_completed())
        reply = await client.request(subjects.report(REGION, bad.id), b"one more", timeout=5)
        assert "maximum messages per subject exceeded" in json.loads(reply.data)["error"]["description"]
        async with rig.node() as node:
            await node.bus.report(batch(1))
        await client.close()


async def test_whoever_settled_is_heard(tmp_path: Path) -> None:
    """The client's own flush lets its PING overtake what still waits to be written."""
    async with started(tmp_path) as rig:
        hears, asks = await all_powerful(rig), await all_powerful(rig)

        async def answer(message: Msg) -> None:
            await message.respond(b"here")

        for number in range(500):
            await hears.subscribe(f"test.{number}", cb=answer)
            await link.settle(hears)
            assert (await asks.request(f"test.{number}", timeout=DEADLINE_S)).data == b"here"
        await link.close(hears)
        await link.close(asks)


async def test_the_bus_comes_back_after_the_server_was_killed(tmp_path: Path) -> None:
    hub = Hub()
    async with started(tmp_path) as rig, rig.hub(hub) as bus, rig.node() as node:
        hub.rows[node.id] = row(node.id, 1, b"first")
        bus.publish([node.id])
        assert await node.next_heard() == b"first"
        await within(hub.connections.get())
        await within(node.connections.get())
        await restart(rig)
        await within(hub.connections.get())  # counts as a beat from everybody
        await within(node.connections.get())
        assert await node.next_heard() == b"first"  # the stream survived, or was filled again
        assert (await node.bus.beat(Beat("b"))).number == 1


# As long as the limit and the nodes' back-off take: seconds.
async def test_nodes_that_the_server_turns_away_when_all_come_at_once_come_in_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "LOGINS_A_SECOND", 2)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    async with started(tmp_path) as rig, AsyncExitStack() as stack:
        nodes = [rig.make_node() for _ in range(6)]
        for node in nodes:
            await stack.enter_async_context(running(node.bus.run()))
        await until(lambda: any(node.bus.trouble != "not connected yet" for node in nodes))
        for node in nodes:
            await within(node.bus.connected.wait())
