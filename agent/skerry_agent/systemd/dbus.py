"""The systemd port over its D-Bus API. Job ends and unit states come by signals; nothing polls, no output is parsed.

Order: construct inside a running loop, `open`, use, `close`. When the connection breaks, calls answer LOST, readers of
`changes` get a Resync after the next connection, and everything goes on by itself.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from msgspec import structs

from . import wire
from .bus import MANAGER, SYSTEMD, Bus, Lost, Refused, Signal
from .feed import Feed, Reader
from .port import OURS, JobResult, LoadState, Outcome, Resync, StopRules, UnitChanged, UnitState
from .readings import (
    UNIT_INTERFACE,
    UNIT_PREFIX,
    name_of,
    number_of,
    rows_of,
    stop_rules,
    text_of,
    unit_listed,
    unit_state,
    user,
)

MANAGER_INTERFACE = SYSTEMD + b".Manager"
JOB_INTERFACE = SYSTEMD + b".Job"
PROPERTIES = b"org.freedesktop.DBus.Properties"
SIGNALS: Sequence[tuple[bytes | None, bytes, bytes]] = (
    (MANAGER, MANAGER_INTERFACE, b"JobRemoved"),
    (MANAGER, MANAGER_INTERFACE, b"Reloading"),
    (None, PROPERTIES, b"PropertiesChanged"),
)
AT_ONCE = 5
WORDS = {
    JobResult.DONE: "",
    JobResult.FAILED: "it failed to start or to stop (see its journal)",
    JobResult.DEPENDENCY: "a unit that it needs is not up",
    JobResult.TIMEOUT: "systemd gave up waiting for it",
    JobResult.CANCELED: "another request replaced this one",
    JobResult.LOST: "the connection to systemd broke while it was under way",
}

Value = TypeVar("Value")


class DbusSystemd:
    """`port.Systemd` on the system bus of this machine."""

    def __init__(self) -> None:
        self._feed = Feed()
        self._jobs: dict[bytes, list[asyncio.Future[JobResult]]] = {}
        self._reloaded: list[asyncio.Future[None]] = []
        self._bus = Bus(SIGNALS, self._signal, self._lost, lambda: self._feed.put(Resync("connected")))

    def open(self) -> Outcome:
        """Connect. Not being able to is an Outcome; later calls try again."""
        return self._plainly("", self._bus.open)

    def close(self) -> None:
        """Disconnect; whoever still waits for a job gets LOST."""
        self._bus.close()

    async def units(
        self, patterns: Sequence[str], closely: Collection[str] = ()
    ) -> tuple[UnitState, ...] | Outcome:
        asked = [*wire.texts(()), *wire.texts(patterns)]
        found = await self._list("ListUnitsByPatterns", asked, partial(unit_listed, closely), closely)
        return found if isinstance(found, Outcome) else tuple(sorted(found, key=lambda unit: unit.name))

    async def show(self, names: Sequence[str]) -> tuple[UnitState, ...] | Outcome:
        found = await self._list("ListUnitsByNames", wire.texts(names), unit_state)
        if isinstance(found, Outcome):
            return found
        by_name = {unit.name: unit for unit in found}
        missing = UnitState("", LoadState.NOT_FOUND, "inactive", "dead")
        return tuple(by_name.get(name) or _named(missing, name) for name in names)

    async def stop_rules(self, unit: str) -> StopRules | Outcome:
        try:
            return stop_rules(self._bus, unit)
        except (Lost, Refused) as error:
            return _failed(unit, error)

    async def user(self, unit: str) -> str | Outcome:
        try:
            return user(self._bus, unit)
        except (Lost, Refused) as error:
            return _failed(unit, error)

    async def start(self, unit: str, deadline: float, yields: bool = False) -> Outcome:
        outcome = await self._job(unit, "StartUnit", deadline, yields)
        return await self._settled(outcome, wanted=True)

    async def stop(self, unit: str, deadline: float) -> Outcome:
        outcome = await self._job(unit, "StopUnit", deadline)
        return await self._settled(outcome, wanted=False)

    async def restart(self, unit: str, deadline: float, yields: bool = False) -> Outcome:
        return await self._job(unit, "RestartUnit", deadline, yields)

    async def reset_failed(self, unit: str) -> Outcome:
        outcome = self._plainly(unit, self._manager, "ResetFailedUnit", [wire.text(unit)])
        return _gone_is_done(outcome)

    async def set_properties(self, unit: str, values: Mapping[str, int], runtime: bool) -> Outcome:
        unknown = sorted(set(values) - wire.LIVE)
        if unknown:
            return Outcome(unit, JobResult.REFUSED, f"cannot change {', '.join(unknown)} of a running unit")
        args = [wire.text(unit), wire.flag(runtime), *wire.numbers(values)]
        return self._plainly(unit, self._manager, "SetUnitProperties", args)

    async def reload(self, deadline: float) -> Outcome:
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reloaded.append(end)
        try:
            outcome = self._plainly("", self._manager, "Reload", [])
            if outcome.result is not JobResult.LOST:
                return outcome
            # A slow machine reloads for longer than one call may take; the signal says when it is done.
            return await _within(deadline, end, lambda _: Outcome("", JobResult.DONE), "")
        finally:
            self._reloaded.remove(end)

    async def system_state(self) -> str:
        try:
            return text_of(self._bus.get(MANAGER, MANAGER_INTERFACE, "SystemState", "s"))
        except (Lost, Refused):
            return "unknown"

    async def manager_start_us(self) -> int | None:
        try:
            return number_of(self._bus.get(MANAGER, MANAGER_INTERFACE, "UserspaceTimestampMonotonic", "t"))
        except (Lost, Refused):
            return None

    def boot_id(self) -> str:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def boottime_us(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000

    def monotonic_us(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

    def changes(self, patterns: Sequence[str] = OURS) -> Reader:
        return self._feed.reader(patterns)

    # Calls

    def _manager(self, method: str, args: Sequence[wire.Argument]) -> object:
        return self._bus.call(MANAGER, MANAGER_INTERFACE, method, args)

    def _plainly(self, unit: str, function: Callable[..., object], *args: object) -> Outcome:
        try:
            function(*args)
        except (Lost, Refused) as error:
            return _failed(unit, error)
        return Outcome(unit, JobResult.DONE)

    async def _job(self, unit: str, method: str, deadline: float, yields: bool = False) -> Outcome:
        try:
            path = self._manager(method, [wire.text(unit), wire.text("fail" if yields else "replace")])
        except (Lost, Refused) as error:
            return _failed(unit, error)
        assert isinstance(path, bytes)
        end: asyncio.Future[JobResult] = asyncio.get_running_loop().create_future()
        waiting = self._jobs.setdefault(path, [])  # systemd gives two who ask for the same thing the same job
        waiting.append(end)
        self._bus.pump()
        try:
            return await _within(deadline, end, lambda result: _ended(unit, result), unit)
        finally:
            waiting.remove(end)
            if not waiting:
                self._jobs.pop(path, None)

    async def _settled(self, outcome: Outcome, wanted: bool) -> Outcome:
        """A job whose end nobody saw is judged by the unit; one about an unknown unit by what was wanted."""
        if not wanted:
            outcome = _gone_is_done(outcome)
        if outcome.result is not JobResult.LOST:
            return outcome
        shown = await self.show([outcome.unit])
        if isinstance(shown, Outcome) or shown[0].active in {"activating", "deactivating", "reloading"}:
            return outcome
        return Outcome(outcome.unit, JobResult.DONE) if shown[0].up is wanted else outcome

    async def _list(
        self,
        method: str,
        args: Sequence[wire.Argument],
        read: Callable[[Bus, Sequence[object]], UnitState],
        closely: Collection[str] | None = None,
    ) -> list[UnitState] | Outcome:
        """`closely`: the units that `read` asks more about; None: all of them."""
        try:
            rows, asked = self._manager(method, args), 0
            found = []
            for row in rows_of(rows):
                found.append(read(self._bus, row))
                asked += closely is None or found[-1].name in closely
                if asked >= AT_ONCE:
                    asked = 0
                    await asyncio.sleep(0)  # each takes up to a millisecond of blocking calls
        except (Lost, Refused) as error:
            return _failed("", error)
        return found

    # Signals

    def _signal(self, signal: Signal) -> None:
        if signal.member == "JobRemoved":
            self._job_removed(signal.body)
        elif signal.member == "Reloading":
            self._reloading(signal.body)
        elif signal.path.startswith(UNIT_PREFIX):
            self._changed(signal)

    def _job_removed(self, body: object) -> None:
        _, path, _, result = rows_of(body)
        waiting = self._jobs.get(path, []) if isinstance(path, bytes) else []
        _tell(waiting, JobResult(text_of(result)))

    def _reloading(self, body: object) -> None:
        if body:
            return
        for end in self._reloaded:
            if not end.done():
                end.set_result(None)
        asyncio.get_running_loop().call_soon(self._recheck_jobs)
        self._feed.put(Resync("systemd was reloaded"))

    def _recheck_jobs(self) -> None:
        """systemd may have been replaced (daemon-reexec) and the end of a job gone unheard."""
        for path, waiting in tuple(self._jobs.items()):
            try:
                self._bus.get(path, JOB_INTERFACE, "State", "s")
            except Refused:
                self._bus.pump()  # a job that has just ended: its end came before this answer, and waits to be read
                _tell(waiting, JobResult.LOST)
            except Lost:
                return

    def _changed(self, signal: Signal) -> None:
        interface, values, _ = rows_of(signal.body)
        if interface == UNIT_INTERFACE and isinstance(values, dict) and b"ActiveState" in values:
            name = name_of(signal.path)
            self._feed.put(
                UnitChanged(name, text_of(values[b"ActiveState"]), text_of(values.get(b"SubState", b"")))
            )

    def _lost(self, reason: str) -> None:
        for waiting in self._jobs.values():
            _tell(waiting, JobResult.LOST)


def _tell(waiting: Sequence[asyncio.Future[JobResult]], result: JobResult) -> None:
    for end in waiting:
        if not end.done():
            end.set_result(result)


async def _within(
    deadline: float, end: asyncio.Future[Value], then: Callable[[Value], Outcome], unit: str
) -> Outcome:
    try:
        async with asyncio.timeout(deadline):
            return then(await end)
    except TimeoutError:
        return Outcome(unit, JobResult.LATE, f"not done within {deadline:g} s")


def _ended(unit: str, result: JobResult) -> Outcome:
    return Outcome(unit, result, WORDS.get(result, f"systemd says {result.value!r}"))


def _failed(unit: str, error: Lost | Refused) -> Outcome:
    lost = isinstance(error, Lost)
    number = 0 if isinstance(error, Lost) else error.number
    # NoSuchUnit is the one refusal that callers tell apart; see _gone_is_done.
    result = (
        JobResult.LOST if lost else JobResult.UNKNOWN_UNIT if number == errno.ENOENT else JobResult.REFUSED
    )
    return Outcome(unit, result, str(error))


def _gone_is_done(outcome: Outcome) -> Outcome:
    return Outcome(outcome.unit, JobResult.DONE) if outcome.result is JobResult.UNKNOWN_UNIT else outcome


def _named(unit: UnitState, name: str) -> UnitState:
    return structs.replace(unit, name=name)
