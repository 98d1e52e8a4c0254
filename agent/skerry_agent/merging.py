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
    queue: asyncio.Queue[T | None] = asyncio.Queue(AHEAD)

    async def pump(stream: AsyncGenerator[T, None]) -> None:
        try:
            async with aclosing(stream):
                async for item in stream:
                    await queue.put(item)
        finally:
            await queue.put(None)

    tasks = [asyncio.create_task(pump(stream)) for stream in streams]
    try:
        left = len(tasks)
        while left:
            item = await queue.get()
            if item is not None:
                yield item
                continue
            left -= 1
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
