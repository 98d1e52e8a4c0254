"""Processes that are measured: the hub with its NATS server, a NATS server alone, and the swarms beside them.

All on loopback, each ended by its own number, and none outlives this process: a swarm ends with its input, the hub's
server with the hub, and the others by the kernel's word.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from skerry_hub.cli.client import Client
from skerry_hub.cli.errors import CliError
from skerry_hub.cli.settings import Settings
from skerry_hub.nats.config import find_program

from .members import REGION, Members
from .simnode import Login, Server
from .swarm import Plan, Said

T = TypeVar("T")
HOST = "127.0.0.1"
START_S = 180.0
LOOK_S = 0.02
MIB = 1024
TIED = ("setpriv", "--pdeathsig", "TERM", "--")  # becomes the program, which ends with this process


class Use(Struct, frozen=True):
    """CPU seconds since the process began; MiB resident now and at most."""

    cpu_s: float
    resident: float
    peak: float


def use(pid: int) -> Use:
    """Of one process; its clock's number is made as clock_getcpuclockid(3) says."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = {
        name: int(kb) / MIB for name, kb in re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", text, re.MULTILINE)
    }
    return Use(time.clock_gettime_ns(~pid << 3 | 2) / 1e9, found["VmRSS"], found["VmHWM"])


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def until(what: str, seen: Callable[[], T | None], seconds: float) -> T:
    """Looks until there is something."""
    deadline = time.monotonic() + seconds
    while True:
        if found := seen():
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"not in {seconds:g} s: {what}")
        time.sleep(LOOK_S)


class HubProcess:
    """`skerry-hub run` on a folder of `members`."""

    def __init__(self, members: Members) -> None:
        self.members = members
        self.port, self.nats_port = free_port(), free_port()
        self._data = members.identity.data
        self._process: subprocess.Popen[bytes] | None = None
        settings = Settings((f"https://{HOST}:{self.port}",), members.identity.pin, members.token)
        self.client = Client(settings, 5.0, 300.0)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def nats_pid(self) -> int:
        return int((self._data / "nats" / "nats.pid").read_text())

    @property
    def server(self) -> Server:
        identity = self.members.identity
        return Server(HOST, self.nats_port, str(identity.certificate), identity.region)

    def start(self) -> None:
        """Does not wait for anything."""
        argv = [
            *TIED, sys.executable, "-m", "skerry_hub.daemon", "run", "--no-tunnels", "--data", str(self._data),
            "--listen", f"{HOST}:{self.port}", "--nats-port", str(self.nats_port), "--advertise", HOST,
        ]  # fmt: skip
        with (self._data / "hub.log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def answers(self) -> bool:
        """Whether its API does."""
        try:
            with socket.create_connection((HOST, self.port), 1):
                return True
        except OSError:
            return False

    def ready(self) -> None:
        """Returns when the API answers, and NATS takes nodes."""
        until("the hub answers", self.answers, START_S)
        until("the hub hears nodes", self._hears, START_S)

    def _hears(self) -> bool:
        try:
            return not self.get("/api/status").get("loud")
        except CliError:
            return False

    def get(self, path: str) -> dict[str, object]:
        return self.client.get(dict[str, object], path)

    def kill(self) -> None:
        """As a crash would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()

    def log(self) -> str:
        return (self._data / "hub.log").read_text("utf-8", "replace")


@contextmanager
def running(members: Members) -> Iterator[HubProcess]:
    """A hub that takes nodes."""
    hub = HubProcess(members)
    hub.start()
    try:
        hub.ready()
        yield hub
    except BaseException:
        print("\n".join(hub.log().splitlines()[-15:]), file=sys.stderr)
        raise
    finally:
        hub.stop()


@contextmanager
def nats_alone(folder: Path, tls: tuple[Path, Path] | None) -> Iterator[tuple[int, Server]]:
    """A nats-server with nothing but a port: its pid, and where it is. `tls`: certificate and key."""
    port = free_port()
    config: dict[str, object] = {"listen": f"{HOST}:{port}", "max_connections": 65_536}
    if tls is not None:
        config["tls"] = {
            "cert_file": str(tls[0]),
            "key_file": str(tls[1]),
            "handshake_first": True,
            "timeout": 10,
        }
    file = folder / f"nats-{port}.conf"
    file.write_text(json.dumps(config))
    child = subprocess.Popen(
        [*TIED, find_program(), "-c", file], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until("nats-server listens", lambda: _listens(port), 20)
        yield child.pid, Server(HOST, port, str(tls[0]) if tls else None, REGION)
    finally:
        child.terminate()
        child.wait(20)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), 1):
            return True
    except OSError:
        return False


class Swarms:
    """Simulated agents or idle connections, over a few processes."""

    def __init__(
        self, folder: Path, server: Server, logins: Sequence[Login], agents: bool = True, parts: int = 2
    ) -> None:
        self._processes = []
        for at in range(parts):
            file = folder / f"swarm-{os.getpid()}-{server.port}-{at}"
            file.write_bytes(msgspec.msgpack.encode(Plan(server, tuple(logins[at::parts]), agents)))
            argv = [sys.executable, "-m", "tests.bench.fleet.swarm", str(file)]
            self._processes.append(
                subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )

    def __enter__(self) -> Swarms:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self._processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def tell(self, do: str, **more: object) -> Said:
        """To all of them at once; their answers together."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps({"do": do, **more}) + "\n")
            process.stdin.flush()
        return _together([_answer(process) for process in self._processes])


def _answer(process: subprocess.Popen[str]) -> Said:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the simulated agents ended with {process.wait()}")
    return msgspec.json.decode(line, type=Said)


def _together(said: Sequence[Said]) -> Said:
    trouble: dict[str, int] = {}
    for one in said:
        for text, times in one.trouble.items():
            trouble[text] = trouble.get(text, 0) + times
    numbers = {
        name: sum(getattr(one, name) for one in said)
        for name in ("cpu_s", "resident_mb", "up", "beats", "reports", "losses", "waiting")
    }
    moments = tuple(sorted(at for one in said for at in one.moments))
    return Said(**numbers, moments=moments, trouble=trouble)
