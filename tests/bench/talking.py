"""Two processes that send to each other: as much as goes through for a while, or a few bytes to and fro.

Run as `python -c CODE ROLE …` in whatever network they are to be in. Who listens says so, then what it measured.
"""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence

from msgspec import Struct

from tests.lab.network.hosts import Host

from .meshes import PYTHON

PORT = 5432  # that of `rig.DB`, so that the firewall lets it through
STARTS_S = 10.0
CODE = """
import socket, sys, time
role, address, port, much = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
block = memoryview(bytearray(1 << 18))
def said(value):
    print(value, flush=True)
def listening():
    one = socket.create_server((address, port), family=socket.AF_INET6)
    said("listens")
    return one.accept()[0]
def calling():
    one = socket.create_connection((address, port), timeout=10)
    one.settimeout(None)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one
if role == "takes":
    one, seen = listening(), 0
    warm = time.monotonic() + 0.5
    while time.monotonic() < warm:
        one.recv_into(block)
    began = time.monotonic()
    while time.monotonic() < began + much:
        seen += one.recv_into(block)
    said(seen * 8 / 1e6 / (time.monotonic() - began))
elif role == "gives":
    one = calling()
    try:
        while True:
            one.sendall(block)
    except OSError:
        pass
elif role == "answers":
    one = listening()
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while some := one.recv(64):
        one.sendall(some)
    said(0)
elif role == "asks":
    one, took = calling(), []
    for _ in range(int(much)):
        began = time.perf_counter()
        one.sendall(b"." * 32)
        one.recv(64)
        took.append(time.perf_counter() - began)
    said(sorted(took)[len(took) // 2] * 1e6)
"""


class End(Struct, frozen=True):
    """Where a process runs: on a host, in a namespace of it where one is named."""

    host: Host
    address: str
    space: str = ""

    def start(self, *words: object) -> Process:
        inside = ("nsenter", f"--net=/run/netns/{self.space}") if self.space else ()
        argv = (*inside, PYTHON, "-c", CODE, *map(str, words))
        return self.host.run(_started(argv))

    def line(self, process: Process) -> str:
        """The next that it says."""
        return self.host.run(_line(process))


def through(sends: End, takes: End, seconds: float) -> float:
    """Mbit/s of one TCP connection, once it has come to speed."""
    taking = takes.start("takes", takes.address, PORT, seconds)
    assert takes.line(taking) == "listens"
    giving = sends.start("gives", takes.address, PORT, 0)
    rate = float(takes.line(taking))
    for end, process in ((takes, taking), (sends, giving)):
        end.host.run(_ended(process))
    return rate


def to_and_fro(asks: End, answers: End, times: int) -> float:
    """Microseconds until 32 bytes are back, the median."""
    answering = answers.start("answers", answers.address, PORT, 0)
    assert answers.line(answering) == "listens"
    asking = asks.start("asks", answers.address, PORT, times)
    took = float(asks.line(asking))
    for end, process in ((asks, asking), (answers, answering)):
        end.host.run(_ended(process))
    return took


async def _started(argv: Sequence[str]) -> Process:
    return await asyncio.create_subprocess_exec(*argv, stdout=PIPE)


async def _line(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(STARTS_S):
        text = (await process.stdout.readline()).decode().strip()
    if not text:
        raise RuntimeError("a process that was to send or to listen ended")
    return text


async def _ended(process: Process) -> None:
    async with asyncio.timeout(STARTS_S):
        await process.wait()
