"""One node: its disk, its link, and the systemd-nspawn that is its hardware. It is switched on and off here.

Order of calls: make, then boot and power off any number of times. A node that asks for a reboot gets one; a node that
powers itself off stays off. Must never wait without a deadline.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from . import cgroups, internet
from .disk import TARGET, Disk
from .errors import LabError
from .layout import Address, Config, Host, Paths

_REBOOT = 133  # how systemd-nspawn --keep-unit ends when the machine wants to boot again
_POWER_OFF = signal.SIGRTMIN + 4  # to systemd as PID 1, see systemd(1)
_SEPARATE = ("/usr", "/opt", "/home", "/srv")


class State(StrEnum):
    OFF = "off"
    BOOTING = "booting"
    RUNNING = "running"
    PAUSED = "paused"


class Node:
    """Methods may be called from any thread; one at a time changes the node."""

    def __init__(self, host: Host, address: Address, config: Config) -> None:
        self.host = host
        self.address = address
        self.state = State.OFF
        self.boots = 0
        self.disk = Disk(Paths(config.name).disk(host, config.disks), host)
        self._config = config
        self._paths = Paths(config.name)
        self._cgroup = cgroups.INSIDE / host
        self._lock = threading.RLock()
        self._ended: threading.Thread | None = None

    def boot(self, seconds: float) -> None:
        """Returns when systemd has no job left to do, as it tells by READY=1."""
        with self._lock:
            if self.state is not State.OFF:
                raise LabError(f"cannot boot {self.host}: it is {self.state}")
            if self._config.units:
                self.disk.install_units(Path(self._config.units), Path(self._config.bindir))
            internet.disconnect(self.host)
            internet.connect(self.host, self.address)
            self._cgroup.mkdir(exist_ok=True)
            with self._ready_socket() as ready:
                machine = self._switch_on()
                try:
                    self._await_ready(ready, machine, seconds)
                finally:
                    os.close(machine)

    def _ready_socket(self) -> socket.socket:
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = Path("/run") / f"{self.host}.ready"
        path.unlink(missing_ok=True)
        ready.bind(str(path))
        return ready

    def _switch_on(self) -> int:
        """Gives a pidfd: unlike the process's number it stays good when the watcher has waited for its end."""
        environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "NOTIFY_SOCKET": f"/run/{self.host}.ready",
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
            "SYSTEMD_LOG_COLOR": "0",
        }
        with self._paths.console(self.host).open("ab") as console:
            machine = subprocess.Popen(
                ["sh", "-c", 'echo 0 > "$0/cgroup.procs"; exec "$@"', self._cgroup, *self._nspawn()],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=environ,
            )
        self.state = State.BOOTING
        self.boots += 1
        self._ended = threading.Thread(target=self._watch, args=(machine,), daemon=True)
        pidfd = os.pidfd_open(machine.pid)
        self._ended.start()
        return pidfd

    def _nspawn(self) -> list[str]:
        return [
            "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--notify-ready=yes",
            f"--directory={self.disk.root}", f"--machine={self.host}",
            f"--network-namespace-path={internet.namespace(self.host)}", "--capability=CAP_NET_ADMIN",
            "--bind=/dev/net/tun", *self._binds(), "--console=read-only",
            "--link-journal=no", "--resolv-conf=off", "--timezone=off",
            "--boot", f"systemd.unit={TARGET}", "systemd.log_color=0",
        ]  # fmt: skip

    def _binds(self) -> list[str]:
        separate = [path for path in _SEPARATE if Path(path).is_mount()]
        return [f"--bind-ro={path}" for path in (*separate, *self._config.visible)]

    def _await_ready(self, ready: socket.socket, machine: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            left = max(deadline - time.monotonic(), 0)
            readable, _, _ = select.select([ready, machine], [], [], left)
            if ready in readable and b"READY=1" in ready.recv(4096).split(b"\n"):
                self.state = State.RUNNING
                return
            if machine in readable:
                raise LabError(f"cannot boot {self.host}: the machine ended; {self._last_words()}")
            if not readable:
                raise LabError(
                    f"cannot say that {self.host} has booted: it still starts something after {seconds:g} s"
                    f" (see 'skerry lab run {self.host} -- systemctl list-jobs')"
                )

    def _last_words(self) -> str:
        lines = self._paths.console(self.host).read_text("utf-8", "replace").split("\n")
        return "its console says: " + " / ".join([line.strip() for line in lines if line.strip()][-3:])

    def _watch(self, machine: subprocess.Popen[bytes]) -> None:
        code = machine.wait()
        with suppress(OSError):
            cgroups.remove(self._cgroup)
        self.state = State.OFF
        if code == _REBOOT:
            with suppress(LabError):
                self.boot(60.0)

    def leader(self) -> int:
        """The machine's PID 1, as the keeper numbers it."""
        for pid in cgroups.pids(self._cgroup / "payload/init.scope"):
            return pid
        raise LabError(f"cannot find systemd in {self.host}: the node is {self.state}")

    def cut_power(self) -> None:
        """Every process of the machine dies at once; what is on the disk stays."""
        with self._lock:
            if self.state is State.OFF:
                raise LabError(f"cannot cut the power of {self.host}: it is off already")
            cgroups.kill(self._cgroup)
            self._off(10.0)

    def shut_down(self, seconds: float) -> None:
        with self._lock:
            os.kill(self.leader(), _POWER_OFF)
            self._off(seconds)

    def _off(self, seconds: float) -> None:
        assert self._ended is not None
        self._ended.join(seconds)
        if self._ended.is_alive():
            raise LabError(f"cannot power off {self.host}: it still runs after {seconds:g} s")
        internet.disconnect(self.host)

    def pause(self) -> None:
        """Freezes the machine from outside, as a hypervisor does: its clocks go on, it does not."""
        with self._lock:
            if self.state is not State.RUNNING:
                raise LabError(f"cannot pause {self.host}: it is {self.state}")
            cgroups.freeze(self._cgroup, True)
            self.state = State.PAUSED

    def resume(self) -> None:
        with self._lock:
            if self.state is not State.PAUSED:
                raise LabError(f"cannot resume {self.host}: it is {self.state}")
            cgroups.freeze(self._cgroup, False)
            self.state = State.RUNNING
