"""A process of its own time and chance: everything that a run asks of the operating system is made from a seed.

Owns the virtual clock, which jumps when everything waits, and the stand-ins for what else would differ from run to run:
the time of day, entropy, threads. No line of Skerry's knows. Only for a process that runs simulations and nothing
else: what `enter` replaces stays replaced. PYTHONHASHSEED must be fixed, else sets of strings have another order.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import Context, copy_context
from typing import ParamSpec, TypeVar

EPOCH_S = 1_800_000_000  # the time of day when a run begins
P = ParamSpec("P")
T = TypeVar("T")


class Stuck(AssertionError):
    """Everything waits, and nothing will happen any more."""


class _Jump(selectors.SelectSelector):
    """Waits for nothing: time moves to the next moment instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("everything waits for something that will never come")
        self.now_s += max(0.0, timeout)
        return []


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual, and whose threads are none: what would run in one is done at once."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        self._clock_resolution = 1e-9
        self.gate: Callable[[Callable[..., object], Context], Callable[..., object]] | None = None

    def time(self) -> float:
        """Virtual seconds since the run began."""
        return self._jump.now_s

    def call_soon(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.Handle:
        """Through the gate of whose call it is."""
        context = copy_context() if context is None else context
        if self.gate is not None:
            callback = self.gate(callback, context)
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Through the gate of whose call it is."""
        context = copy_context() if context is None else context
        if self.gate is not None:
            callback = self.gate(callback, context)
        return super().call_at(when, callback, *args, context=context)

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
        time.time_ns = lambda: int((EPOCH_S + self.loop.time()) * 1e9)
        time.time = lambda: EPOCH_S + self.loop.time()
        time.monotonic_ns = lambda: int(self.loop.time() * 1e9)
        time.monotonic = self.loop.time
        os.urandom = self._entropy.randbytes
        random._urandom = self._entropy.randbytes  # type: ignore[attr-defined] # what SystemRandom and secrets use
        assert secrets.token_bytes(1)
