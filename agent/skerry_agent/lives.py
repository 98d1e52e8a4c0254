"""Watches the instances that run: unit changes, checks and time become decisions of `health`, and those become calls.

Edge around `health`; one Life per instance, each with one task that checks and waits. Must never restart or roll back
by itself: `health` decides, `on_action` does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from skerry_protocol.ids import InstanceId

from . import health
from .checks import check
from .health import Life
from .systemd import Outcome, Systemd, UnitChanged, UnitState
from .target import Running

log = logging.getLogger(__name__)

OnAction = Callable[[Running, health.Action], Awaitable[None]]
OnState = Callable[[Running, Life], None]


def now_ms() -> int:
    """A clock that only grows."""
    return time.monotonic_ns() // 1_000_000


class Lives:
    """Every instance that this node runs. `begin` and `end` follow what was switched to."""

    def __init__(self, systemd: Systemd, on_action: OnAction, on_state: OnState) -> None:
        self._systemd = systemd
        self._on_action = on_action
        self._on_state = on_state
        self._running: dict[InstanceId, Running] = {}
        self._lives: dict[InstanceId, Life] = {}
        self._tasks: dict[InstanceId, asyncio.Task[None]] = {}
        self._wake: dict[InstanceId, asyncio.Event] = {}
        self._ended: dict[InstanceId, tuple[str, int]] = {}

    def life(self, instance: InstanceId) -> Life | None:
        """How it is."""
        return self._lives.get(instance)

    async def begin(self, running: Running, has_previous: bool, changed: bool) -> None:
        """A new life: after a switch (`changed`), or because the agent has just started."""
        self.end(running.instance.id)
        name = running.instance.id
        self._running[name] = running
        self._lives[name] = health.began(health.rules_for(running.entry.app, has_previous, changed), now_ms(), changed)
        self._wake[name] = asyncio.Event()
        self._on_state(running, self._lives[name])
        await self.refresh(running)
        self._tasks[name] = asyncio.create_task(self._live(running))

    def end(self, instance: InstanceId) -> None:
        """It is gone, or begins anew."""
        task = self._tasks.pop(instance, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        for table in (self._running, self._lives, self._wake, self._ended):
            table.pop(instance, None)

    def known(self) -> frozenset[InstanceId]:
        """Those that are watched."""
        return frozenset(self._running)

    async def close(self) -> None:
        """End all."""
        tasks = list(self._tasks.values())
        for name in list(self._running):
            self.end(name)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def refresh_all(self) -> None:
        """Signals may have been missed: look at every unit."""
        for running in list(self._running.values()):
            await self.refresh(running)

    async def refresh(self, running: Running) -> None:
        """Look at its unit."""
        shown = await self._systemd.show([running.rendered.starts])
        if not isinstance(shown, Outcome):
            await self._seen(running, shown[0])

    async def changed(self, change: UnitChanged) -> None:
        """systemd says that a unit changed."""
        for running in list(self._running.values()):
            if running.rendered.starts == change.name:
                await self.refresh(running)

    async def _seen(self, running: Running, unit: UnitState) -> None:
        life = self._lives.get(running.instance.id)
        if life is None:
            return
        result = self._heard(running.instance.id, life, unit)
        if result is not None:
            await self._take(running, result)
            if (wake := self._wake.get(running.instance.id)) is not None:
                wake.set()

    def _heard(self, name: InstanceId, life: Life, unit: UnitState) -> tuple[Life, health.Action | None] | None:
        """What the unit's state means; None where it says nothing new."""
        if unit.active == "active":
            if life.active_since_ms is not None:
                return None
            return health.unit_active(life, min(now_ms(), unit.entered_us // 1000 or now_ms()))
        if unit.active == "failed" or unit.sub == "auto-restart":
            ended = (unit.invocation, unit.restarts)
            if self._ended.get(name) == ended:
                return None  # this end was counted
            self._ended[name] = ended
            return health.unit_down(life, now_ms(), exited=True, reason=how_it_ended(unit))
        if life.active_since_ms is not None and unit.active == "inactive":
            return health.unit_down(life, now_ms(), exited=False, reason="it was stopped")
        return None

    async def _take(self, running: Running, result: tuple[Life, health.Action | None]) -> None:
        life, action = result
        name = running.instance.id
        if self._running.get(name) is not running:
            return
        self._lives[name] = life
        self._on_state(running, life)
        if action is not None:
            await self._on_action(running, action)

    async def _live(self, running: Running) -> None:
        """Checks and ticks, until the life ends. One at a time: a check that hangs delays only its own instance."""
        app, name = running.entry.app, running.instance.id
        next_check = now_ms() if app.health else None
        while (life := self._lives.get(name)) is not None:
            await self._until(name, life, next_check)
            if app.health is not None and next_check is not None and now_ms() >= next_check:
                next_check = now_ms() + app.health.every_ms
                await self._check(running)
            else:
                await self._take(running, health.ticked(self._lives[name], now_ms()))

    async def _until(self, name: InstanceId, life: Life, next_check: int | None) -> None:
        """Wait for the next moment that matters, or for a change."""
        moments = [moment for moment in (next_check, health.next_tick_ms(life)) if moment is not None]
        seconds = max(0.0, (min(moments) - now_ms()) / 1000) if moments else None
        try:
            async with asyncio.timeout(seconds):
                await self._wake[name].wait()
        except TimeoutError:
            pass
        else:
            self._wake[name].clear()

    async def _check(self, running: Running) -> None:
        life = self._lives[running.instance.id]
        if running.entry.app.health is None or life.active_since_ms is None:
            return  # what is not up is not asked; that it is down was seen
        result = await check(self._systemd, running)
        life = self._lives.get(running.instance.id, life)
        await self._take(running, health.checked(life, now_ms(), result.ok, result.reason))


def how_it_ended(unit: UnitState) -> str:
    """systemd's word on the last run, for people."""
    if unit.exit_code == 1:
        return f"exit status {unit.exit_status}"
    if unit.exit_code in {2, 3}:
        return f"killed by signal {unit.exit_status}"
    return unit.result or "it ended"
