"""A process of its own time and chance: everything that a run asks of the operating system is made from a seed.

Owns the virtual clock, which jumps when everything waits, and the stand-ins for what else would differ from run to run:
the time of day, entropy, threads. No line of Skerry's knows. Only for a process that runs simulations and nothing
else: what `enter` replaces stays replaced. PYTHONHASHSEED must be fixed, else sets of strings have another order.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import os
import random
import secrets
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import Context
from functools import cache
from typing import Any, ParamSpec, TypeVar

EPOCH_S = 1_800_000_000  # the time of day when a run begins
P = ParamSpec("P")
T = TypeVar("T")


class Stuck(AssertionError):
    """Everything waits, and nothing will happen any more."""


def _nothing_held(_callback: Callable[..., object], _args: tuple[object, ...], _context: Context) -> bool:
    return False


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual, and whose threads are none: what would run in one is done at once.

    Where everything waits, time moves to the next moment. `held` is asked before each call, and may keep it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self.held: Callable[[Callable[..., object], tuple[object, ...], Context], bool] = _nothing_held

    def time(self) -> float:
        """Virtual seconds since the run began."""
        return self._now_s

    def _run_once(self) -> None:
        """As asyncio's own, but for what only real time, files and threads need."""
        ready: deque[Any] = self._ready  # type: ignore[attr-defined]
        scheduled: list[Any] = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not ready:
            if not scheduled:
                raise Stuck("everything waits for something that will never come")
            self._now_s = max(self._now_s, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self._now_s:
            due = heapq.heappop(scheduled)
            due._scheduled = False
            ready.append(due)
        held = self.held
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled and not held(handle._callback, handle._args, handle._context):
                handle._run()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[..., T], *args: object
    ) -> asyncio.Future[T]:
        """The result, at once."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
            future.set_exception(error)
        return future


@cache
def _settle() -> None:
    """What is loaded by now stays, and need not be looked through again and again for what does not."""
    gc.collect()
    gc.freeze()


class Universe:
    """One run's time and chance. `random` is for the adversary alone; Skerry's own entropy is another stream."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(f"adversary {seed}")
        self._entropy = random.Random(f"entropy {seed}")
        self.loop = Loop()

    def entropy(self, count: int) -> bytes:
        """So many bytes that nobody else gets."""
        return self._entropy.randbytes(count)

    def enter(self) -> None:
        """From here on this process has this universe's clock and entropy."""
        _settle()
        time.time_ns = lambda: int((EPOCH_S + self.loop.time()) * 1e9)
        time.time = lambda: EPOCH_S + self.loop.time()
        time.monotonic_ns = lambda: int(self.loop.time() * 1e9)
        time.monotonic = self.loop.time
        os.urandom = self._entropy.randbytes
        random._urandom = self._entropy.randbytes  # type: ignore[attr-defined] # what SystemRandom and secrets use
        assert secrets.token_bytes(1)
