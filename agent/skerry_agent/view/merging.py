"""Several streams as one. Whoever stops reading ends them all: use `aclosing`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")

AHEAD = 100  # items that a stream may be ahead of its reader


async def one_by_one(streams: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """Each to its end, in order."""
    for stream in streams:
        async with aclosing(stream):
            async for item in stream:
                yield item


async def merged(streams: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """Whatever comes next from any of them, until all have ended. The first error ends all, and is raised."""
    queue: asyncio.Queue[tuple[T] | Exception | None] = asyncio.Queue(AHEAD)

    async def pump(stream: AsyncGenerator[T, None]) -> None:
        try:
            async with aclosing(stream):
                async for item in stream:
                    await queue.put((item,))
        except Exception as error:  # noqa: BLE001 - raised again below
            await queue.put(error)
        else:
            await queue.put(None)

    tasks = [asyncio.create_task(pump(stream)) for stream in streams]
    left = len(tasks)
    try:
        while left:
            came = await queue.get()
            if isinstance(came, Exception):
                raise came
            if came is None:
                left -= 1
            else:
                yield came[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def with_pauses(stream: AsyncGenerator[T, None], pause_s: float) -> AsyncGenerator[T | None, None]:
    """The stream's items, and a None at its begin and after each `pause_s` without one: its reader is to show life."""
    following: asyncio.Task[tuple[T] | None] | None = None
    yield None
    try:
        while True:
            following = following or asyncio.create_task(_next(stream))
            done, _ = await asyncio.wait({following}, timeout=pause_s)
            if not done:
                yield None
                continue
            came, following = following.result(), None
            if came is None:
                return
            yield came[0]
    finally:
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        await stream.aclose()


async def _next(stream: AsyncGenerator[T, None]) -> tuple[T] | None:
    """The next item, or None where the stream has ended."""
    try:
        return (await anext(stream),)
    except StopAsyncIteration:
        return None
