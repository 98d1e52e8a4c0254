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
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextvars import Context, copy_context
from functools import cache
from typing import ParamSpec, TypeVar

EPOCH_S = 1_800_000_000  # the time of day when a run begins
P = ParamSpec("P")
T = TypeVar("T")


class Stuck(AssertionError):
    """Everything waits, and nothing will happen any more."""


class Call(asyncio.Handle):
    """asyncio's own, without what only debugging needs: a seed makes some ten thousand."""

    __slots__ = ()
    _repr = _source_traceback = None

    def __init__(
        self, callback: Callable[..., object], args: tuple[object, ...], loop: Loop, context: Context | None
    ) -> None:
        self._callback, self._args, self._loop = callback, args, loop
        self._context = copy_context() if context is None else context
        self._cancelled = False

    def cancel(self) -> None:
        """It is not made."""
        self._cancelled = True
        self._callback = self._args = None  # type: ignore[assignment]


class Timer(asyncio.TimerHandle):
    """The same for a call that is due at a moment."""

    __slots__ = ()
    _repr = _source_traceback = None

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[object, ...],
        loop: Loop,
        context: Context | None,
    ) -> None:
        self._callback, self._args, self._loop = callback, args, loop
        self._context = copy_context() if context is None else context
        self._when, self._cancelled = when, False

    def cancel(self) -> None:
        """It is not made."""
        self._cancelled = True
        self._callback = self._args = None  # type: ignore[assignment]


class Due(float):
    """A moment and what is due then; so that a queue of them is kept in order by comparing bare numbers."""

    __slots__ = ("timer",)
    timer: Timer


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual, and whose threads are none: what would run in one is done at once.

    Where everything waits, time moves to the next moment. While anything is `frozen`, `held` is asked before each
    call, and may keep it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._due: list[Due] = []
        self.frozen = 0
        self.held: Callable[[Callable[..., object], Sequence[object], Context], bool]

    def time(self) -> float:
        """Virtual seconds since the run began."""
        return self._now_s

    def call_soon(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> Call:
        """See asyncio's own."""
        call = Call(callback, args, self, context)
        self._ready.append(call)  # type: ignore[attr-defined]
        return call

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> Timer:
        """See asyncio's own."""
        timer = Timer(when, callback, args, self, context)
        due = Due(when)
        due.timer = timer
        heapq.heappush(self._due, due)
        return timer

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> Timer:
        """See asyncio's own."""
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def _run_once(self) -> None:
        """As asyncio's own, but for what only real time, files and threads need, and for many times at once."""
        ready: deque[asyncio.Handle] = self._ready  # type: ignore[attr-defined]
        due = self._due
        while not self._stopping:  # type: ignore[attr-defined]
            while due and due[0].timer._cancelled:
                heapq.heappop(due)
            if not ready:
                if not due:
                    raise Stuck("everything waits for something that will never come")
                self._now_s = max(self._now_s, float(due[0]))
            while due and due[0] <= self._now_s:
                ready.append(heapq.heappop(due).timer)
            for _ in range(len(ready)):
                self._make(ready.popleft())

    def _make(self, call: asyncio.Handle) -> None:
        callback, args, context = call._callback, call._args, call._context  # type: ignore[attr-defined]
        if call._cancelled or (self.frozen and self.held(callback, args, context)):
            return
        try:
            context.run(callback, *args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - as asyncio does
            self.call_exception_handler({"message": f"Exception in callback {callback}", "exception": error})

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
    """What is loaded by now stays. What a run leaves is looked for when it is over (see `leave`), and not before."""
    gc.collect()
    gc.freeze()
    gc.disable()


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

    def leave(self) -> None:
        """The run is over, and nothing of it is kept; what is loaded by now stays, and is not looked through again."""
        self.loop.close()
        gc.collect()
        gc.freeze()
