"""Memory is given back by a loop that goes on."""

from __future__ import annotations

import asyncio

import pytest

from skerry_agent import trim


def test_giving_back_twice_is_no_error() -> None:
    for _ in range(2):
        assert trim.give_back() in {True, False}


async def test_it_is_done_soon_and_then_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    done = asyncio.Event()
    monkeypatch.setattr(trim, "EVERY_S", 0.0)
    turns = []

    def count() -> bool:
        turns.append(1)
        if len(turns) == 3:
            done.set()
        return True

    monkeypatch.setattr(trim, "give_back", count)
    trim.keep_small(asyncio.get_running_loop(), 0.0)
    async with asyncio.timeout(10):
        await done.wait()
