"""What loading costs before anything is done: a bare asyncio process, the agent's libraries, all of its modules."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from .figures import Effort
from .measures import Goal, Row, median
from .meshes import PYTHON
from .processes import IDLE, Memory, memory

PARTS = ("resident", "proportional", "anonymous")
ASYNCIO = "import asyncio, ssl\n"
ONE_BY_ONE = {
    "msgspec, msgpack": "import msgspec, msgpack\n",
    "nats-py": "import nats.aio.client\n",
    "cryptography": "import cryptography.hazmat.primitives.asymmetric.ed25519\n",
    "pystemd": "import pystemd.dbuslib\n",
}
LIBRARIES = ASYNCIO + "".join(ONE_BY_ONE.values())
# What it loads at its start, and the library for systemd, which is loaded when it connects.
AGENT = "import skerry_agent.start\nfrom skerry_agent.systemd import library\nlibrary.load()\n"


def measure(effort: Effort) -> Iterator[Row]:
    repeats = effort.count(9, 3)
    bare = _typical(ASYNCIO, repeats)
    yield from _rows("libraries alone", _typical(LIBRARIES, repeats), bare)
    yield from _rows("all modules of the agent", _typical(AGENT, repeats), bare, goal=True)
    for name, code in ONE_BY_ONE.items():
        more = _typical(ASYNCIO + code, repeats)
        yield Row(f"anonymous for {name}", more.anonymous - bare.anonymous, "MiB", note=_resident(more, bare))


def _resident(more: Memory, bare: Memory) -> str:
    return f"beside asyncio; {more.resident - bare.resident:.1f} MiB resident"


def _rows(what: str, ours: Memory, bare: Memory, goal: bool = False) -> Iterator[Row]:
    goals = {"resident": Goal(40), "anonymous": Goal(20)} if goal else {}
    for part in PARTS:
        mine, plain = getattr(ours, part), getattr(bare, part)
        yield Row(f"{part}, {what}", mine, "MiB", plain, "bare asyncio process", goals.get(part))


def _typical(code: str, repeats: int) -> Memory:
    """The median of each number over fresh processes."""
    found = [_once(code) for _ in range(repeats)]
    return Memory(*(median([getattr(one, part) for one in found]) for part in PARTS))


def _once(code: str) -> Memory:
    done = subprocess.run([PYTHON, "-c", code + IDLE], capture_output=True, text=True, check=True, timeout=60)
    return memory(done.stdout)
