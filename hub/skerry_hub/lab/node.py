"""One node: its disk, its link, and the systemd-nspawn that is its hardware. It is switched on and off here.

Order of calls: disk.make, then boot and power off any number of times. From boot to off one thread follows the machine:
a node that asks for a reboot gets one, a node that powers itself off stays off. Callers never wait without a deadline.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from enum import StrEnum
from pathlib import Path

from . import cgroups, internet
from .addresses import Address
from .disk import TARGET, Disk
from .errors import LabError
from .layout import Config, Host, Paths
from .router import Router

_REBOOTS = 133  # how systemd-nspawn --keep-unit ends when the machine wants to boot again
_POWER_OFF = signal.SIGRTMIN + 4  # to systemd as PID 1, see systemd(1)
_BOOT_AGAIN = signal.SIGRTMIN + 5
_SEPARATE = ("/usr", "/opt", "/home", "/srv")


class State(StrEnum):
    OFF = "off"
    BOOTING = "booting"
    RUNNING = "running"
    PAUSED = "paused"


class Node:
    """Methods may be called from any thread; one at a time changes the node."""

    def __init__(self, host: Host, address: Address, router: Router, config: Config) -> None:
        self.host = host
        self.address = address
        self.router = router
        self.state = State.OFF
        self.boots = 0
        self.disk = Disk(Paths(config.name).disk(host, config.disks), host)
        self._config = config
        self._console = Paths(config.name).console(host)
        self._cgroup = cgroups.INSIDE / host
        self._ready = Path("/run") / f"{host}.ready"
        self._changing = threading.Lock()
        self._changed = threading.Condition()

    # --- for callers

    def boot(self, seconds: float) -> None:
        """Returns when systemd has no job left to do."""
        with self._changing:
            if self.state is not State.OFF:
                raise LabError(f"cannot boot {self.host}: it is {self.state}")
            self._become(State.BOOTING)
            threading.Thread(target=self._follow, daemon=True).start()
        self.await_running(seconds)

    def await_running(self, seconds: float, boots: int = 0) -> None:
        """Until it runs, in its boot of that number or a later one."""
        with self._changed:
            ended = self._changed.wait_for(
                lambda: self.state is State.OFF or (self.state is State.RUNNING and self.boots >= boots),
                seconds,
            )
        if not ended:
            raise LabError(
                f"cannot say that {self.host} has booted: it still starts something after {seconds:g} s"
                f" (see 'skerry lab run {self.host} -- systemctl list-jobs')"
            )
        if self.state is State.OFF:
            raise LabError(f"cannot boot {self.host}: the machine went off; {self._last_words()}")

    def cut_power(self) -> None:
        """Every process of the machine dies at once; what is on the disk stays."""
        with self._changing:
            if self.state is State.OFF:
                raise LabError(f"cannot cut the power of {self.host}: it is off already")
            cgroups.kill(self._cgroup)
            self._await_off(10.0)

    def shut_down(self, seconds: float) -> None:
        with self._changing:
            os.kill(self._leader(), _POWER_OFF)
            self._await_off(seconds)

    def reboot(self, seconds: float) -> None:
        """A clean one, by systemd."""
        before = self.boots
        with self._changing:
            os.kill(self._leader(), _BOOT_AGAIN)
        self.await_running(seconds, before + 1)

    def pause(self) -> None:
        """Freezes the machine from outside, as a hypervisor does: its clocks go on, it does not."""
        self._freeze(State.RUNNING, State.PAUSED)

    def resume(self) -> None:
        self._freeze(State.PAUSED, State.RUNNING)

    def _freeze(self, before: State, after: State) -> None:
        with self._changing:
            if self.state is not before:
                verb = "pause" if after is State.PAUSED else "resume"
                raise LabError(f"cannot {verb} {self.host}: it is {self.state}, not {before}")
            cgroups.freeze(self._cgroup, after is State.PAUSED)
            self._become(after)

    def _leader(self) -> int:
        """The machine's PID 1, as the keeper numbers it."""
        if self.state is State.PAUSED:
            raise LabError(
                f"cannot reach systemd in {self.host}: it is paused ('skerry lab resume {self.host}')"
            )
        if (found := cgroups.init(self._cgroup / "payload/init.scope")) is None:
            raise LabError(f"cannot find systemd in {self.host}: the node is {self.state}")
        return found

    def _await_off(self, seconds: float) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self.state is State.OFF, seconds):
                raise LabError(f"cannot power off {self.host}: it still runs after {seconds:g} s")

    def _become(self, state: State) -> None:
        with self._changed:
            self.state = state
            self._changed.notify_all()

    def _last_words(self) -> str:
        lines = self._console.read_text("utf-8", "replace").split("\n") if self._console.exists() else []
        return "its console says: " + " / ".join([line.strip() for line in lines if line.strip()][-3:])

    # --- the thread that follows the machine

    def _follow(self) -> None:
        try:
            while self._one_boot() == _REBOOTS:
                self._become(State.BOOTING)
        except (LabError, OSError) as error:
            print(f"cannot boot {self.host}: {error}", file=sys.stderr, flush=True)
            self._console.open("a", encoding="utf-8").write(f"{error}\n")
        finally:
            self._become(State.OFF)

    def _one_boot(self) -> int:
        """From power on to power off; gives systemd-nspawn's exit code."""
        if self._config.units:
            self.disk.install_units(Path(self._config.units), Path(self._config.bindir))
        self.router.connect(self.host, self.address)
        self._cgroup.mkdir(exist_ok=True)
        try:
            with self._ready_socket() as ready, self._switch_on() as machine:
                self._watch(ready, machine)
                return machine.wait()
        finally:
            cgroups.remove(self._cgroup)
            self.router.disconnect(self.host)

    def _ready_socket(self) -> socket.socket:
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ready.unlink(missing_ok=True)
        ready.bind(str(self._ready))
        return ready

    def _switch_on(self) -> subprocess.Popen[bytes]:
        environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "NOTIFY_SOCKET": str(self._ready),
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
            "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",  # the node's own sysctls, for it is a router itself
            "SYSTEMD_LOG_COLOR": "0",
        }
        self.boots += 1
        with self._console.open("ab") as console:
            return subprocess.Popen(
                ["sh", "-c", 'echo 0 > "$0/cgroup.procs"; exec "$@"', self._cgroup, *self._nspawn()],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=environ,
            )

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

    def _watch(self, ready: socket.socket, machine: subprocess.Popen[bytes]) -> None:
        """Until the machine has ended. It runs once systemd has told READY=1, which it does when it has no job left.

        What it tells later is taken too: a few messages that nobody takes, and systemd-nspawn waits, and then systemd.
        """
        pidfd = os.pidfd_open(machine.pid)
        try:
            while pidfd not in select.select([ready.fileno(), pidfd], [], [])[0]:
                if b"READY=1" in ready.recv(4096).split(b"\n"):
                    self._become(State.RUNNING)
        finally:
            os.close(pidfd)
