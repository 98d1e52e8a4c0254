"""What others do to interfaces, routes and rules is heard."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from skerry_agent.network.changes import Changes
from tests.lab.network.hosts import Host, cabled


@pytest.fixture
def host() -> Iterator[Host]:
    with cabled("one") as (made,):
        yield made


@pytest.mark.parametrize(
    "words",
    [
        "ip link add x type bridge",
        "ip address add 198.51.100.1/32 dev lo",
        "ip -6 route add unreachable 2001:db8::/32",
        "nft add table inet x",
        "nft flush ruleset",
    ],
)
def test_a_change_is_heard_once_for_all_that_comes_together(host: Host, words: str) -> None:
    assert host.run(_heard(words)) == 1


async def _heard(words: str) -> int:
    heard, told = 0, asyncio.Event()

    def changed() -> None:
        nonlocal heard
        heard += 1
        told.set()

    await _done("nft add table inet there")
    changes = Changes(changed)
    changes.open()
    try:
        await _done(words)
        await asyncio.wait_for(told.wait(), 10)
    finally:
        changes.close()
    return heard


async def _done(words: str) -> None:
    process = await asyncio.create_subprocess_exec(*words.split())
    assert await process.wait() == 0
