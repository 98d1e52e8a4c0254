"""Processes of a simulation: groups of tasks that can be ended like a process by SIGKILL, in the middle of anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, ContextVar
from typing import Any

from .disk import Dead
from .universe import Loop

CURRENT: ContextVar[Process | None] = ContextVar("process", default=None)


class Process:
    """One. `owner` is whose it is; `dead` tells whatever it still holds that it is no more."""

    def __init__(self, name: str, owner: object) -> None:
        self.name = name
        self.owner = owner
        self.dead = False
        self._tasks: list[asyncio.Task[Any]] = []  # in the order in which they began
        self._many = 100
        self.at_death: list[Callable[[], None]] = []
        self._held: list[tuple[Callable[..., object], Sequence[object], Context]] | None = None

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Its first task."""
        token = CURRENT.set(self)
        try:
            return asyncio.get_running_loop().create_task(work)
        finally:
            CURRENT.reset(token)

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Another of its tasks."""
        self._tasks.append(task)
        if len(self._tasks) > self._many:
            self._tasks = [one for one in self._tasks if not one.done()]
            self._many = 2 * len(self._tasks) + 100

    def freeze(self) -> None:
        """SIGSTOP, or the machine sleeps: nothing of it runs."""
        if self._held is None:
            self._held = []
            _loop().frozen += 1

    def thaw(self) -> None:
        """It goes on, first with what came due meanwhile."""
        held, self._held = self._held, None
        if held is None:
            return
        loop = _loop()
        loop.frozen -= 1
        for callback, args, context in held:
            loop.call_soon(_if_due, callback, args, context=context)

    def hold(self, callback: Callable[..., object], args: Sequence[object], context: Context) -> bool:
        """Whether it is frozen; then the call is made when it thaws."""
        if self._held is None:
            return False
        self._held.append((callback, args, context))
        return True

    def kill(self) -> None:
        """It is no more."""
        self.dead = True
        if self._held is not None:
            self.thaw()
        for end in self.at_death:
            end()
        for task in self._tasks:
            task.cancel()


def died(error: BaseException) -> bool:
    """Whether this is the end of a process and nothing else, be it of several tasks in a group."""
    return isinstance(error, Dead) or (isinstance(error, BaseExceptionGroup) and error.split(Dead)[1] is None)


class Processes:
    """All of them. Every task, and everything a loop is asked to call, belongs to the process that began it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.failures: list[str] = []
        loop.set_task_factory(self._make)  # type: ignore[arg-type] # what it is called with differs by release
        loop.set_exception_handler(self._failed)
        assert isinstance(loop, Loop)
        loop.held = _held

    def _failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Nobody looked at how it ended."""
        error = context.get("exception")
        if not (error is not None and died(error)):
            self.failures.append(f"{context['message']}: {error!r}")

    def begin(self, name: str, owner: object) -> Process:
        """A new process."""
        return Process(name, owner)

    def _make(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **more: Any
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **more)
        process = CURRENT.get()
        if process is not None:
            process.keep(task)
        return task


def _loop() -> Loop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    return loop


def _if_due(callback: Callable[..., object], args: Sequence[object]) -> None:
    """A timeout that came due in the freeze counts no more where what it limits was done first."""
    owner = getattr(callback, "__self__", None)
    if not (isinstance(owner, asyncio.Timeout) and owner._timeout_handler is None):  # type: ignore[attr-defined]
        callback(*args)


def _held(callback: Callable[..., object], args: Sequence[object], context: Context) -> bool:
    """Whether this call is one of a frozen process, which makes it when it thaws."""
    process = context.get(CURRENT)
    return process is not None and process.hold(callback, args, context)
