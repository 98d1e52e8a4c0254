"""Who runs wireguard-go (`userspace.Runner`): a unit of systemd on a node, a process of its own where there is none.

Either way it is no child of who asked for it: tunnels outlive a restart.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .tunnels import TunnelError
from .userspace import SOCKETS, Runner

COMMAND = "wireguard-go"
TUN = Path("/dev/net/tun")
UNIT = "skerry-wireguard@{}.service"
QUIET = {
    "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1",
    "WG_PROCESS_FOREGROUND": "1",
    "LOG_LEVEL": "error",
}
DEADLINE_S = 10.0
_LOOK_S = 0.02  # a process that begins tells nobody when its socket is there
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Systemd(Runner):
    """By the template unit UNIT, which starts it again if it dies."""

    def __init__(self, sockets: Path = SOCKETS) -> None:
        self._sockets = sockets

    async def start(self, interface: str) -> None:
        _command()
        await _systemctl("start", interface)
        await _until(
            lambda: answers(self._sockets, interface), f"wireguard-go of {interface} does not answer"
        )

    async def stop(self, interface: str) -> None:
        await _systemctl("stop", interface)
        await _until(lambda: not _is_there(interface), f"wireguard-go of {interface} does not end")


class Detached(Runner):
    """In a session of its own. One that runs already is used as it is."""

    def __init__(self, sockets: Path = SOCKETS) -> None:
        self._sockets = sockets
        self._started: set[int] = set()

    async def start(self, interface: str) -> None:
        if answers(self._sockets, interface):
            return
        process = _spawned(_command(), interface)
        self._started.add(process)
        await _until(
            lambda: answers(self._sockets, interface) or self._ended(process),
            f"wireguard-go of {interface} does not answer",
        )
        if process not in self._started:
            raise TunnelError(f"cannot make {interface}: wireguard-go ended at once (is the name taken?)")

    async def stop(self, interface: str) -> None:
        """It ends when its socket is removed: whose process it is need not be known."""
        (self._sockets / f"{interface}.sock").unlink(missing_ok=True)
        await _until(lambda: not _is_there(interface), f"wireguard-go of {interface} does not end")
        for process in tuple(self._started):
            self._ended(process)

    def _ended(self, process: int) -> bool:
        """Also takes note of it, as the kernel wants a parent to."""
        with suppress(ChildProcessError):
            if os.waitpid(process, os.WNOHANG) == (0, 0):
                return False
        self._started.discard(process)
        return True


def _spawned(command: str, interface: str) -> int:
    """A process that nobody waits for."""
    nothing = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
    argv = [command, "--foreground", interface]
    return os.posix_spawn(command, argv, os.environ | QUIET, file_actions=nothing, setsid=True)


def fitting() -> Runner:
    """By systemd where it runs and has the template unit; else a process of its own."""
    folders = (
        "/etc/systemd/system",
        "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    )
    there = any(Path(folder, UNIT.format("")).exists() for folder in folders)
    return Systemd() if there and Path("/run/systemd/system").is_dir() else Detached()


def answers(sockets: Path, interface: str) -> bool:
    """Whether a wireguard-go listens for this interface."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as one:
        one.connect(str(sockets / f"{interface}.sock"))
        return True
    return False


def _command() -> str:
    """Raises TunnelError where it cannot work, in the same words for each interface."""
    command = shutil.which(COMMAND, path=_PATH)
    if command is None:
        then = f"install the package {COMMAND}, or a kernel with WireGuard"
        raise TunnelError(
            f"cannot make tunnels: this kernel has no WireGuard, nor is {COMMAND} there ({then})"
        )
    if not TUN.exists():
        raise TunnelError(f"cannot make tunnels: there is no {TUN} for {COMMAND} (modprobe tun)")
    return command


def _is_there(interface: str) -> bool:
    with suppress(OSError):
        return socket.if_nametoindex(interface) > 0
    return False


async def _systemctl(verb: str, interface: str) -> None:
    unit = UNIT.format(interface)
    try:
        process = await asyncio.create_subprocess_exec(
            "systemctl", "--no-ask-password", verb, unit, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
        )
    except OSError as error:
        raise TunnelError(f"cannot {verb} {unit}: {error}") from error
    try:
        async with asyncio.timeout(DEADLINE_S):
            _, said = await process.communicate()
    except TimeoutError:
        process.kill()
        raise TunnelError(f"cannot {verb} {unit}: systemd did not do it within {DEADLINE_S:.0f} s") from None
    if process.returncode != 0:
        lines = said.decode("utf-8", "replace").strip().splitlines() or ["systemctl says nothing"]
        raise TunnelError(f"cannot {verb} {unit}: {lines[0]}")


async def _until(seen: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not seen():
        if time.monotonic() > deadline:
            raise TunnelError(f"{otherwise} (within {DEADLINE_S:.0f} s)")
        await asyncio.sleep(_LOOK_S)
