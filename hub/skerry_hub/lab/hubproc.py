"""The hub's machine in the lab: a network namespace with its own link, and in it the hub as ordinary processes.

The data is on a real disk. Must never look into the data: it is started, stopped, killed and wiped. Where the kernel
has no WireGuard, wireguard-go takes its place, which lives as long as the machine has power, and not with the hub.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import cgroups, internet, preflight
from .addresses import Address
from .errors import LabError
from .layout import HUB, HUB_PORT, Config, Paths

TUNNEL = "skerry-hub"  # the interface that the hub makes, or finds
_STEP = 0.02  # how often a starting hub is asked: it may be any program, so there is no event to wait for


class HubProcess:
    def __init__(self, address: Address, config: Config, reachable: Callable[[], bool]) -> None:
        self.address = address
        self.starts = 0
        self._reachable = reachable
        self._config = config
        self._paths = Paths(config.name)
        self._cgroup = cgroups.INSIDE / HUB
        self._tunnels = cgroups.INSIDE / f"{HUB}-tunnels"
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False
        self._log_begins = 0
        self._lock = threading.RLock()

    def make(self) -> None:
        internet.connect(HUB, self.address)
        self._cgroup.mkdir()
        self._tunnels.mkdir()

    def state(self) -> str:
        if self._process is None:
            return "off"
        if self._paused:
            return "paused"
        code = self._process.poll()
        return "running" if code is None else f"ended ({code})"

    def start(self, seconds: float, options: Sequence[str] = ()) -> None:
        """Returns when the hub's port answers. `options`: more words on its command line, for this run alone."""
        with self._lock:
            if self.state() == "running":
                raise LabError("cannot start the hub: it is running")
            self._paths.hub_data.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._power_up()
            self._process = self._spawn(options)
            self.starts += 1
            self._await_port(self._process, seconds)

    def _spawn(self, options: Sequence[str]) -> subprocess.Popen[bytes]:
        argv = [*self._argv(), *options]
        environ = os.environ | {"PATH": f"{self._config.bindir}:{os.environ.get('PATH', os.defpath)}"}
        with self._paths.hub_log.open("ab") as log:
            self._log_begins = log.tell()
            return self._in(self._cgroup, argv, stdout=log, stderr=log, env=environ, cwd=self._paths.store)

    def _power_up(self) -> None:
        """What the machine's kernel would be there for."""
        if preflight.kernel_has_wireguard() or cgroups.populated(self._tunnels):
            return
        argv = ["wireguard-go", "--foreground", TUNNEL]
        environ = os.environ | {
            "PATH": preflight.search_path(),
            "WG_PROCESS_FOREGROUND": "1",
            "LOG_LEVEL": "error",
        }
        self._in(self._tunnels, argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ)

    def _argv(self) -> list[str]:
        words = {"data": str(self._paths.hub_data), "listen": f"{self.address.ipv4}:{HUB_PORT}"}
        return [word.format_map(words) for word in self._config.hub_argv]

    def _in(self, group: Path, argv: Sequence[str], **how: Any) -> subprocess.Popen[bytes]:
        """In the hub's network, and in this folder of the control groups."""
        script = 'echo 0 > "$0/cgroup.procs"; exec nsenter "$@"'
        net = f"--net={internet.namespace(HUB)}"
        return subprocess.Popen(
            ["sh", "-c", script, group, net, "--", *argv], stdin=subprocess.DEVNULL, **how
        )

    def _await_port(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._reachable():
            if process.poll() is not None:
                raise LabError(
                    f"cannot start the hub: it ended with {process.returncode}; {self._last_words()}"
                )
            if time.monotonic() > deadline:
                raise LabError(
                    f"cannot say that the hub has started: port {HUB_PORT} is closed after {seconds:g} s"
                    f" (see {self._paths.hub_log})"
                )
            time.sleep(_STEP)

    def _last_words(self) -> str:
        """Of this start alone: what an earlier one said has nothing to do with it."""
        said = self._paths.hub_log.read_bytes()[self._log_begins :].decode(errors="replace")
        lines = [line.strip() for line in said.split("\n")]
        return f"{self._paths.hub_log} ends with: " + " / ".join([line for line in lines if line][-3:])

    def stop(self, seconds: float) -> None:
        """SIGTERM; what is left after the deadline is killed. An off hub stays off."""
        with self._lock:
            process = self._process
            self._freeze(False)
            if process is not None and process.poll() is None:
                process.terminate()
                try:
                    process.wait(seconds)
                except subprocess.TimeoutExpired:
                    cgroups.kill(self._cgroup)
                    process.wait(seconds)
            cgroups.kill(self._cgroup)
            self._process = None

    def kill(self, everything: bool) -> None:
        """SIGKILL: to the hub's own process as in a crash, or to all that it started too, as in a power cut."""
        with self._lock:
            process = self._process
            if process is None or process.poll() is not None:
                raise LabError("cannot kill the hub: it is not running")
            process.send_signal(signal.SIGKILL)
            self._freeze(False)
            if everything:
                cgroups.kill(self._cgroup)
                cgroups.kill(self._tunnels)
            process.wait(10.0)

    def wipe(self, seconds: float) -> None:
        """Stops it and deletes its data, as a lost disk would."""
        with self._lock:
            self.stop(seconds)
            shutil.rmtree(self._paths.hub_data, ignore_errors=True)

    def pause(self, paused: bool) -> None:
        """Freezes all of it from outside; a stop or a kill ends that too."""
        with self._lock:
            if self.state() != ("running" if paused else "paused"):
                raise LabError(f"cannot {'pause' if paused else 'resume'} the hub: it is {self.state()}")
            self._freeze(paused)

    def _freeze(self, paused: bool) -> None:
        cgroups.freeze(self._cgroup, paused)
        self._paused = paused
