"""Processes of a simulation: groups of tasks that can be ended like a process by SIGKILL, in the middle of anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
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
        self.tasks: dict[asyncio.Task[Any], None] = {}  # in the order in which they began
        self.at_death: list[Callable[[], None]] = []
        self._held: list[tuple[Callable[..., object], tuple[object, ...], Context]] | None = None

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Its first task."""
        token = CURRENT.set(self)
        try:
            return asyncio.get_running_loop().create_task(work)
        finally:
            CURRENT.reset(token)

    def freeze(self) -> None:
        """SIGSTOP, or the machine sleeps: nothing of it runs."""
        if self._held is None:
            self._held = []

    def thaw(self) -> None:
        """It goes on, first with what came due meanwhile."""
        held, self._held = self._held, None
        loop = asyncio.get_running_loop()
        for callback, args, context in held or ():
            loop.call_soon(_if_due, callback, args, context=context)

    def hold(self, callback: Callable[..., object], args: tuple[object, ...], context: Context) -> bool:
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
        for task in tuple(self.tasks):
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
            process.tasks[task] = None
            task.add_done_callback(lambda ended: self._ended(process, ended))
        return task

    def _ended(self, process: Process, task: asyncio.Task[Any]) -> None:
        process.tasks.pop(task, None)


def _if_due(callback: Callable[..., object], args: tuple[object, ...]) -> None:
    """A timeout that came due in the freeze counts no more where what it limits was done first."""
    owner = getattr(callback, "__self__", None)
    if not (isinstance(owner, asyncio.Timeout) and owner._timeout_handler is None):  # type: ignore[attr-defined]
        callback(*args)


def _held(callback: Callable[..., object], args: tuple[object, ...], context: Context) -> bool:
    """Whether this call is one of a frozen process, which makes it when it thaws."""
    process = context.get(CURRENT)
    return process is not None and process.hold(callback, args, context)
