"""Leases on this machine's systemd: a grant becomes a timer, and from then on systemd ends it, agent or no agent.

Owns the timer files in /run/systemd/system. Order of a grant: the new timer first, which with `opens` pulls in the
lease target; only then are older timers stopped. So there is no moment at which a lease is open without an end, and the
agent may be stopped at any point. What may be granted, and when, is `grants`' business. Deadlines are CLOCK_BOOTTIME.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from ..disk.files import REAL, DiskError, Files, make_folder, remove, sweep, write_atomic
from ..systemd.port import JobResult, Outcome, Systemd
from ..units.leaseunits import end_name, grant, target_name, timer_name, timer_pattern, timer_prefix

RUN = Path("/run/systemd/system")
START_SECONDS = 10.0


class Armed(Struct, frozen=True):
    """A grant is in force. `timer` ends it at `deadline_us` (CLOCK_BOOTTIME)."""

    length_ms: int
    deadline_us: int
    timer: str


class Leases:
    """The leases of this node, by length."""

    def __init__(self, systemd: Systemd, folder: Path = RUN, files: Files = REAL) -> None:
        self._systemd, self._folder, self._files = systemd, folder, files

    async def arm(self, length_ms: int, deadline_us: int, opens: bool) -> Armed | Outcome:
        """Let the lease of this length live until `deadline_us`; an Outcome says why not, and nothing is longer then.

        With `opens` the lease is opened too, else only an open one goes on. A deadline that is over is dropped. Raises
        DiskError where the timer cannot be written; nothing is longer then either.
        """
        target = target_name(length_ms)
        after_ms = await self._after_startup_ms(deadline_us)
        if isinstance(after_ms, str):
            return Outcome(target, JobResult.REFUSED, after_ms)
        timer = timer_name(length_ms, deadline_us // 1000, opens)
        self._write(length_ms, timer, grant(length_ms, after_ms, opens))
        outcome = await self._systemd.start(timer, START_SECONDS)
        if outcome.ok:
            await self._clear(length_ms, keep=timer)
            return Armed(length_ms, deadline_us, timer)
        if outcome.result not in {JobResult.LATE, JobResult.LOST}:
            await self._forget(timer)
        return outcome

    def _write(self, length_ms: int, timer: str, text: str) -> None:
        """No two grants have one name, so what a crash or a full disk left half written is nobody's but to be swept."""
        sweep(self._folder, self._files, timer_prefix(length_ms))
        try:
            make_folder(self._folder, 0o755, self._files)
            write_atomic(self._folder / timer, text.encode(), 0o644, self._files)
        except DiskError:
            sweep(self._folder, self._files, timer_prefix(length_ms))
            raise

    async def is_open(self, length_ms: int) -> bool:
        """Whether the lease target of this length is active now."""
        shown = await self._systemd.show([target_name(length_ms)])
        return not isinstance(shown, Outcome) and shown[0].active == "active"

    async def drop(self, length_ms: int, deadline: float) -> Outcome:
        """End the lease now: done when every fenced unit of it has stopped, `deadline` seconds at most."""
        outcome = await self._systemd.start(end_name(length_ms), deadline)
        if outcome.result is JobResult.UNKNOWN_UNIT:
            outcome = await self._systemd.stop(target_name(length_ms), deadline)
        if outcome.ok:
            await self._clear(length_ms, keep="")
        return outcome

    async def _after_startup_ms(self, deadline_us: int) -> int | str:
        """The deadline as OnStartupSec= counts it: CLOCK_MONOTONIC since the service manager started.

        Monotonic time is read first, so that a pause in between makes the lease shorter, never longer.
        """
        start_us = await self._systemd.manager_start_us()
        if start_us is None:
            return "systemd does not say when it started"
        monotonic_us = self._systemd.monotonic_us()
        left_us = deadline_us - self._systemd.boottime_us()
        if left_us <= 0:
            return "the grant was over when it came"
        return (monotonic_us + left_us - start_us) // 1000

    async def _clear(self, length_ms: int, keep: str) -> None:
        """Stop and remove the other timers of this length. One that stays only ends the lease sooner."""
        timers = await self._systemd.units([timer_pattern(length_ms)])
        names = set() if isinstance(timers, Outcome) else {timer.name for timer in timers}
        names |= {path.name for path in self._folder.glob(timer_pattern(length_ms))}
        for name in sorted(names - {keep}):
            await self._forget(name)
        sweep(self._folder, self._files, timer_prefix(length_ms))

    async def _forget(self, timer: str) -> None:
        stopped = await self._systemd.stop(timer, START_SECONDS)
        if not stopped.ok:
            return
        try:
            remove(self._folder / timer, self._files)
        except DiskError:
            return  # a file in /run that nothing starts: the next grant tries again
