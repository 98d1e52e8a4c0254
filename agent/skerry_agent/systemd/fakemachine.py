"""The machinery of the fake systemd: what is loaded, what runs, and what one job does to it.

Owns the rules; `fake` puts the port around them. A unit is read when it is first needed, stays as it was read while it
is up, failed or wanted by something that is up, and is dropped from memory after that.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from msgspec import structs

from . import fakeunit
from .fakeunit import UnitText
from .port import JobResult, LoadState, UnitChanged, UnitState

FIRST_PID = 1000
BUILT_IN = frozenset({"sleep.target", "multi-user.target"})


class FakeMachine:
    """Units by name. `emit` hears of every change of state."""

    def __init__(self, folders: Sequence[Path], emit: Callable[[UnitChanged], None], now_us: int) -> None:
        self.folders, self.emit = tuple(folders), emit
        self.now_us = self.start_us = now_us
        self.texts: dict[str, UnitText] = {}
        self.states: dict[str, UnitState] = {}
        self.timers: dict[str, int] = {}
        self._runs = 0

    # What is in memory

    def text(self, unit: str) -> UnitText | None:
        """The unit as it is in memory, else as it is on disk."""
        if unit in self.texts:
            return self.texts[unit]
        return fakeunit.read(self.folders, unit, built_in=unit in BUILT_IN)

    def state(self, unit: str) -> UnitState:
        """The unit's state, with what follows from its text."""
        text = self.text(unit)
        if text is None:
            return UnitState(unit, LoadState.NOT_FOUND, "inactive", "dead")
        stale = unit in self.texts and fakeunit.source(self.folders, unit) not in {None, text.source}
        state = self.states.get(unit, UnitState(unit, LoadState.LOADED, "inactive", "dead"))
        return structs.replace(state, stale=stale, stop_timeout_us=text.stop_us if _is_service(unit) else 0)

    def is_up(self, unit: str) -> bool:
        """Whether it is active."""
        return unit in self.states and self.states[unit].up

    def reload(self) -> None:
        """Read everything anew that is in memory, and what has come to be wanted."""
        for unit in tuple(self.texts):
            self.texts[unit] = fakeunit.read(self.folders, unit) or self.texts[unit]
        self._load_wanted()

    def forget(self) -> None:
        """The power goes: nothing of memory is left."""
        self.texts, self.states, self.timers = {}, {}, {}
        self.start_us = self.now_us

    def _load_wanted(self) -> None:
        for unit in [name for name in self.texts if self.is_up(name)]:
            for wanted in self.texts[unit].wants:
                self._load(wanted)

    def _load(self, unit: str) -> UnitText | None:
        text = self.text(unit)
        if text is not None and unit not in self.texts:
            self.texts[unit] = text
            self.states.setdefault(unit, UnitState(unit, LoadState.LOADED, "inactive", "dead"))
        return text

    def _collect(self) -> None:
        wanted = {unit for name, text in self.texts.items() if self.is_up(name) for unit in text.wants}
        for unit, state in tuple(self.states.items()):
            if state.active == "inactive" and unit not in wanted:
                del self.states[unit], self.texts[unit]

    # Jobs

    def start(self, unit: str) -> JobResult:
        """One start job with all that it pulls in. Some units let themselves only be pulled in."""
        text = self._load(unit)
        if text is not None and text.last("RefuseManualStart") == "yes":
            return JobResult.REFUSED
        result = self._start(unit, set())
        if text is not None and text.last("StopWhenUnneeded") == "yes":
            self._stop(unit)
        self._collect()
        return result

    def stop(self, unit: str) -> None:
        """One stop job with all that it takes along."""
        self._stop(unit)
        self._collect()

    def restart(self, unit: str) -> JobResult:
        """Stop and start, from what is in memory."""
        self._stop(unit)
        return self.start(unit)

    def _start(self, unit: str, under_way: set[str]) -> JobResult:
        text = self._load(unit)
        if text is None:
            return JobResult.UNKNOWN_UNIT
        if self.is_up(unit) or unit in under_way:
            return JobResult.DONE
        under_way.add(unit)
        if not all(self.is_up(other) for other in text.words("Requisite")):
            return JobResult.DEPENDENCY
        for other in self._conflicting(text):
            self._stop(other)
        for other in (*text.words("Requires"), *text.words("BindsTo")):
            if self._start(other, under_way) is not JobResult.DONE:
                return JobResult.DEPENDENCY
        result = self._run(unit, text)
        for other in (*text.words("Wants"), *text.wants):
            self._start(other, under_way)
        return result

    def _conflicting(self, text: UnitText) -> Iterable[str]:
        yield from text.words("Conflicts")
        yield from [name for name, other in self.texts.items() if text.name in other.words("Conflicts")]

    def _stop(self, unit: str) -> None:
        if not self.is_up(unit):
            return
        for other in [name for name, text in self.texts.items() if unit in _stops_with(text)]:
            self._stop(other)
        self.timers.pop(unit, None)
        self.set(unit, active="inactive", sub="dead", main_pid=0, result="success")

    def _run(self, unit: str, text: UnitText) -> JobResult:
        self._runs += 1
        fresh = {"invocation": f"{self._runs:032x}", "entered_us": self.now_us}
        if unit.endswith(".timer"):
            self.timers[unit] = min(self._moments(text))
            self.set(unit, active="active", sub="waiting", **fresh)
        elif _is_service(unit):
            return self._run_service(unit, text, fresh)
        else:
            self.set(unit, active="active", sub="active", **fresh)
        return JobResult.DONE

    def _run_service(self, unit: str, text: UnitText, fresh: dict[str, object]) -> JobResult:
        command = shlex.split(text.last("ExecStart", "/bin/false").lstrip(":-"))
        once = text.last("Type") == "oneshot"
        if command[0] == "/bin/false":
            self.set(
                unit, active="failed", sub="failed", exit_code=1, exit_status=1, result="exit-code", **fresh
            )
            return JobResult.FAILED if once else JobResult.DONE
        if command[0] == "/bin/true":
            self.set(
                unit, active="inactive", sub="dead", exit_code=1, exit_status=0, result="success", **fresh
            )
            return JobResult.DONE
        self.set(
            unit, active="active", sub="running", main_pid=FIRST_PID + self._runs, result="success", **fresh
        )
        return JobResult.DONE

    def set(self, unit: str, **values: object) -> None:
        """Change a unit's state and say so."""
        self._load(unit)
        state = structs.replace(self.states[unit], **values)
        self.states[unit] = state
        self.emit(UnitChanged(unit, state.active, state.sub))

    def fire(self) -> None:
        """Start what the timers that are due start."""
        for timer, due in sorted(self.timers.items(), key=lambda item: item[1]):
            if due <= self.now_us and timer in self.timers:
                del self.timers[timer]
                text = self.texts[timer]
                self.set(timer, active="active", sub="elapsed")
                self.start(text.last("Unit", timer.replace(".timer", ".service")))
                later = [moment for moment in self._moments(text) if moment > self.now_us]
                if later and self.is_up(timer):
                    self.timers[timer] = min(later)
                    self.set(timer, active="active", sub="waiting")

    def _moments(self, text: UnitText) -> list[int]:
        spans = text.words("OnStartupSec") or ("100h",)
        return [self.start_us + fakeunit.microseconds(span) for span in spans]


def _stops_with(text: UnitText) -> tuple[str, ...]:
    return tuple(word for key in ("Requisite", "Requires", "BindsTo", "PartOf") for word in text.words(key))


def _is_service(unit: str) -> bool:
    return unit.endswith(".service")
