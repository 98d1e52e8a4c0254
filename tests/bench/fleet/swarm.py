"""`python -m tests.bench.fleet.swarm FILE`: a process that plays the agents in FILE, as lines on its input say.

Each line is a JSON map with `do`; each gets one line of JSON back. It ends when its input does, so that it cannot be
left behind.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import resource
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
from msgspec import Struct

from .line import Line
from .simnode import Login, Server, SimNode, tls_of

POLL_S = 0.02
OPEN_AT_ONCE = 50


class Plan(Struct, frozen=True):
    """What FILE holds. `agents`: they speak as agents do; else the connections are idle."""

    server: Server
    logins: tuple[Login, ...]
    agents: bool = True


class Said(Struct, frozen=True):
    """The answer to each line. Moments are of CLOCK_MONOTONIC; `waiting` have not done it yet."""

    cpu_s: float
    resident_mb: float
    up: int = 0
    beats: int = 0
    reports: int = 0
    losses: int = 0
    waiting: int = 0
    moments: tuple[float, ...] = ()
    trouble: dict[str, int] = {}


class Swarm:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        tls = tls_of(plan.server)
        self._tls = tls
        self._nodes = [SimNode(login, plan.server, tls) for login in plan.logins] if plan.agents else []
        self._idle: list[Line] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def do(self, line: dict[str, object]) -> Said:
        """One command; what it is waited for `seconds` at most."""
        match line["do"]:
            case "start":
                await self._start(float(str(line["over"])))
            case "connect":
                await self._connect()
            case "mark":
                for node in self._nodes:
                    node.mark()
            case "spread":
                chance = random.Random(7)
                for node in self._nodes:
                    node.spread(chance)
            case "end":
                self._tasks.pop(0).cancel()
                node = self._nodes.pop(0)
                return msgspec.structs.replace(self._said(), moments=(node.heard_at,))
            case "first":
                return await self._first(float(str(line["seconds"])))
            case "took" | "agreed":
                return await self._until(str(line["do"]), float(str(line["seconds"])), int(str(line["term"])))
        return self._said()

    async def _start(self, over_s: float) -> None:
        for at, node in enumerate(self._nodes):
            self._tasks.append(asyncio.create_task(node.run(over_s * at / len(self._nodes))))

    async def _connect(self) -> None:
        """Connections that do nothing but answer pings."""
        server = self._plan.server
        gate = asyncio.Semaphore(OPEN_AT_ONCE)

        async def one() -> Line:
            async with gate:
                line = Line(lambda _subject, _data: None)
                await line.open(server.host, server.port, self._tls)
                await line.login({}, "")
                return line

        self._idle = await asyncio.gather(*(one() for _ in self._plan.logins))

    async def _until(self, what: str, seconds: float, term: int) -> Said:
        """Until all did it since the mark, or the time is over."""
        deadline = time.monotonic() + seconds
        waiting = list(self._nodes)
        while waiting and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)
            waiting = [node for node in waiting if not self._did(node, what, term)]
        moments = [node.took_at if what == "took" else node.agreed_at for node in self._nodes]
        found = tuple(sorted(at for at in moments if at is not None))
        return msgspec.structs.replace(self._said(), waiting=len(waiting), moments=found)

    async def _first(self, seconds: float) -> Said:
        """Until one took an assignment since the mark, or the time is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if moments := sorted(node.took_at for node in self._nodes if node.took_at is not None):
                return msgspec.structs.replace(self._said(), moments=tuple(moments[:1]))
            await asyncio.sleep(POLL_S)
        return self._said()

    def _did(self, node: SimNode, what: str, term: int) -> bool:
        if what == "took":
            return node.took_at is not None
        return node.agreed_at is not None and node.term >= term

    def _said(self) -> Said:
        used = resource.getrusage(resource.RUSAGE_SELF)
        trouble = Counter(text for node in self._nodes for text in node.trouble)
        return Said(
            cpu_s=used.ru_utime + used.ru_stime,
            resident_mb=used.ru_maxrss / 1024,
            up=sum(node.up for node in self._nodes) + sum(not line.lost.is_set() for line in self._idle),
            beats=sum(node.beats for node in self._nodes),
            reports=sum(node.reports for node in self._nodes),
            losses=sum(node.losses for node in self._nodes),
            trouble=dict(trouble.most_common(5)),
        )


async def _serve(plan: Plan) -> None:
    swarm = Swarm(plan)
    gc.freeze()  # thousands of nodes are no garbage, and looking through them is not the agents' cost
    source = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(source), sys.stdin
    )
    while line := await source.readline():
        said = await swarm.do(json.loads(line))
        print(msgspec.json.encode(said).decode(), flush=True)


if __name__ == "__main__":
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    asyncio.run(_serve(msgspec.msgpack.decode(Path(sys.argv[1]).read_bytes(), type=Plan)))
