"""Inside of a node: a process arms a lease, something happens to it, and systemd must end the lease all the same.

    python -m tests.agent.lease_rehearsal killed|hung|stopped|reexec

prints JSON: the deadline, and when the fenced unit was gone, both in microseconds of CLOCK_MONOTONIC.
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
            await until_down(m, target_name(LENGTH_MS))  # the copy goes first, and the lease is over after it
        again = await systemd.start(UNIT, 10)
    finally:
        if holder.returncode is None:
            holder.kill()
        await holder.wait()
        await clean(systemd)
        systemd.close()
    return {"deadline_us": deadline_us, "gone_us": gone_us, "refused_after": not again.ok}


async def until_down(m: Machine, unit: str) -> int:
    async for _ in m.systemd.changes():
        shown = await m.systemd.show([unit])
        if not isinstance(shown, Outcome) and not shown[0].up:
            return m.systemd.monotonic_us()
    raise AssertionError


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        asyncio.run(hold())
    else:
        json.dump(asyncio.run(rehearse(sys.argv[1])), sys.stdout)
