"""What a process in a node costs: its memory by /proc/PID/smaps_rollup, its CPU and wake-ups over a window."""

from __future__ import annotations

import re
import time

from msgspec import Struct

from tests.lab.system.world import World

from .meshes import PYTHON

FIELDS = ("Rss", "Pss", "Anonymous")
# What a process says of itself once it has done what was before it in the code.
LOOK = "print(open('/proc/self/smaps_rollup').read())"
IDLE = f"""
import asyncio
async def rest():
    await asyncio.sleep(0.2)
    {LOOK}
asyncio.run(rest())
"""


class Memory(Struct, frozen=True):
    """MiB: in memory at all, in memory with what is shared divided among its users, and its own alone."""

    resident: float
    proportional: float
    anonymous: float


class Use(Struct, frozen=True):
    """CPU of all threads in percent of a core, and how often a second they woke up by themselves."""

    cpu: float
    wakes: float


def memory(text: str) -> Memory:
    """From the text of a smaps_rollup."""
    found = {
        name: int(value) / 1024 for name, value in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)
    }
    return Memory(*(found[field] for field in FIELDS))


def memory_of(world: World, node: str, pid: int) -> Memory:
    return memory(world.text(node, "cat", f"/proc/{pid}/smaps_rollup"))


def memory_of_code(world: World, node: str, code: str) -> Memory:
    """Of a fresh Python that ran `code` and then rested in an event loop."""
    return memory(world.text(node, PYTHON, "-c", code + IDLE))


def use(world: World, node: str, pid: int, seconds: float) -> Use:
    """Over a window that begins now. Nothing looks at the machine meanwhile."""
    before, since = _spent(world, node, pid), time.monotonic()
    time.sleep(seconds)
    after, took = _spent(world, node, pid), time.monotonic() - since
    return Use((after[0] - before[0]) / 1e9 / took * 100, (after[1] - before[1]) / took)


def _spent(world: World, node: str, pid: int) -> tuple[int, int]:
    """Nanoseconds on a processor, of threads that have ended too, and times that a thread which is there has waited.

    By the process's own clock (clock_getcpuclockid(3) makes its number so), which is exact, unlike the ticks of stat.
    """
    code = f"import time; print(time.clock_gettime_ns(~{pid} << 3 | 2))"
    on_cpu = int(world.text(node, PYTHON, "-c", code))
    text = world.text(node, "sh", "-c", f"cat /proc/{pid}/task/*/status")
    waits = re.findall(r"^voluntary_ctxt_switches:\s+(\d+)$", text, re.MULTILINE)
    return on_cpu, sum(map(int, waits))
