"""What Skerry relies on systemd to do. Each promise runs on the fake, and on the real thing inside of a node.

As a program it runs all of them on this machine's systemd and prints one JSON object: name → what went wrong, or null.
"""

import asyncio
import inspect
import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

from skerry_agent.leases.leases import Armed, Leases
from skerry_agent.systemd import JobResult, LoadState, Outcome, Resync, Systemd, UnitChanged, UnitState
from skerry_agent.systemd.dbus import DbusSystemd
from skerry_agent.units.leaseunits import end_name, shared, target_name
from skerry_agent.units.stoprules import unfit

RUNS = "/bin/sleep 1000"
SECONDS = 20.0
LENGTH_MS = 30_000
UNIT = "skerry-probe-0.service"


class Machine:
    """A systemd, and the folder of unit files that it reads. `pass_time` waits for real, or moves the fake's clock."""

    def __init__(
        self, systemd: Systemd, units: Path, run: Path, pass_time: Callable[[float], Awaitable[None]]
    ) -> None:
        self.systemd, self.units, self.run, self.pass_time = systemd, units, run, pass_time
        self.leases = Leases(systemd, run)

    def service(self, name: str, command: str = RUNS, unit: str = "", more: str = "") -> str:
        self.put(name, f"[Unit]\n{unit}\n[Service]\nType=exec\nExecStart={command}\n{more}\n")
        return name

    def put(self, name: str, text: str) -> None:
        path = self.units / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def want(self, target: str, unit: str) -> None:
        (self.units / f"{target}.wants").mkdir(exist_ok=True)
        (self.units / f"{target}.wants" / unit).symlink_to(f"../{unit}")

    async def one(self, name: str) -> UnitState:
        shown = await self.systemd.show([name])
        assert not isinstance(shown, Outcome), shown
        return shown[0]

    async def comes_up(self, name: str) -> bool:
        """What a lease starts is up a moment after the lease: the grant's timer is all that is waited for."""
        for _ in range(100):
            if (await self.one(name)).active == "active":
                return True
            await self.pass_time(0.01)
        return False

    async def start(self, name: str) -> UnitState:
        outcome = await self.systemd.start(name, SECONDS)
        assert outcome.ok, outcome
        return await self.one(name)

    def fenced(self, name: str = UNIT, more: str = "TimeoutStopSec=2s\nNotifyAccess=none") -> str:
        """A unit under a lease, with the lease's targets."""
        target = target_name(LENGTH_MS)
        for file, text in shared(LENGTH_MS).items():
            self.put(file, text)
        self.service(name, unit=f"Requisite={target}\nAfter={target}", more=more)
        self.want(target, name)
        return name

    async def arm(self, seconds: float, opens: bool = True) -> Armed | Outcome:
        return await self.leases.arm(LENGTH_MS, self.systemd.boottime_us() + int(seconds * 1e6), opens)

    async def armed(self, seconds: float, opens: bool = True) -> Armed:
        armed = await self.arm(seconds, opens)
        assert isinstance(armed, Armed), armed
        return armed


async def a_made_up_user_has_a_name(m: Machine) -> None:
    """Another unit that names it runs as the same user: nothing else may read what belongs to it."""
    await m.start(m.service(UNIT, more="DynamicUser=yes"))
    assert await m.systemd.user(UNIT) == UNIT.removesuffix(".service")
    await m.start(m.service("skerry-plain-0.service"))
    assert await m.systemd.user("skerry-plain-0.service") == ""


async def a_started_service_has_a_process(m: Machine) -> None:
    unit = await m.start(m.service(UNIT, more="TimeoutStopSec=3s"))
    assert (unit.load, unit.active, unit.sub) == (LoadState.LOADED, "active", "running")
    assert unit.main_pid > 1
    assert len(unit.invocation) == 32
    assert unit.stop_timeout_us == 3_000_000
    assert unit.entered_us > 0
    assert unit.up
    assert not unit.stale


async def a_lease_is_not_opened_by_its_own_target(m: Machine) -> None:
    """It would have no end. A grant's timer pulls it in."""
    m.fenced()
    assert (await m.systemd.reload(SECONDS)).ok
    by_hand = await m.systemd.start(target_name(LENGTH_MS), SECONDS)
    assert by_hand.result is JobResult.REFUSED
    assert not (await m.one(UNIT)).up
    await m.armed(SECONDS)
    assert await m.comes_up(UNIT)
    assert (await m.leases.drop(LENGTH_MS, SECONDS)).ok


async def starting_twice_changes_nothing(m: Machine) -> None:
    first = await m.start(m.service(UNIT))
    assert await m.start(UNIT) == first


async def two_who_ask_for_the_same_both_hear_its_end(m: Machine) -> None:
    """They get one job of systemd's between them."""
    unit = m.service(UNIT, more="ExecStartPre=/bin/sleep 0.3")
    assert (await m.systemd.reload(SECONDS)).ok
    started = await asyncio.gather(*(m.systemd.start(unit, SECONDS) for _ in range(2)))
    assert [one.result for one in started] == [JobResult.DONE] * 2
    stopped = await asyncio.gather(*(m.systemd.stop(unit, SECONDS) for _ in range(2)))
    assert [one.result for one in stopped] == [JobResult.DONE] * 2


async def stopping_ends_it_and_stopping_again_is_done(m: Machine) -> None:
    await m.start(m.service(UNIT))
    assert (await m.systemd.stop(UNIT, SECONDS)).ok
    assert not (await m.one(UNIT)).up
    assert (await m.systemd.stop(UNIT, SECONDS)).ok
    assert (await m.systemd.stop("skerry-nobody-0.service", SECONDS)).ok


async def restarting_gives_another_process(m: Machine) -> None:
    first = await m.start(m.service(UNIT))
    assert (await m.systemd.restart(UNIT, SECONDS)).ok
    second = await m.one(UNIT)
    assert (first.main_pid, first.invocation) != (second.main_pid, second.invocation)
    assert first.invocation != second.invocation


async def an_unknown_unit_is_said_to_be_unknown(m: Machine) -> None:
    assert (await m.systemd.start("skerry-nobody-0.service", SECONDS)).result is JobResult.UNKNOWN_UNIT
    assert (await m.one("skerry-nobody-0.service")).load is LoadState.NOT_FOUND
    assert (await m.systemd.reset_failed("skerry-nobody-0.service")).ok


async def show_keeps_the_order_and_units_sorts_and_looks_closely_where_asked(m: Machine) -> None:
    names = ["skerry-b-0.service", "skerry-nobody-0.service", "skerry-a-0.service"]
    for name in (names[0], names[2]):
        await m.start(m.service(name))
    shown = await m.systemd.show(names)
    assert not isinstance(shown, Outcome)
    assert [unit.name for unit in shown] == names
    listed = await m.systemd.units(["skerry-?-0.service"], [names[0], names[1]])
    assert not isinstance(listed, Outcome)
    assert listed == (shown[2].listed, shown[0].briefly)
    assert shown[0].briefly.stop_timeout_us


async def a_failed_oneshot_says_how(m: Machine) -> None:
    m.put(UNIT, "[Service]\nType=oneshot\nExecStart=/bin/false\n")
    assert (await m.systemd.start(UNIT, SECONDS)).result is JobResult.FAILED
    unit = await m.one(UNIT)
    assert (unit.active, unit.exit_code, unit.exit_status, unit.result) == ("failed", 1, 1, "exit-code")
    assert (await m.systemd.reset_failed(UNIT)).ok
    assert (await m.one(UNIT)).active == "inactive"


async def a_changed_file_of_a_running_unit_is_stale_until_a_reload(m: Machine) -> None:
    before = await m.start(m.service(UNIT, more="TimeoutStopSec=3s"))
    await m.pass_time(0.01)  # systemd goes by the file's time
    m.service(UNIT, more="TimeoutStopSec=4s")
    assert (await m.one(UNIT)).stale
    assert (await m.systemd.restart(UNIT, SECONDS)).ok
    assert (await m.one(UNIT)).stop_timeout_us == 3_000_000, "the silent start of the old form"
    assert (await m.systemd.reload(SECONDS)).ok
    after = await m.one(UNIT)
    assert not after.stale
    assert after.stop_timeout_us == 4_000_000
    assert after.invocation != before.invocation


async def a_changed_file_of_a_stopped_unit_is_read_afresh(m: Machine) -> None:
    await m.start(m.service(UNIT, more="TimeoutStopSec=3s"))
    await m.systemd.stop(UNIT, SECONDS)
    await m.pass_time(0.01)
    m.service(UNIT, more="TimeoutStopSec=4s")
    assert (await m.start(UNIT)).stop_timeout_us == 4_000_000


async def limits_change_without_a_restart(m: Machine) -> None:
    before = await m.start(m.service(UNIT))
    assert (await m.systemd.set_properties(UNIT, {"TasksMax": 50, "CPUWeight": 20}, runtime=True)).ok
    after = await m.one(UNIT)
    assert (after.main_pid, after.invocation) == (before.main_pid, before.invocation)
    refused = await m.systemd.set_properties(UNIT, {"User": 0}, runtime=True)
    assert refused.result is JobResult.REFUSED


async def changes_are_told_and_begin_with_a_resync(m: Machine) -> None:
    m.service(UNIT)
    reader = m.systemd.changes()
    assert isinstance(await anext(reader), Resync)
    await m.start(UNIT)
    await m.systemd.stop(UNIT, SECONDS)
    heard: list[str] = []
    while "inactive" not in heard[1:]:
        change = await anext(reader)
        if isinstance(change, UnitChanged) and change.name == UNIT:
            heard.append(change.active)
    assert "active" in heard


async def a_drop_in_that_stretches_the_stop_is_seen(m: Machine) -> None:
    name = m.fenced()
    fit = await m.systemd.stop_rules(name)
    assert not isinstance(fit, Outcome)
    assert unfit(fit, 2000, target_name(LENGTH_MS)) == ()
    m.put(f"{name}.d/stretch.conf", "[Service]\nTimeoutStopSec=60s\n")
    await m.systemd.reload(SECONDS)
    rules = await m.systemd.stop_rules(name)
    assert not isinstance(rules, Outcome)
    (reason,) = unfit(rules, 2000, target_name(LENGTH_MS))
    assert "TimeoutStopSec is 60000 ms" in reason
    assert "stretch.conf" in reason


async def without_a_lease_a_fenced_unit_is_refused(m: Machine) -> None:
    name = m.fenced()
    outcome = await m.systemd.start(name, SECONDS)
    assert outcome.result is JobResult.DEPENDENCY, outcome
    assert not (await m.one(name)).up
    assert not await m.leases.is_open(LENGTH_MS)


async def a_grant_opens_the_lease_and_its_end_stops_the_unit(m: Machine) -> None:
    name = m.fenced()
    await m.armed(1.5)
    assert await m.leases.is_open(LENGTH_MS)
    assert await m.comes_up(name)
    await m.pass_time(2.0)
    assert not (await m.one(name)).up
    assert not await m.leases.is_open(LENGTH_MS)
    assert (await m.systemd.start(name, SECONDS)).result is JobResult.DEPENDENCY


async def a_renewal_touches_nothing_that_runs(m: Machine) -> None:
    name = m.fenced()
    first = await m.armed(1.5)
    before = await m.one(name)
    second = await m.armed(60, opens=False)
    after = await m.one(name)
    assert (after.main_pid, after.invocation) == (before.main_pid, before.invocation)
    assert not (m.run / first.timer).exists()
    await m.pass_time(2.0)
    assert (await m.one(name)).main_pid == before.main_pid, "the first deadline must not count any more"
    timers = await m.systemd.units(["skerry-lease-*.timer"])
    assert not isinstance(timers, Outcome)
    assert [timer.name for timer in timers if timer.up] == [second.timer]


async def a_renewal_alone_opens_nothing(m: Machine) -> None:
    name = m.fenced()
    await m.armed(60, opens=False)
    assert not await m.leases.is_open(LENGTH_MS)
    assert not (await m.one(name)).up


async def a_grant_that_is_over_is_dropped(m: Machine) -> None:
    name = m.fenced()
    outcome = await m.arm(-1)
    assert isinstance(outcome, Outcome)
    assert outcome.result is JobResult.REFUSED
    assert not (await m.one(name)).up
    assert list(m.run.glob("skerry-lease-*")) == []


async def a_lease_that_ended_opens_again(m: Machine) -> None:
    name = m.fenced()
    await m.armed(60)
    assert (await m.leases.drop(LENGTH_MS, SECONDS)).ok
    assert not (await m.one(name)).up
    assert list(m.run.glob("skerry-lease-*")) == []
    await m.armed(60)
    assert await m.comes_up(name)
    assert not (await m.one(end_name(LENGTH_MS))).up


async def sleep_ends_the_lease_first(m: Machine) -> None:
    name = m.fenced()
    await m.armed(60)
    # sleep.target cannot be started by hand; what puts machines to sleep pulls it in just like this.
    m.put(
        "skerry-nap-0.service",
        "[Unit]\nRequires=sleep.target\nAfter=sleep.target\n[Service]\nType=oneshot\nExecStart=/bin/true\n",
    )
    assert (await m.systemd.start("skerry-nap-0.service", SECONDS)).ok
    assert not (await m.one(name)).up
    assert not await m.leases.is_open(LENGTH_MS)


async def a_reload_changes_no_lease(m: Machine) -> None:
    name = m.fenced()
    await m.armed(1.5)
    before = await m.one(name)
    assert (await m.systemd.reload(SECONDS)).ok
    assert (await m.one(name)).main_pid == before.main_pid
    await m.pass_time(2.0)
    assert not (await m.one(name)).up


PROMISES: dict[str, Callable[[Machine], Awaitable[None]]] = {
    name: value
    for name, value in list(globals().items())
    if inspect.iscoroutinefunction(value) and value.__module__ == __name__
}


async def on_this_machine() -> dict[str, str | None]:
    """Every promise on the real systemd; the machine is left as it was."""
    systemd = DbusSystemd()
    assert systemd.open().ok
    found: dict[str, str | None] = {}
    for name, promise in PROMISES.items():
        machine = Machine(systemd, Path("/etc/systemd/system"), Path("/run/systemd/system"), asyncio.sleep)
        try:
            async with asyncio.timeout(30):
                await promise(machine)
            found[name] = None
        except Exception:  # noqa: BLE001 - whatever went wrong is what the test outside is to hear
            found[name] = traceback.format_exc()
        await clean(systemd)
    systemd.close()
    return found


async def clean(systemd: Systemd) -> None:
    loaded = await systemd.units(["skerry-*", "sleep.target"])
    for unit in loaded if not isinstance(loaded, Outcome) else ():
        await systemd.stop(unit.name, SECONDS)
        await systemd.reset_failed(unit.name)
    for folder in (
        Path("/etc/systemd/system"),
        Path("/run/systemd/system"),
        Path("/run/systemd/system.control"),
    ):
        remove_all(folder)
    await systemd.reload(SECONDS)


def remove_all(folder: Path) -> None:
    for path in sorted(folder.glob("skerry-*"), reverse=True):
        if path.is_dir():
            for inner in path.iterdir():
                inner.unlink()
            path.rmdir()
        else:
            path.unlink()


if __name__ == "__main__":
    json.dump(asyncio.run(on_this_machine()), sys.stdout)
