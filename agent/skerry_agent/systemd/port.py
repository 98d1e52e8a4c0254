"""What the agent may ask of systemd, as typed data: the only words in which the rest of the agent speaks of units.

Owns the vocabulary, nothing else. What systemd answers is data, also when it refuses: no method raises for anything
that systemd can say. Times are CLOCK_BOOTTIME or CLOCK_MONOTONIC microseconds where the name says so, else seconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from msgspec import Struct


class LoadState(StrEnum):
    """systemd's LoadState. `OTHER` stands for words of later versions."""

    LOADED = "loaded"
    STUB = "stub"
    NOT_FOUND = "not-found"
    BAD_SETTING = "bad-setting"
    ERROR = "error"
    MERGED = "merged"
    MASKED = "masked"
    OTHER = "other"

    @classmethod
    def _missing_(cls, value: object) -> LoadState:
        return cls.OTHER


class UnitState(Struct, frozen=True):
    """One unit as systemd has it in memory, which may be older than its file: then `stale` is true.

    `active` and `sub` are systemd's ActiveState and SubState. `stop_timeout_us` is the effective one, with drop-ins;
    None is without end. `exit_code` is waitid(2)'s si_code, `exit_status` its si_status; `result` is systemd's word
    for how the last run ended ("success", "exit-code", "timeout" ...). What a unit type has not is zero or empty.
    """

    name: str
    load: LoadState
    active: str
    sub: str
    main_pid: int = 0
    invocation: str = ""
    stale: bool = False
    stop_timeout_us: int | None = 0
    exit_code: int = 0
    exit_status: int = 0
    restarts: int = 0
    result: str = ""
    entered_us: int = 0  # CLOCK_MONOTONIC, when `active` last became "active"; 0: never

    @property
    def up(self) -> bool:
        """Whether it is running, or on its way up or down: something of it may be there."""
        return self.active not in {"inactive", "failed"}

    @property
    def listed(self) -> UnitState:
        """What `Systemd.units` says of every unit."""
        return UnitState(self.name, self.load, self.active, self.sub)

    @property
    def briefly(self) -> UnitState:
        """What `Systemd.units` says of a unit that it is asked to look at closely."""
        return UnitState(
            self.name,
            self.load,
            self.active,
            self.sub,
            stale=self.stale,
            stop_timeout_us=self.stop_timeout_us,
        )


class StopRules(Struct, frozen=True):
    """Everything that decides how long a service takes to be gone, as it is in force (drop-ins included)."""

    stop_timeout_us: int | None
    kill_mode: str
    send_sigkill: bool
    notify_access: str
    stop_commands: int  # ExecStop= and ExecStopPost= together
    requisite: tuple[str, ...]
    wanted_by: tuple[str, ...]
    drop_ins: tuple[str, ...]


class JobResult(StrEnum):
    """How a job ended: systemd's words, then four of ours."""

    DONE = "done"
    CANCELED = "canceled"
    TIMEOUT = "timeout"
    FAILED = "failed"
    DEPENDENCY = "dependency"
    SKIPPED = "skipped"
    INVALID = "invalid"
    ASSERT = "assert"
    UNSUPPORTED = "unsupported"
    COLLECTED = "collected"
    ONCE = "once"
    OTHER = "other"
    UNKNOWN_UNIT = "unknown-unit"  # there is no such unit
    REFUSED = "refused"  # systemd would not take the request
    LATE = "late"  # the deadline passed; the job may still end
    LOST = "lost"  # the connection broke; nobody knows

    @classmethod
    def _missing_(cls, value: object) -> JobResult:
        return cls.OTHER


class Outcome(Struct, frozen=True):
    """What became of one request. `reason` is for people, empty when all is well."""

    unit: str
    result: JobResult
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether what was asked for is so."""
        return self.result is JobResult.DONE


class UnitChanged(Struct, frozen=True):
    """A unit's ActiveState or SubState is now this."""

    name: str
    active: str
    sub: str


class Resync(Struct, frozen=True):
    """Changes may have been missed (first connection, broken connection, reload, overflow): read everything anew."""

    reason: str


Change = UnitChanged | Resync

OURS = ("skerry-*", "skerry.target")


class Systemd(Protocol):
    """One machine's service manager. Units are full names (`skerry-web-0.service`)."""

    async def units(
        self, patterns: Sequence[str], closely: Collection[str] = ()
    ) -> tuple[UnitState, ...] | Outcome:
        """Every unit in memory whose name fits one of the shell patterns, by name. An Outcome says why not.

        Of each only `UnitState.listed`, and `briefly` of those named in `closely`, so that many units take little time:
        each of these costs questions of its own. `show` has the rest.
        """

    async def show(self, names: Sequence[str]) -> tuple[UnitState, ...] | Outcome:
        """These units in this order, read from disk where not in memory; missing ones have load NOT_FOUND."""

    async def stop_rules(self, unit: str) -> StopRules | Outcome:
        """How this service would be stopped, with every drop-in."""

    async def user(self, unit: str) -> str | Outcome:
        """The name of the user that a loaded service runs as, also where systemd makes it up; empty for root."""

    async def start(self, unit: str, deadline: float, yields: bool = False) -> Outcome:
        """Start it and await the job's end, `deadline` seconds at most. Already up is DONE.

        What systemd has still to do and is in the way gives way, or with `yields` goes before: then this is REFUSED. So
        nothing that needs a lease keeps one open that is just ending.
        """

    async def stop(self, unit: str, deadline: float) -> Outcome:
        """Stop it and await the job's end. Already down, or unknown to systemd, is DONE."""

    async def restart(self, unit: str, deadline: float, yields: bool = False) -> Outcome:
        """Stop and start it, in what form is in memory, and await the job's end. `yields` as in `start`."""

    async def reset_failed(self, unit: str) -> Outcome:
        """Forget that it failed. Not failed, or unknown, is DONE."""

    async def set_properties(self, unit: str, values: Mapping[str, int], runtime: bool) -> Outcome:
        """Change limits of a loaded unit without a restart: MemoryMax, TasksMax, CPUWeight, IOWeight ...

        The values stay in drop-ins of systemd's own (under /run with `runtime`) that win over the unit file until
        `unitfiles.UnitFiles.drop_properties` removes them. 2**64 - 1 is systemd's infinity.
        """

    async def reload(self, deadline: float) -> Outcome:
        """Read unit files anew (daemon-reload), and await its end."""

    async def system_state(self) -> str:
        """systemd's SystemState ("running", "degraded", "starting", "stopping" ...), "unknown" when not reached."""

    async def manager_start_us(self) -> int | None:
        """CLOCK_MONOTONIC when this service manager started: what OnStartupSec= counts from."""

    def boot_id(self) -> str:
        """Which boot of the machine this is (random(4)): another one after every start."""

    def boottime_us(self) -> int:
        """CLOCK_BOOTTIME now: counts while the machine sleeps."""

    def monotonic_us(self) -> int:
        """CLOCK_MONOTONIC now: what systemd's timers count by."""

    def changes(self, patterns: Sequence[str] = OURS) -> AsyncIterator[Change]:
        """Changes from now on of the units that fit, by signals; first a Resync.

        A reader that falls behind gets a Resync in place of what it missed.
        """
