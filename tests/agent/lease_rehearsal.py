"""Inside of a node: a process arms a lease, something happens to it, and systemd must end the lease all the same.

    python -m tests.agent.lease_rehearsal killed|hung|stopped|reexec

prints JSON: the deadline, and when the fenced unit was gone, both in microseconds of CLOCK_MONOTONIC.

    python -m tests.agent.lease_rehearsal between

prints JSON: what a start is told that comes while a lease ends, and whether the lease was over in spite of it.

    python -m tests.agent.lease_rehearsal byhand

the same for `systemctl start`, which takes the place of the lease's stop, where a timer ends the lease.
"""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

from skerry_agent.systemd import Outcome
from skerry_agent.systemd.dbus import DbusSystemd
from skerry_agent.units.leaseunits import target_name

from .systemd_conformance import LENGTH_MS, UNIT, Machine, clean

LEASE_SECONDS = 2.0
SLOW = "skerry-slow-0.service"
SIGNALS = {"killed": signal.SIGKILL, "hung": signal.SIGSTOP, "stopped": signal.SIGTERM}


def machine(systemd: DbusSystemd) -> Machine:
    return Machine(systemd, Path("/etc/systemd/system"), Path("/run/systemd/system"), asyncio.sleep)


async def hold() -> None:
    """Arms, says the deadline, then waits to be done something to."""
    systemd = DbusSystemd()
    m = machine(systemd)
    deadline_us = systemd.monotonic_us() + int(LEASE_SECONDS * 1e6)
    await m.armed(LEASE_SECONDS)
    print(deadline_us, flush=True)
    await asyncio.Event().wait()


async def rehearse(what: str) -> dict[str, int]:
    systemd = DbusSystemd()
    m = machine(systemd)
    m.fenced()
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __spec__.name, "hold", stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    deadline_us = int(await holder.stdout.readline())
    assert (await m.one(UNIT)).up
    if what == "reexec":
        await (await asyncio.create_subprocess_exec("systemctl", "daemon-reexec")).wait()
    else:
        holder.send_signal(SIGNALS[what])
    try:
        async with asyncio.timeout(20):
            gone_us = await until_down(m, UNIT)
        # The copy goes first, and the lease is over after it: a start in between must not keep the lease open.
        again = await systemd.start(UNIT, 10, yields=True)
        async with asyncio.timeout(10):
            await until_down(m, target_name(LENGTH_MS))
    finally:
        if holder.returncode is None:
            holder.kill()
        await holder.wait()
        await clean(systemd)
        systemd.close()
    return {"deadline_us": deadline_us, "gone_us": gone_us, "refused_after": not again.ok}


async def between() -> dict[str, object]:
    """One copy is down at once, another takes its time, and the lease ends after both: then the first is started."""
    systemd = DbusSystemd()
    m = machine(systemd)
    m.fenced()
    m.fenced(SLOW, more="TimeoutStopSec=2s\nNotifyAccess=none\nExecStop=/bin/sleep 1.5")
    try:
        await m.armed(600)
        assert await m.comes_up(UNIT)
        assert await m.comes_up(SLOW)
        ending = asyncio.create_task(m.leases.drop(LENGTH_MS, 20))
        async with asyncio.timeout(20):
            await until_down(m, UNIT)
            assert (await m.one(target_name(LENGTH_MS))).up
            told = await systemd.start(UNIT, 10, yields=True)
            ended = await ending
        over = not (await m.one(target_name(LENGTH_MS))).up and not (await m.one(UNIT)).up
    finally:
        await clean(systemd)
        systemd.close()
    return {"told": told.result, "ended": ended.ok, "over": over}


async def byhand() -> dict[str, object]:
    """An admin starts a copy that is down already, while another still stops: the lease is over all the same."""
    systemd = DbusSystemd()
    m = machine(systemd)
    m.fenced()
    m.fenced(SLOW, more="TimeoutStopSec=2s\nNotifyAccess=none\nExecStop=/bin/sleep 1.5")
    try:
        await m.armed(LEASE_SECONDS)
        assert await m.comes_up(UNIT)
        assert await m.comes_up(SLOW)
        async with asyncio.timeout(20):
            await until_down(m, UNIT)
            assert (await m.one(target_name(LENGTH_MS))).up
            started = await (await asyncio.create_subprocess_exec("systemctl", "start", UNIT)).wait()
            if (await m.one(target_name(LENGTH_MS))).up:
                await until_down(m, target_name(LENGTH_MS))
        over = not (await m.one(UNIT)).up
    finally:
        await clean(systemd)
        systemd.close()
    return {"started": started == 0, "over": over}


async def until_down(m: Machine, unit: str) -> int:
    async for _ in m.systemd.changes():
        shown = await m.systemd.show([unit])
        if not isinstance(shown, Outcome) and not shown[0].up:
            return m.systemd.monotonic_us()
    raise AssertionError


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        asyncio.run(hold())
    elif sys.argv[1] == "between":
        json.dump(asyncio.run(between()), sys.stdout)
    elif sys.argv[1] == "byhand":
        json.dump(asyncio.run(byhand()), sys.stdout)
    else:
        json.dump(asyncio.run(rehearse(sys.argv[1])), sys.stdout)
