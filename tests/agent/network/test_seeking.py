import asyncio

import pytest

from skerry_agent.network.hubs import TRY_MS
from skerry_agent.network.seeking import Seeker, literal, resolve
from skerry_protocol.network import HubAt


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("192.0.2.1:51820", "192.0.2.1:51820"),
        ("[2001:db8:0::1]:51820", "[2001:db8::1]:51820"),
        ("hub.example:51820", None),
        ("rubbish", None),
        ("", None),
    ],
)
def test_an_address_needs_no_name_server(text: str, found: str | None) -> None:
    assert literal(text) == found


def test_a_name_is_looked_up_and_one_that_nobody_knows_is_none() -> None:
    assert asyncio.run(resolve("localhost:51820")) in {"127.0.0.1:51820", "[::1]:51820"}
    assert asyncio.run(resolve("nobody.invalid:51820")) is None
    assert asyncio.run(resolve("rubbish")) is None


def test_what_is_slow_is_asked_once_at_a_time_and_told_when_it_is_there() -> None:
    asked: list[str] = []

    async def play() -> None:
        answer, told, now = asyncio.Event(), asyncio.Event(), 0

        async def slow(text: str) -> str | None:
            asked.append(text)
            await answer.wait()
            return "192.0.2.1:1"

        seeker = Seeker(slow, lambda: now, told.set)
        hubs = [HubAt(b"k" * 32, "fd00::1", ("hub.example:1",))]
        for _ in range(3):
            seeker.look(hubs, {}, {})
            now += TRY_MS
            await asyncio.sleep(0)
        assert seeker.take() == {}
        answer.set()
        await asyncio.wait_for(told.wait(), 10)
        assert seeker.take() == {b"k" * 32: "192.0.2.1:1"}
        assert (seeker.take(), seeker.at) == ({}, {b"k" * 32: "192.0.2.1:1"})
        seeker.look(hubs, {}, {b"k" * 32: 5.0})
        assert seeker.at == {}

    asyncio.run(play())
    assert asked == ["hub.example:1"]
