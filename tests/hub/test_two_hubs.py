"""Two hub processes for one database: the second is refused, and a first whose lock was lost gives way.

Whole processes that really hang: seconds.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

WITHIN_S = 60.0
ENVIRONMENT = {**os.environ, "PYTHONUNBUFFERED": "1"}


Hub = Callable[..., Awaitable[Process]]
RUN = ("run", "--no-tunnels", "--listen", "127.0.0.1:0", "--nats", "nats://127.0.0.1:1")  # its NATS is away


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """skerry-hub with these words."""
    begun: list[Process] = []

    async def begin(*words: str | Path) -> Process:
        argv = [sys.executable, "-m", "skerry_hub.daemon", *map(str, words)]
        begun.append(await asyncio.create_subprocess_exec(*argv, stdout=PIPE, stderr=PIPE, env=ENVIRONMENT))
        return begun[-1]

    yield begin
    for process in begun:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def said(process: Process, what: str) -> str:
    """The line in which it said this."""
    assert process.stderr is not None
    async with asyncio.timeout(WITHIN_S):
        while line := (await process.stderr.readline()).decode():
            if what in line:
                return line
    raise AssertionError(f"it ended without a word of {what!r}")


async def ended(process: Process) -> tuple[int | None, str]:
    """Its exit code and the rest of what it said."""
    _, rest = await asyncio.wait_for(process.communicate(), WITHIN_S)
    return process.returncode, rest.decode()


async def test_a_second_hub_is_refused_and_one_whose_lock_was_lost_ends(tmp_path: Path, hub: Hub) -> None:
    data = tmp_path / "hub"
    made, _ = await ended(await hub("init", "--data", data, "--mesh", "coast", "--region", "north"))
    assert made == 0
    first = await hub(*RUN, "--data", data)
    await said(first, "serving region north")
    first.send_signal(signal.SIGSTOP)

    code, why = await ended(await hub(*RUN, "--data", data))
    assert code == 1
    assert f"another hub has it, process {first.pid} (stop that one first)" in why

    next(data.glob("*.lock")).unlink()
    second = await hub(*RUN, "--data", data)
    await said(second, "serving region north")
    first.send_signal(signal.SIGCONT)
    code, why = await ended(first)
    assert code == 1
    assert "another hub leads by it, in term 2, this one had 1 (let only one of them start)" in why
    second.send_signal(signal.SIGTERM)
    assert (await ended(second))[0] == 0
