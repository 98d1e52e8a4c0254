"""Whole machines in QEMU, by software emulation: switched on, spoken to, cut from power.

What a machine wrote and did not sync is lost with its power: that is in its own memory, and what it handed to the disk
is the disk's at once (`cache=writethrough`). Machines share one cable, which is multicast on loopback; no interface of
this host has a part in it. They end with the process that started them.
"""

from __future__ import annotations

import base64
import json
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.vm.image import Image, mac

BOOTS_S = 300.0  # of these machines, whose processors others use too
ANSWERS_S = 240.0
MEMORY_MB = 512
KERNEL = (
    "console=ttyS0 root=/dev/vda rw quiet systemd.show_status=0 panic=-1"
    " mitigations=off cryptomgr.notests random.trust_cpu=on"  # a third of the time of a boot
)


class MachineError(RuntimeError):
    """A machine did not do what it was to do; with the end of what it said."""


@dataclass(frozen=True)
class Done:
    """A program that ended in the machine."""

    rc: int
    out: str
    err: str


class Cable:
    """What joins machines: a group of multicast that nobody else uses, on loopback."""

    def __init__(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    @property
    def netdev(self) -> str:
        return f"socket,id=cable,mcast=239.255.0.1:{self.port},localaddr=127.0.0.1"


class Machine:
    """The `number`-th on its cable. Its disk stays from one boot to the next."""

    def __init__(self, name: str, number: int, image: Image, cable: Cable, folder: Path) -> None:
        self.name, self.number, self.image, self.cable = name, number, image, cable
        self.disk, self.console = folder / f"{name}.img", folder / f"{name}.console"
        subprocess.run(["cp", "--sparse=always", image.disk, self.disk], check=True)
        self.boot_id = ""
        self.since = 0.0
        """When power came (time.monotonic())."""
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._next = 1
        self._lock = threading.Lock()

    # Power

    def on(self) -> None:
        """Until it answers, which is long before all of it has booted."""
        assert self._process is None, f"{self.name} is on"
        ready: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._waiting = {0: ready}
        self.since = time.monotonic()
        self._process = subprocess.Popen(
            self._command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        threading.Thread(target=self._listen, args=(self._process, self._waiting), daemon=True).start()
        self.boot_id = str(self._next_of(ready, BOOTS_S, "its boot")["ready"])

    def cut(self) -> None:
        """Power goes, this instant. Nothing where it is off."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()

    def _command(self) -> list[str]:
        return [
            "setpriv", "--pdeathsig", "KILL", "--", "qemu-system-x86_64",
            "-accel", "tcg", "-cpu", "Nehalem", "-smp", "1", "-m", str(MEMORY_MB),
            "-nodefaults", "-display", "none", "-no-reboot",
            "-serial", f"file:{self.console}", "-serial", "stdio",
            "-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd), "-append", KERNEL,
            "-drive", f"file={self.disk},format=raw,if=virtio,cache=writethrough",
            "-netdev", self.cable.netdev,
            "-device", f"virtio-net-pci,netdev=cable,mac={mac(self.number)},romfile=",
        ]  # fmt: skip

    # Words

    def run(self, *words: str, data: bytes = b"", within: float = ANSWERS_S) -> Done:
        """Of a program, when it has ended."""
        answer = self._ask({"run": words, "input": _text(data)}, within)
        return Done(answer["rc"], answer["out"], answer["err"])

    def text(self, *words: str, data: bytes = b"", within: float = ANSWERS_S) -> str:
        """What it printed; it must not fail."""
        done = self.run(*words, data=data, within=within)
        if done.rc != 0:
            raise MachineError(f"{self.name}: {' '.join(words)} failed ({done.rc}): {done.out}{done.err}")
        return done.out

    def lines(self, *words: str, data: bytes = b"", within: float = ANSWERS_S) -> Iterator[str]:
        """What a program prints, as it prints it, until it ends."""
        answers = self._asked({"run": words, "input": _text(data), "each": True})
        while "line" in (answer := self._next_of(answers, within, " ".join(words))):
            yield answer["line"]

    def read(self, path: Path | str) -> bytes | None:
        """A file; None where there is none."""
        data = self._ask({"read": str(path)}, ANSWERS_S)["data"]
        return None if data is None else base64.b64decode(data)

    def _ask(self, words: dict[str, object], within: float) -> dict[str, Any]:
        return self._next_of(self._asked(words), within, json.dumps(words)[:200])

    def _asked(self, words: dict[str, object]) -> queue.SimpleQueue[dict[str, Any]]:
        assert self._process is not None, f"{self.name} is off"
        assert self._process.stdin is not None
        answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._waiting[number] = answers
            self._process.stdin.write(json.dumps({"id": number, **words}).encode() + b"\n")
            self._process.stdin.flush()
        return answers

    def _next_of(
        self, answers: queue.SimpleQueue[dict[str, Any]], within: float, what: str
    ) -> dict[str, Any]:
        with suppress(queue.Empty):
            if answer := answers.get(timeout=within):
                return answer
        said = self.console.read_text("utf-8", "replace")[-2000:] if self.console.exists() else ""
        raise MachineError(f"{self.name} did not answer within {within:.0f} s: {what}\n{said}")

    @staticmethod
    def _listen(
        process: subprocess.Popen[bytes], waiting: dict[int, queue.SimpleQueue[dict[str, Any]]]
    ) -> None:
        """Until power goes; who still waits then is told nothing."""
        assert process.stdout is not None
        with suppress(OSError, ValueError):
            for line in process.stdout:
                with suppress(ValueError):
                    answer = json.loads(line)
                    waiting[answer.get("id", 0)].put(answer)
        for answers in waiting.values():
            answers.put({})


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def until(what: str, holds: Any, within: float = ANSWERS_S) -> None:
    """Asks again and again."""
    end = time.monotonic() + within
    while not holds():
        if time.monotonic() > end:
            raise MachineError(f"it did not come about within {within:.0f} s: {what}")
        threading.Event().wait(0.05)
