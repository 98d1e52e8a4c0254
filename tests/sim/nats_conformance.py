"""What Skerry relies on NATS to do. Each promise runs on the fake and on the real one; JetStream's have their own file.

A promise gets a `Place` and uses only what the real clients have, through Skerry's own functions where there is one.
Not here: who may say what (the fake does not check it; tests/hub/nats/test_permissions.py does), and TLS and login.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import APIError

from skerry_hub.nats import link
from skerry_protocol import subjects
from skerry_protocol.ids import NodeId
from tests.natsrig import REGION, within


@dataclass
class Node:
    """One node's connection."""

    id: NodeId
    client: Client

    @property
    def assign(self) -> str:
        return subjects.assign(REGION, self.id)

    @property
    def beat(self) -> str:
        return subjects.beat(REGION, self.id)

    @property
    def report(self) -> str:
        return subjects.report(REGION, self.id)


class Place(Protocol):
    """A server that runs, and ways to it."""

    async def hub(self, lost: Callable[[], None] = ...) -> Client:
        """The hub connects."""

    async def node(self, lost: Callable[[], None] = ...) -> Node:
        """Another node connects."""

    async def restart(self, wiped: bool = False) -> None:
        """The server is killed and starts, `wiped` with an empty store."""

    async def lose_streams(self) -> None:
        """They go while everybody stays connected."""


Promise = Callable[[Place], Awaitable[None]]


def js_of(client: Client) -> JetStreamContext:
    return client.jetstream(timeout=link.REQUEST_WITHIN_S)


def words(messages: list[Msg]) -> list[bytes]:
    return [message.data for message in messages]


async def echo(client: Client, subject: str) -> None:
    async def answer(message: Msg) -> None:
        await message.respond(b"re:" + message.data)

    await client.subscribe(subject, cb=answer)
    await link.settle(client)


# Messages


async def messages_come_whole_and_in_order(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    heard = await node.client.subscribe(node.assign)
    await link.settle(node.client)
    for number in range(300):
        await hub.publish(node.assign, b"%d" % number, headers={"N": str(number)})
    for number in range(300):
        message = await heard.next_msg(timeout=5)
        assert (message.subject, message.data, message.reply) == (node.assign, b"%d" % number, "")
        assert message.headers == {"N": str(number)}


async def a_message_without_headers_has_none(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    heard = await node.client.subscribe(node.assign)
    await link.settle(node.client)
    await hub.publish(node.assign)
    message = await heard.next_msg(timeout=5)
    assert (message.data, message.headers) == (b"", None)


async def a_star_is_one_word(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    heard = await hub.subscribe(subjects.beat(REGION, "*"))
    await link.settle(hub)
    await node.client.publish(node.beat, b"mine")
    await node.client.publish(f"{node.beat}.more", b"longer")
    await node.client.publish(node.beat, b"again")
    assert [(await heard.next_msg(timeout=5)).data for _ in range(2)] == [b"mine", b"again"]


async def an_arrow_is_one_word_or_more(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    inbox = subjects.inbox(node.id)
    heard = await node.client.subscribe(f"{inbox}.>")
    await link.settle(node.client)

    async def answer(message: Msg) -> None:
        await message.respond(message.data)

    await hub.subscribe(subjects.beat(REGION, "*"), cb=answer)
    await link.settle(hub)
    for to in (f"{inbox}.a", f"{inbox}.a.b"):
        await node.client.publish(node.beat, to.encode(), reply=to)
        message = await heard.next_msg(timeout=5)
        assert (message.subject, message.data) == (to, to.encode())


async def who_left_hears_nothing(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    heard = await node.client.subscribe(node.assign)
    await link.settle(node.client)
    await heard.unsubscribe()
    await link.settle(node.client)
    try:
        await hub.request(node.assign, b"x", timeout=5)
    except nats.errors.NoRespondersError:
        return
    raise AssertionError("somebody heard it")


async def nothing_to_hear_is_a_timeout(place: Place) -> None:
    node = await place.node()
    heard = await node.client.subscribe(node.assign)
    await raises(nats.errors.TimeoutError, heard.next_msg(timeout=0.02))


async def callbacks_come_one_by_one_and_a_failure_ends_nothing(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    running, heard, done = [0], [], asyncio.Event()

    async def slow(message: Msg) -> None:
        running[0] += 1
        assert running[0] == 1
        await asyncio.sleep(0)
        running[0] -= 1
        heard.append(message.data)
        if message.data == b"4":
            done.set()
        raise ValueError(message.data)

    await node.client.subscribe(node.assign, cb=slow)
    await link.settle(node.client)
    for number in range(5):
        await hub.publish(node.assign, b"%d" % number)
    await within(done.wait())
    assert heard == [b"0", b"1", b"2", b"3", b"4"]


async def two_subscriptions_do_not_wait_for_each_other(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    stuck, second = asyncio.Event(), asyncio.Event()

    async def sticks(_message: Msg) -> None:
        stuck.set()
        await asyncio.Event().wait()

    async def goes(_message: Msg) -> None:
        second.set()

    await node.client.subscribe(node.assign, cb=sticks)
    await node.client.subscribe(subjects.nudge(REGION, node.id), cb=goes)
    await link.settle(node.client)
    await hub.publish(node.assign)
    await within(stuck.wait())
    await hub.publish(subjects.nudge(REGION, node.id))
    await within(second.wait())


async def more_than_may_wait_is_dropped(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    heard = await node.client.subscribe(node.assign, pending_msgs_limit=4)
    bounded = await node.client.subscribe(subjects.ask(REGION, node.id), pending_bytes_limit=100)
    await link.settle(node.client)
    for number in range(9):
        await hub.publish(node.assign, b"%d" % number)
        await hub.publish(subjects.ask(REGION, node.id), b"%d" % number * 30)
    await link.settle(hub)
    await link.settle(node.client)
    assert [(await heard.next_msg()).data for _ in range(4)] == [b"0", b"1", b"2", b"3"]
    assert [(await bounded.next_msg()).data[:1] for _ in range(3)] == [b"0", b"1", b"2"]
    for one in (heard, bounded):
        await raises(nats.errors.TimeoutError, one.next_msg(timeout=0.02))


async def too_much_in_one_message_is_refused(place: Place) -> None:
    node = await place.node()
    await node.client.publish(node.beat, bytes(1 << 20))
    await raises(nats.errors.MaxPayloadError, node.client.publish(node.beat, bytes((1 << 20) + 1)))


# Requests


async def a_request_is_answered(place: Place) -> None:
    hub, node, other = await place.hub(), await place.node(), await place.node()
    await echo(hub, subjects.beat(REGION, "*"))
    asked = [(one, b"%d" % number) for number in range(20) for one in (node, other)]
    answers = await asyncio.gather(*(one.client.request(one.beat, data, timeout=5) for one, data in asked))
    assert words(answers) == [b"re:" + data for _, data in asked]
    assert all(
        answer.subject.startswith(f"{subjects.inbox(one.id)}.")
        for answer, (one, _) in zip(answers, asked, strict=True)
    )


async def a_request_that_nobody_hears_fails_at_once(place: Place) -> None:
    node = await place.node()
    await raises(nats.errors.NoRespondersError, node.client.request(node.beat, b"", timeout=60))


async def a_question_that_nobody_hears_is_answered_503(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    inbox = f"{subjects.answer(node.id)}.{hub.new_inbox().rsplit('.', 1)[-1]}"
    listening = await hub.subscribe(inbox)
    await hub.publish(subjects.ask(REGION, node.id), b"", reply=inbox)
    message = await listening.next_msg(timeout=5)
    assert ((message.headers or {}).get("Status"), message.data) == ("503", b"")


async def a_request_without_an_answer_times_out(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    await hub.subscribe(subjects.beat(REGION, "*"))
    await link.settle(hub)
    await raises(nats.errors.TimeoutError, node.client.request(node.beat, b"", timeout=0.05))


async def inboxes_differ_and_begin_as_they_must(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    for client, prefix in ((hub, subjects.HUB_INBOX), (node.client, subjects.inbox(node.id))):
        made = {client.new_inbox() for _ in range(10)}
        assert len(made) == 10
        assert all(one.startswith(f"{prefix}.") and one.count(".") == 1 for one in made)


async def what_wants_no_answer_cannot_be_answered(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    heard = await hub.subscribe(subjects.beat(REGION, "*"))
    await link.settle(hub)
    await node.client.publish(node.beat)
    await raises(nats.errors.Error, (await heard.next_msg(timeout=5)).respond(b""))


# Connections


async def who_settled_is_heard(place: Place) -> None:
    hub, node = await place.hub(), await place.node()
    await echo(hub, subjects.beat(REGION, "*"))
    assert (await node.client.request(node.beat, b"x", timeout=5)).data == b"re:x"


async def a_killed_server_is_noticed(place: Place) -> None:
    lost = asyncio.Event()
    hub, node = await place.hub(), await place.node(lost.set)
    heard = await hub.subscribe(subjects.beat(REGION, "*"))
    waiting = asyncio.ensure_future(heard.next_msg(timeout=60))
    await link.settle(hub)
    await place.restart()
    await within(lost.wait())
    await raises(nats.errors.ConnectionClosedError, waiting)
    await within(closed(node.client))
    await dead(node)


async def who_closes_is_told_and_can_do_nothing_more(place: Place) -> None:
    lost = asyncio.Event()
    node = await place.node(lost.set)
    heard = await node.client.subscribe(node.assign)
    await link.close(node.client)
    await within(lost.wait())
    await dead(node)
    await raises(nats.errors.ConnectionClosedError, heard.next_msg())
    await raises(nats.errors.ConnectionClosedError, heard.unsubscribe())
    await link.close(node.client)


async def dead(node: Node) -> None:
    """Nothing works on its connection."""
    closed_error = nats.errors.ConnectionClosedError
    await raises(closed_error, node.client.publish(node.beat))
    await raises(closed_error, node.client.request(node.beat, b"", timeout=5))
    await raises(closed_error, node.client.subscribe(node.assign))
    await raises(closed_error, node.client.flush())
    await raises(closed_error, js_of(node.client).publish(node.report))


# How failures are looked for


async def raises(kind: type[BaseException], work: Awaitable[object]) -> None:
    """asyncio's own TimeoutError is as good as the client's: Skerry takes either."""
    kinds = (kind, TimeoutError) if kind is nats.errors.TimeoutError else (kind,)
    with pytest.raises(kinds):
        async with asyncio.timeout(60):
            await work


async def raises_code(code: int, work: Awaitable[object]) -> None:
    with pytest.raises(APIError) as caught:
        await work
    assert caught.value.err_code == code


async def closed(client: Client) -> None:
    while not client.is_closed:  # noqa: ASYNC110
        await asyncio.sleep(0.005)


def promises(module: ModuleType, *helpers: Callable[..., object]) -> dict[str, Promise]:
    """The promises of a module: its own coroutine functions, but for those that help."""
    return {
        name: one
        for name, one in vars(module).items()
        if inspect.iscoroutinefunction(one) and one.__module__ == module.__name__ and one not in helpers
    }


PROMISES = promises(sys.modules[__name__], echo, dead, raises, raises_code, closed)
