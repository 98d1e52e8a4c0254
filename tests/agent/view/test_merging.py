"""Several streams as one: all of each, the first error, and nothing left running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from skerry_agent.view.merging import merged, one_by_one, with_pauses


async def numbers(start: int, count: int, ended: list[int], fault: bool = False) -> AsyncGenerator[int, None]:
    try:
        for number in range(start, start + count):
            await asyncio.sleep(0)
            yield number
        if fault:
            raise OSError("broken")
    finally:
        ended.append(start)


async def test_everything_of_all_comes() -> None:
    ended: list[int] = []
    found = [
        item
        async for item in merged([numbers(0, 300, ended), numbers(1000, 5, ended), numbers(2000, 0, ended)])
    ]
    assert sorted(found) == [*range(300), *range(1000, 1005)]
    assert [one for one in found if one < 1000] == list(range(300))
    assert sorted(ended) == [0, 1000, 2000]


async def test_one_after_another() -> None:
    ended: list[int] = []
    assert [item async for item in one_by_one([numbers(5, 2, ended), numbers(0, 2, ended)])] == [5, 6, 0, 1]


async def test_whoever_stops_reading_ends_all() -> None:
    ended: list[int] = []
    async with aclosing(merged([numbers(0, 10**9, ended), numbers(10**9, 10**9, ended)])) as every:
        async for _ in every:
            break
    assert sorted(ended) == [0, 10**9]


async def test_the_first_error_ends_all_and_is_raised() -> None:
    ended: list[int] = []
    with pytest.raises(OSError, match="broken"):
        async for _ in merged([numbers(0, 3, ended, fault=True), numbers(10**9, 10**9, ended)]):
            pass
    assert sorted(ended) == [0, 10**9]


async def test_a_quiet_stream_shows_life_and_loses_nothing() -> None:
    ended: list[int] = []
    written = asyncio.Event()

    async def quiet() -> AsyncGenerator[int, None]:
        try:
            yield 1
            await written.wait()
            yield 2
        finally:
            ended.append(1)

    found: list[int | None] = []
    async for item in with_pauses(quiet(), pause_s=0.001):
        found.append(item)
        if found.count(None) == 3:
            written.set()
    assert found[0] is None
    assert [item for item in found if item is not None] == [1, 2]
    assert ended == [1]


async def test_whoever_stops_listening_ends_a_stream_that_says_nothing() -> None:
    ended: list[int] = []

    async def silent() -> AsyncGenerator[int, None]:
        try:
            await asyncio.Event().wait()
            yield 1
        finally:
            ended.append(1)

    async with aclosing(with_pauses(silent(), pause_s=0.001)) as every:
        assert [await anext(every), await anext(every)] == [None, None]
    assert ended == [1]


async def test_an_error_of_a_stream_with_pauses_is_raised() -> None:
    with pytest.raises(OSError, match="broken"):
        async for _ in with_pauses(numbers(0, 2, [], fault=True), pause_s=1):
            pass
