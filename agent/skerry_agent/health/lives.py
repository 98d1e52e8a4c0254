"""Watches the instances that run: unit changes, checks and time become decisions of `health`, and those become calls.

Edge around `health`. Each instance has one task, and all that concerns it happens there, one thing after another: a
check that hangs or a restart that takes long delays its own instance alone. Without checks nothing polls. Must never
restart or roll back by itself: `health` decides, `on_action` does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import structs

from skerry_protocol.ids import InstanceId

from ..switch.target import Running
from ..systemd import Outcome, Systemd, UnitChanged, UnitState
from . import health
from .checks import RUN, check
from .ends import Ends, how_it_ended
from .health import Life

log = logging.getLogger(__name__)

RETRY_S = 5.0

OnAction = Callable[[Running, health.Action], Awaitable[None]]
OnState = Callable[[Running, Life], None]
Result = tuple[Life, health.Action | None]


def now_ms() -> int:
    """A clock that only grows."""
    return time.monotonic_ns() // 1_000_000


@dataclass
class Watch:
    """One instance that is watched. `look`: its unit is to be looked at; `owed`: decided, and not done yet."""

    running: Running
    life: Life
    ends: Ends = field(default_factory=Ends)
    next_check: int = 0
    look: asyncio.Event = field(default_factory=asyncio.Event)
    owed: health.Action | None = None
    task: asyncio.Task[None] | None = None

    @property
    def waits_for_lease(self) -> bool:
        """A fenced copy that may not run yet does not grow older, nor is it ill."""
        life = self.life
        never = life.active_since_ms is None and not life.was_healthy and life.exits == 0
        return self.running.rendered.lease is not None and never


class Lives:
    """Every instance that this node runs. `begin` and `end` follow what was switched to."""

    def __init__(self, systemd: Systemd, on_action: OnAction, on_state: OnState, run: Path = RUN) -> None:
        self._systemd = systemd
        self._on_action = on_action
        self._on_state = on_state
        self._run = run
        self._watched: dict[InstanceId, Watch] = {}
        self._by_unit: dict[str, Watch] = {}

    def life(self, instance: InstanceId) -> Life | None:
        """How it is."""
        watch = self._watched.get(instance)
        return watch.life if watch is not None else None

    def known(self) -> frozenset[InstanceId]:
        """Those that are watched."""
        return frozenset(self._watched)

    def begin(self, running: Running, has_previous: bool, changed: bool) -> None:
        """A new life: after a switch (`changed`), or because the agent has just started."""
        self.end(running.instance.id)
        rules = health.rules_for(running.entry.app, has_previous, changed)
        watch = Watch(running, health.began(rules, now_ms(), changed))
        self._watched[running.instance.id] = self._by_unit[running.rendered.starts] = watch
        if changed:
            self._on_state(running, watch.life)
        watch.look.set()
        watch.task = asyncio.create_task(self._live(watch))

    def end(self, instance: InstanceId) -> None:
        """It is gone, or begins anew."""
        watch = self._watched.pop(instance, None)
        if watch is None:
            return
        if self._by_unit.get(watch.running.rendered.starts) is watch:
            del self._by_unit[watch.running.rendered.starts]
        if watch.task is not None:
            watch.task.cancel()

    async def close(self) -> None:
        """End all."""
        tasks = [watch.task for watch in self._watched.values() if watch.task is not None]
        for name in tuple(self._watched):
            self.end(name)
        await asyncio.gather(*tasks, return_exceptions=True)

    def look_at_all(self) -> None:
        """Signals may have been missed."""
        for watch in self._watched.values():
            watch.look.set()

    def changed(self, change: UnitChanged) -> None:
        """systemd says that a unit changed. What it is now is looked up, so a burst of changes costs one look."""
        watch = self._by_unit.get(change.name)
        if watch is not None:
            watch.look.set()

    async def _live(self, watch: Watch) -> None:
        while True:
            try:
                await self._turn(watch)
            except OSError as error:
                log.warning("%s (tried again)", error)
            except Exception:
                log.exception("cannot look after %s (tried again)", watch.running.instance.id)
            else:
                continue
            watch.look.set()
            await asyncio.sleep(RETRY_S)

    async def _turn(self, watch: Watch) -> None:
        """The next thing that matters: a change, a check, or a moment."""
        await self._act(watch)
        app = watch.running.entry.app
        checked = (
            app.health is not None and watch.life.active_since_ms is not None
        )  # what is down is not asked
        tick = None if watch.waits_for_lease else health.next_tick_ms(watch.life)
        if await _changed(
            watch.look, *([watch.next_check] if checked else []), *([] if tick is None else [tick])
        ):
            await self._look(watch)
        elif checked and app.health is not None and now_ms() >= watch.next_check:
            watch.next_check = now_ms() + app.health.every_ms
            await self._check(watch)
        else:
            await self._take(watch, health.ticked(watch.life, now_ms()))

    async def _look(self, watch: Watch) -> None:
        watch.look.clear()
        shown = await self._systemd.show([watch.running.rendered.starts])
        if isinstance(shown, Outcome):
            return  # a Resync comes with the next connection
        unit = shown[0]
        before = watch.ends
        watch.ends, more = before.seen(unit)
        for _ in range(more):
            await self._take(
                watch, health.unit_down(watch.life, now_ms(), exited=True, reason=how_it_ended(unit))
            )
        fresh = watch.life.active_since_ms is None or unit.invocation != before.invocation
        if unit.active == "active" and fresh:
            await self._came_up(watch, unit)
        elif unit.active == "inactive" and watch.life.active_since_ms is not None:
            # The end of a lease is no fault of the copy: it is up again with the next one.
            reason = "it was stopped" if watch.running.rendered.lease is None else ""
            await self._take(watch, health.unit_down(watch.life, now_ms(), exited=False, reason=reason))
        elif before.count is None:
            self._on_state(watch.running, watch.life)

    async def _came_up(self, watch: Watch, unit: UnitState) -> None:
        now = now_ms()
        if watch.waits_for_lease:
            watch.life = structs.replace(watch.life, since_ms=now)
        watch.next_check = now
        await self._take(watch, health.unit_active(watch.life, min(now, unit.entered_us // 1000 or now)))

    async def _check(self, watch: Watch) -> None:
        result = await check(self._systemd, watch.running, self._run)
        if watch.look.is_set():
            run = watch.ends.invocation
            await self._look(watch)
            if watch.ends.invocation != run or watch.life.active_since_ms is None:
                return  # it was about a process that is gone
        await self._take(watch, health.checked(watch.life, now_ms(), result.ok, result.reason))

    async def _take(self, watch: Watch, result: Result) -> None:
        watch.life, action = result
        self._on_state(watch.running, watch.life)
        if action is not None:
            watch.owed = action
            await self._act(watch)

    async def _act(self, watch: Watch) -> None:
        """What was decided is done, or else owed: it is not decided again."""
        if watch.owed is not None:
            await self._on_action(watch.running, watch.owed)
            watch.owed = None


async def _changed(event: asyncio.Event, *moments: int) -> bool:
    """Waits for the event or the earliest moment (now_ms), whichever is first. Whether it was the event."""
    seconds = max(0.0, (min(moments) - now_ms()) / 1000) if moments else None
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
