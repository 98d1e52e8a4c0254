"""One machine of a simulation: a real agent on a fake systemd, on a disk and a line that may be bad.

Owns what becomes of the machine itself: its agent crashes and comes back, its power goes, it sleeps. What happens to
it is the adversary's word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from pathlib import Path
from random import Random
from shutil import rmtree as remove_tree

from skerry_agent.daemon import Agent
from skerry_agent.disk.disk import StateDir
from skerry_agent.joining import identity as identities
from skerry_agent.joining.identity import Identity
from skerry_agent.switch.places import Places
from skerry_agent.systemd.fake import FakeSystemd
from skerry_agent.systemd.port import Outcome, UnitChanged
from skerry_agent.units.restore import restore

from .disk import Dead, Disk
from .processes import Process, Processes


async def _unchanging(_folder: Path, _concerns: Callable[[str], bool], changed: Callable[[], None]) -> None:
    """Watches what nobody changes by hand. To take a real watch away waits for the kernel: 5 ms."""
    changed()
    await asyncio.Event().wait()


RESTART_S = 5.0  # RestartSec= of skerry-agent.service
UNIT = "[Unit]\nWants=skerry.target\n"


class Systemd(FakeSystemd):
    """The fake, with the loop's clock; each agent that is started talks to it through a `Port` of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str, folders: list[Path], rate: float) -> None:
        super().__init__(folders, now_us=1_000_000_000)
        self._loop, self._name, self._rate = loop, name, rate
        self._at = loop.time()
        self._due: asyncio.TimerHandle | None = None
        self._due_us: int | None = None  # which moment of its own clock that is
        self.off = False
        self.awaited = False  # whether somebody waits for what happens now to be over

    def catch_up(self) -> None:
        """Its clock is the loop's, as far as this machine's oscillator is."""
        if self.off:
            return
        now = self._loop.time()
        passed, self._at = int((now - self._at) * 1e6 * self._rate), now
        self.advance(passed)
        self._arm()

    def _arm(self) -> None:
        """Looks again when the next timer is due."""
        timers = self._machine.timers.values()
        due_us = min(timers) if timers else None
        if due_us == self._due_us:
            return
        self._disarm()
        if due_us is not None:
            left = max(0.0, (due_us - self._machine.now_us) / 1e6 / self._rate)
            self._due_us = due_us
            self._due = self._loop.call_later(left + 1e-6, self._fall_due, context=Context())

    def _disarm(self) -> None:
        if self._due is not None:
            self._due.cancel()
        self._due = self._due_us = None

    def _fall_due(self) -> None:
        self._disarm()
        self.catch_up()

    def power_off(self) -> None:
        """Everything that ran is gone."""
        self.catch_up()
        self.off = True
        self._disarm()
        self._machine.forget()

    def power_on(self) -> None:
        """A boot; its clock begins at zero."""
        self.off = False
        self._at = self._loop.time()
        self._machine.now_us = 1_000_000
        self._slept_us = 0
        self.reboot()
        self._arm()

    def fall_asleep(self) -> None:
        """What must not run in its sleep stops; CLOCK_MONOTONIC stands still."""
        self.catch_up()
        self._machine.start("sleep.target")
        self.off = True
        self._disarm()

    def wake(self, seconds: float) -> None:
        """Only CLOCK_BOOTTIME has counted."""
        self.off = False
        self._at = self._loop.time()
        self._slept_us += int(seconds * 1e6)
        self._machine.stop("sleep.target")
        self._arm()

    def boot_id(self) -> str:
        return f"{self._name}-{super().boot_id()}"

    def boottime_us(self) -> int:
        self.catch_up()
        return super().boottime_us()

    def monotonic_us(self) -> int:
        self.catch_up()
        return super().monotonic_us()

    def running(self) -> set[str]:
        """Every unit that is up."""
        return {name for name, state in self._machine.states.items() if state.up}

    def _job(self, verb: str, unit: str, act: Callable[[], object], deadline: float = 0) -> Outcome:
        self.catch_up()
        self.awaited = True
        done = super()._job(verb, unit, act, deadline)  # type: ignore[arg-type]
        self.awaited = False
        self._arm()
        return done

    def watch(self, heard: Callable[[UnitChanged], None]) -> None:
        """Who hears of every change."""
        emit = self._machine.emit

        def both(change: UnitChanged) -> None:
            heard(change)
            emit(change)

        self._machine.emit = both


class Port:
    """One agent's way to systemd: it leads nowhere once that agent is dead."""

    def __init__(self, systemd: Systemd, process: Process) -> None:
        self._systemd, self._process = systemd, process

    def __getattr__(self, name: str) -> object:
        if self._process.dead:
            raise Dead
        return getattr(self._systemd, name)


class Machine:
    """See the module."""

    def __init__(
        self, folder: Path, name: str, identity: Identity, key: bytes, processes: Processes, random: Random
    ) -> None:
        self.name = name
        self.identity = identity
        self.places = Places(
            folder / "state", folder / "units", folder / "policy.toml", folder / "run", folder / "run_units",
            folder / "control",
        )  # fmt: skip
        for one in (self.places.state, self.places.units, self.places.run, self.places.run_units):
            one.mkdir(parents=True)
        (self.places.state / "identity").mkdir()
        (self.places.state / "identity" / identities.KEY_FILE).write_bytes(key)
        loop = asyncio.get_running_loop()
        self._loop, self._processes = loop, processes
        # What a cheap oscillator does: up to 100 ppm.
        rate = 1 + random.uniform(-1e-4, 1e-4)
        self.systemd = Systemd(loop, name, [self.places.units, self.places.run_units], rate)
        self.disk = Disk(random, self._disk_died)
        self.on = False
        self.agent: Agent | None = None
        self.process: Process | None = None
        self._again: asyncio.TimerHandle | None = None
        self._asleep = False
        self._install()

    def _install(self) -> None:
        """What the package brings."""
        (self.places.units / "skerry.target").write_text("[Unit]\nDescription=all\n")
        wants = self.places.units / "multi-user.target.wants"
        wants.mkdir()
        (wants / "skerry.target").symlink_to("../skerry.target")

    @property
    def boot(self) -> str:
        """Which boot this is."""
        return self.systemd.boot_id()

    def power_on(self) -> None:
        """A cold boot."""
        self.on = True
        for folder in (self.places.run, self.places.run_units):
            remove_tree(folder)
            folder.mkdir()
        self.disk.revive()
        self.systemd.power_on()
        process = self._processes.begin(self.name, self)
        process.run(self._booted(process))

    async def _booted(self, process: Process) -> None:
        """skerry-restore.service beside what systemd starts, then the agent."""
        boot = self.boot
        disk = StateDir(self.places.state, self.disk)
        port = Port(self.systemd, process)
        await restore(disk, port, self.places.rendering)  # type: ignore[arg-type]
        if self.on and self.boot == boot:
            self.start_agent()

    def power_off(self) -> None:
        """The plug is pulled."""
        if not self.on:
            return
        self._asleep = False
        self.kill_agent()
        if self._again is not None:
            self._again.cancel()
        self.on = False
        self.disk.cut_power()
        self.systemd.power_off()

    def sleep(self, seconds: float) -> None:
        """It sleeps and wakes by itself: nothing on it runs meanwhile."""
        if not self.on or self._asleep:
            return
        self._asleep = True
        process = self.process
        if process is not None:
            process.freeze()
        self.systemd.fall_asleep()
        self._loop.call_later(seconds, self._wake, self.boot, process, seconds, context=Context())

    def _wake(self, boot: str, process: Process | None, seconds: float) -> None:
        self._asleep = False
        if self.boot == boot and self.on:
            self.systemd.wake(seconds)
            if process is not None:
                process.thaw()

    def hang(self, seconds: float) -> None:
        """SIGSTOP for the agent, and SIGCONT."""
        process = self.process
        if process is not None and not self._asleep:
            process.freeze()
            self._loop.call_later(
                seconds, lambda: None if process.dead else process.thaw(), context=Context()
            )

    def start_agent(self) -> None:
        """skerry-agent.service starts."""
        if not self.on or self.agent is not None:
            return
        self.disk.revive()
        process = self.process = self._processes.begin(self.name, self)
        process.run(self._run(process))

    async def _run(self, process: Process) -> None:
        port = Port(self.systemd, process)
        self.agent = Agent(self.places, self.identity, port, self.disk, _unchanging)  # type: ignore[arg-type]
        await self.agent.run(asyncio.Event())

    def kill_agent(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.disk.kill()
            self.process.kill()
        self.agent = self.process = None

    def _disk_died(self) -> None:
        self._loop.call_soon(self.agent_died, context=Context())

    def agent_died(self) -> None:
        """It crashed, or was killed: systemd starts it again."""
        self.kill_agent()
        if self.on and self._again is None:
            self._again = self._loop.call_later(RESTART_S, self._restart, context=Context())

    def _restart(self) -> None:
        self._again = None
        self.start_agent()
