"""A systemd for tests: real unit files, no processes, a clock that moves when told. The conformance suite runs on it.

It has as much of systemd's behaviour as Skerry leans on: what stays loaded and grows stale, Requisite, Conflicts, stops
that spread, wants links, timers by OnStartupSec. A service whose command is `/bin/false` fails, `/bin/true` ends well,
any other runs until it is stopped or `crash`ed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from .fakemachine import FakeMachine
from .feed import Feed, Reader
from .port import OURS, JobResult, Outcome, Resync, StopRules, UnitState
from .wire import LIVE


class FakeSystemd:
    """`port.Systemd` over unit files in `folders`, the first of which wins.

    `unreachable`: every answer is LOST. `slow`: units whose jobs do not end in time. `calls`: what was asked, in order.
    """

    def __init__(self, folders: Sequence[Path], now_us: int = 1_000_000_000) -> None:
        self.calls: list[str] = []
        self.unreachable = False
        self.slow: set[str] = set()
        self.properties: dict[str, dict[str, int]] = {}
        self._slept_us = 0
        self._boots = 1
        self._feed = Feed()
        self._machine = FakeMachine(folders, self._feed.put, now_us)

    # What tests do to the machine

    def advance(self, microseconds: int) -> None:
        """Let time pass; timers that are due start their units."""
        self._machine.now_us += microseconds
        self._machine.fire()

    def suspend(self, microseconds: int) -> None:
        """The machine sleeps and wakes: CLOCK_BOOTTIME goes on alone, and what conflicts with sleep.target stops."""
        self._machine.start("sleep.target")
        self._slept_us += microseconds
        self._machine.stop("sleep.target")

    def crash(self, unit: str, status: int = 1) -> None:
        """Its main process exits; Restart= decides what follows."""
        machine = self._machine
        text, restarts = machine.texts[unit], machine.states[unit].restarts
        ended = {"main_pid": 0, "exit_code": 1, "exit_status": status, "result": "exit-code"}
        machine.set(unit, active="failed", sub="failed", **ended)
        if text.last("Restart", "no") in {"always", "on-failure"}:
            machine.start(unit)
            machine.set(unit, restarts=restarts + 1)

    def reboot(self) -> None:
        """Power off and on: nothing of memory is left; what `multi-user.target` wants is started."""
        self._boots += 1
        self._machine.forget()
        self.properties.clear()
        self._machine.start("multi-user.target")
        self._feed.put(Resync("connected"))

    # The port

    async def units(
        self, patterns: Sequence[str], closely: Collection[str] = ()
    ) -> tuple[UnitState, ...] | Outcome:
        if self.unreachable:
            return _lost("")
        names = sorted(self._machine.states)
        fitting = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
        states = [self._machine.state(name) for name in fitting]
        return tuple(one.briefly if one.name in closely else one.listed for one in states)

    async def show(self, names: Sequence[str]) -> tuple[UnitState, ...] | Outcome:
        return _lost("") if self.unreachable else tuple(self._machine.state(name) for name in names)

    async def stop_rules(self, unit: str) -> StopRules | Outcome:
        text = self._machine.text(unit)
        if self.unreachable or text is None:
            return _lost(unit) if self.unreachable else _unknown(unit)
        return StopRules(
            stop_timeout_us=text.stop_us,
            kill_mode=text.last("KillMode", "control-group"),
            send_sigkill=text.last("SendSIGKILL", "yes") == "yes",
            notify_access=text.last("NotifyAccess", "main" if text.last("Type") == "notify" else "none"),
            stop_commands=sum(len(text.settings.get(key, ())) for key in ("ExecStop", "ExecStopPost")),
            requisite=text.words("Requisite"),
            wanted_by=tuple(
                name for name, other in sorted(self._machine.texts.items()) if unit in other.wants
            ),
            drop_ins=text.drop_ins,
        )

    async def user(self, unit: str) -> str | Outcome:
        if self.unreachable:
            return _lost(unit)
        text = self._machine.text(unit)
        if text is None:
            return ""
        made_up = unit.rpartition(".")[0] if text.last("DynamicUser") == "yes" else ""
        return text.last("User") or made_up

    async def start(self, unit: str, deadline: float, yields: bool = False) -> Outcome:
        return self._job("start", unit, lambda: self._machine.start(unit), deadline)

    async def stop(self, unit: str, deadline: float) -> Outcome:
        return self._job("stop", unit, lambda: self._machine.stop(unit), deadline)

    async def restart(self, unit: str, deadline: float, yields: bool = False) -> Outcome:
        return self._job("restart", unit, lambda: self._machine.restart(unit), deadline)

    async def reset_failed(self, unit: str) -> Outcome:
        def forget() -> None:
            state = self._machine.states.get(unit)
            if state is not None and state.active == "failed":
                self._machine.set(unit, active="inactive", sub="dead", result="success")

        return self._job("reset-failed", unit, forget)

    async def set_properties(self, unit: str, values: Mapping[str, int], runtime: bool) -> Outcome:
        unknown = sorted(set(values) - LIVE)
        if unknown:
            return Outcome(unit, JobResult.REFUSED, f"cannot change {', '.join(unknown)} of a running unit")

        def note() -> JobResult:
            if self._machine.text(unit) is None:
                return JobResult.UNKNOWN_UNIT
            self.properties.setdefault(unit, {}).update(values)
            return JobResult.DONE

        return self._job("set-properties", unit, note)

    async def reload(self, deadline: float) -> Outcome:
        outcome = self._job("reload", "", self._machine.reload, deadline)
        if outcome.ok:
            self._feed.put(Resync("systemd was reloaded"))
        return outcome

    async def system_state(self) -> str:
        if self.unreachable:
            return "unknown"
        failed = any(state.active == "failed" for state in self._machine.states.values())
        return "degraded" if failed else "running"

    async def manager_start_us(self) -> int | None:
        return None if self.unreachable else self._machine.start_us

    def boot_id(self) -> str:
        return f"boot-{self._boots}"

    def boottime_us(self) -> int:
        return self._machine.now_us + self._slept_us

    def monotonic_us(self) -> int:
        return self._machine.now_us

    def changes(self, patterns: Sequence[str] = OURS) -> Reader:
        return self._feed.reader(patterns)

    def _job(self, verb: str, unit: str, act: Callable[[], JobResult | None], deadline: float = 0) -> Outcome:
        self.calls.append(f"{verb} {unit}".rstrip())
        if self.unreachable:
            return _lost(unit)
        if unit in self.slow:
            return Outcome(unit, JobResult.LATE, f"not done within {deadline:g} s")
        result = act() or JobResult.DONE
        self._machine.fire()
        if result is JobResult.UNKNOWN_UNIT:
            return _unknown(unit)
        return Outcome(unit, result, "" if result is JobResult.DONE else "as the test had it")


def _lost(unit: str) -> Outcome:
    return Outcome(unit, JobResult.LOST, "no answer from systemd")


def _unknown(unit: str) -> Outcome:
    return Outcome(unit, JobResult.UNKNOWN_UNIT, f"Unit {unit} not found.")
