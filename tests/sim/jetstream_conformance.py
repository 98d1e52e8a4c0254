"""What Skerry relies on JetStream to do. Each promise runs on the fake and on the real one."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import NoStreamResponseError, NotFoundError

from skerry_hub.nats import link
from skerry_hub.nats.publisher import EXPECTED_SEQUENCE, NO_MESSAGE, WRONG_LAST_SEQUENCE
from skerry_protocol import subjects
from tests.natsrig import REGION

from .nats_conformance import Node, Place, js_of, promises, raises, raises_code, words

NO_STREAM = 10_059
FULL_FOR_SUBJECT = 10_077
SHORT_S = 0.2  # how long what must not happen is watched for


async def streams(hub: Client) -> bool:
    """Made as the hub makes them. Whether the stream of assignments is new."""
    return await link.ensure_streams(js_of(hub), REGION)


async def source(hub: Client) -> JetStreamContext.PullSubscription:
    return await js_of(hub).pull_subscribe_bind(
        consumer=subjects.REPORT_CONSUMER, stream=subjects.REPORT_STREAM
    )


async def fetched(pull: JetStreamContext.PullSubscription, timeout_s: float = 5.0) -> list[Msg]:
    try:
        return await pull.fetch(64, timeout=timeout_s)
    except (TimeoutError, nats.errors.TimeoutError):
        return []


async def said(node: Node, *words: bytes) -> None:
    for word in words:
        await js_of(node.client).publish(node.report, word, stream=subjects.REPORT_STREAM)


# The stream of assignments


async def last_of(hub: Client, node: Node) -> bytes | None:
    try:
        return (await js_of(hub).get_last_msg(subjects.ASSIGN_STREAM, node.assign)).data
    except NotFoundError as error:
        if error.err_code != NO_MESSAGE:
            raise
        return None


async def streams_are_made_once_and_survive_a_kill(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    assert await streams(hub)
    assert not await streams(hub)
    await js_of(hub).publish(node.assign, b"kept")
    await said(node, b"kept")
    await place.restart()
    hub = await place.hub()
    assert not await streams(hub)
    # All of it is in the hub's store: what is acknowledged need not be on the disk yet.
    assert await last_of(hub, node) in {b"kept", None}
    assert words(await fetched(await source(hub))) == [b"kept"]
    await place.restart(wiped=True)
    hub = await place.hub()
    await raises_code(NO_STREAM, js_of(hub).get_last_msg(subjects.ASSIGN_STREAM, node.assign))
    assert await streams(hub)
    await raises_code(NO_MESSAGE, js_of(hub).get_last_msg(subjects.ASSIGN_STREAM, node.assign))


async def a_node_gets_the_last_one_by_direct_get(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    get = subjects.direct_get(REGION, node.id)
    await raises(nats.errors.NoRespondersError, node.client.request(get, timeout=5))
    await streams(hub)
    assert ((await node.client.request(get, timeout=5)).headers or {}).get("Status") == "404"
    for data in (b"one", b"two"):
        await js_of(hub).publish(node.assign, data)
    answer = await node.client.request(get, timeout=5)
    assert (answer.data, (answer.headers or {}).get("Status")) == (b"two", None)


async def an_assignment_is_heard_live_too(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    await streams(hub)
    heard = await node.client.subscribe(node.assign)
    await link.settle(node.client)
    await js_of(hub).publish(node.assign, b"one", stream=subjects.ASSIGN_STREAM)
    assert (await heard.next_msg(timeout=5)).data == b"one"


async def the_expected_sequence_is_held(place: Place) -> None:
    hub, node, other = await place.hub(), await place.node(), await place.node()
    await streams(hub)
    heard = await node.client.subscribe(node.assign)
    await link.settle(node.client)

    async def put(one: Node, data: bytes, sequence: int) -> int:
        headers = {EXPECTED_SEQUENCE: str(sequence)}
        return (await js_of(hub).publish(one.assign, data, headers=headers)).seq

    assert await put(node, b"a", 0) == 1
    assert await put(other, b"b", 0) == 2
    assert await put(node, b"c", 1) == 3
    await raises_code(WRONG_LAST_SEQUENCE, put(node, b"stale", 1))
    await raises_code(WRONG_LAST_SEQUENCE, put(other, b"stale", 0))
    last = await js_of(hub).get_last_msg(subjects.ASSIGN_STREAM, node.assign)
    assert (last.seq, last.data) == (3, b"c")
    # Who listens hears it all the same: what counts is only what is signed.
    assert [(await heard.next_msg(timeout=5)).data for _ in range(3)] == [b"a", b"c", b"stale"]


async def publishing_to_a_stream_that_is_gone(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    await streams(hub)
    await place.lose_streams()
    js = js_of(hub)
    await raises(NoStreamResponseError, js.publish(node.assign, b"", timeout=5))
    await raises(NoStreamResponseError, js_of(node.client).publish(node.report, b"", timeout=5))
    await node.client.subscribe(node.assign)
    await link.settle(node.client)
    # Somebody hears it, so that nothing says that it is not stored.
    await raises(nats.errors.TimeoutError, js.publish(node.assign, b"", timeout=0.05))
    await raises(NotFoundError, js.stream_info(subjects.ASSIGN_STREAM))
    assert await streams(hub)


# The stream of reports


async def reports_come_in_order_until_they_are_taken(place: Place) -> None:
    hub, node, other = await place.hub(), await place.node(), await place.node()
    await streams(hub)
    pull = await source(hub)
    await said(node, b"1", b"2")
    await said(other, b"3")
    await said(node, b"4")
    messages = await fetched(pull)
    assert words(messages) == [b"1", b"2", b"3", b"4"]
    assert [one.subject for one in messages] == [node.report, node.report, other.report, node.report]
    assert await fetched(pull, SHORT_S) == []  # they are out
    for one in messages:
        await one.ack()
    await said(node, b"5")
    assert words(await fetched(pull)) == [b"5"]


async def a_fetch_waits_for_a_report(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    await streams(hub)
    waiting = asyncio.ensure_future(fetched(await source(hub), 30))
    await link.settle(hub)
    await said(node, b"1")
    async with asyncio.timeout(5):  # not for the whole of the fetch's time
        assert words(await waiting) == [b"1"]


async def what_is_put_back_comes_again_later(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    await streams(hub)
    pull = await source(hub)
    await said(node, b"bad", b"good")
    bad, good = await fetched(pull)
    await bad.nak(delay=0.5)
    await good.ack()
    await said(node, b"next")
    (following,) = await fetched(pull)
    assert following.data == b"next"
    await following.ack()
    assert await fetched(pull, SHORT_S) == []
    (again,) = await fetched(pull)
    assert again.data == b"bad"
    await again.term()
    assert await fetched(pull, 0.6) == []


async def what_a_hub_that_died_had_fetched_is_passed_over(place: Place) -> None:
    """Until ack_wait is over, or the consumer is made anew: what came later comes first."""
    hub, node = await place.hub(), await place.node()
    await streams(hub)
    await said(node, b"1", b"2")
    assert words(await fetched(await source(hub))) == [b"1", b"2"]
    await link.close(hub)
    await said(node, b"3")
    hub = await place.hub()
    assert words(await fetched(await source(hub))) == [b"3"]


async def a_report_with_an_id_is_stored_once(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    await streams(hub)
    pull, js = await source(hub), js_of(node.client)

    async def publish(data: bytes, name: str) -> tuple[int, bool]:
        done = await js.publish(node.report, data, headers={"Nats-Msg-Id": name})
        return done.seq, bool(done.duplicate)

    assert await publish(b"1", "one") == (1, False)
    assert await publish(b"2", "two") == (2, False)
    assert await publish(b"1", "one") == (1, True)
    messages = await fetched(pull)
    assert words(messages) == [b"1", b"2"]
    for one in messages:
        await one.ack()
    await link.settle(hub)
    assert await publish(b"1", "one") == (1, True)  # taken, and still known
    await place.restart()
    node = Node(node.id, (again := await place.node()).client)
    js = js_of(again.client)
    done = await js.publish(again.report, b"1", headers={"Nats-Msg-Id": "one"})
    assert not done.duplicate  # the server knew it only as long as it stored it


async def ids_are_forgotten_after_their_window(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    await js_of(hub).add_stream(replace(link._report_stream(REGION), duplicate_window=0.2))
    js, headers = js_of(node.client), {"Nats-Msg-Id": "one"}
    assert not (await js.publish(node.report, b"1", headers=headers)).duplicate
    assert (await js.publish(node.report, b"1", headers=headers)).duplicate
    async with asyncio.timeout(10):
        while (await js.publish(node.report, b"1", headers=headers)).duplicate:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def one_node_fills_only_its_own_share(place: Place) -> None:
    hub, node, other = await place.hub(), await place.node(), await place.node()
    await js_of(hub).add_stream(replace(link._report_stream(REGION), max_msgs_per_subject=3))
    await said(node, b"1", b"2", b"3")
    await raises_code(FULL_FOR_SUBJECT, said(node, b"4"))
    await said(other, b"1")


async def nothing_is_fetched_where_nothing_is(place: Place) -> None:
    hub = await place.hub()
    await streams(hub)
    pull = await source(hub)
    await raises(nats.errors.TimeoutError, pull.fetch(64, timeout=SHORT_S))
    await pull.consumer_info()
    await place.lose_streams()
    await raises(nats.errors.Error, pull.consumer_info())


PROMISES = promises(sys.modules[__name__], last_of, streams, source, fetched, said)
