"""Network namespaces as files, each with one mounted on it: made, entered and removed without a process for each.

Namespaces belong to a thread: each call uses one of its own, which ends with the call.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

CLONE_FS, CLONE_NEWNS, CLONE_NEWNET = 0x200, 0x00020000, 0x40000000
MS_BIND = 4096
MNT_DETACH = 2
ROUTING = (socket.AF_NETLINK, socket.SOCK_DGRAM, socket.NETLINK_ROUTE)
Found = TypeVar("Found")

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Folder:
    """Where they are. `held`: a file that holds the mount namespace in which `path` is; None: the caller's.

    systemd goes through every mount of the machine for each sandbox that it makes. So those of a machine's instances
    are mounted aside (skerry-spaces.service), and no instance makes the start of others longer.
    """

    path: Path
    held: Path | None = None

    def make(self, names: Iterable[str]) -> None:
        """New namespaces, in which nothing is up. One that is there stays. Raises OSError."""
        if self._is_nowhere():
            then = "systemctl status skerry-spaces"
            raise OSError(errno.ENOENT, f"skerry-spaces.service has not made room for them ({then})")
        self._do(lambda: self._make_each(names))

    def names(self) -> dict[str, bool]:
        """All files that are there, also of others, and whether a namespace is mounted there: what a power cut left
        between two steps is an empty file."""
        if self._is_nowhere():
            return {}
        return self._do(lambda: {one.name: _is_one(one) for one in sorted(self._files())})

    def remove(self, name: str) -> None:
        """Its processes keep it until they end. Nothing where there is none. Raises OSError."""
        if not self._is_nowhere():
            self._do(lambda: _remove(self.path / name))

    def opened(self, name: str) -> int:
        """A file descriptor of it, which the caller closes. Raises OSError."""
        return self._do(lambda: os.open(self.path / name, os.O_RDONLY | os.O_CLOEXEC))

    def sockets(self, names: Iterable[str]) -> dict[str, socket.socket]:
        """A routing socket (rtnetlink(7)) in each of these namespaces. Raises OSError."""
        wanted = tuple(names)
        return self._do(lambda: {name: self._socket_in(name, *ROUTING) for name in wanted}) if wanted else {}

    def open_socket(self, name: str, family: int, kind: int) -> socket.socket:
        """A socket in one of them. Raises OSError."""
        return self._do(lambda: self._socket_in(name, family, kind, 0))

    def _is_nowhere(self) -> bool:
        """Whether nothing can have been made yet, in this boot."""
        return self.held is not None and not _is_of_namespaces(self.held)

    def _files(self) -> Iterable[Path]:
        return self.path.iterdir() if self.path.is_dir() else ()

    def _make_each(self, names: Iterable[str]) -> None:
        self.path.mkdir(mode=0o755, exist_ok=True)
        for name in names:
            if not _is_one(self.path / name):
                _make(self.path / name)

    def _socket_in(self, name: str, family: int, kind: int, protocol: int) -> socket.socket:
        with (self.path / name).open("rb") as file:
            _call("setns", file.fileno(), CLONE_NEWNET)
        return socket.socket(family, kind, protocol)

    def _do(self, work: Callable[[], Found]) -> Found:
        def inside() -> Found:
            _enter(self.held)
            return work()

        return _in_a_thread(inside)


PLAIN = Folder(Path("/run/netns"))
"""As ip-netns(8) has them."""
HELD = Folder(Path("/run/skerry/netns"), Path("/run/skerry/spaces/held"))
"""Those of a machine's instances; /run/skerry/spaces/now leads there from outside, as for systemd."""


def _enter(held: Path | None) -> None:
    if held is not None:
        with held.open("rb") as file:
            _call("unshare", CLONE_FS)  # threads share their root, and one that does may not go elsewhere
            _call("setns", file.fileno(), CLONE_NEWNS)


def _make(path: Path) -> None:
    """Interfaces in it take no address by themselves, and wait for no neighbour to object to theirs."""
    _call("unshare", CLONE_NEWNET)
    for word in ("accept_dad", "accept_ra", "autoconf"):
        Path("/proc/sys/net/ipv6/conf/default", word).write_text("0", encoding="ascii")
    path.touch(mode=0o444)
    here = f"/proc/self/task/{threading.get_native_id()}/ns/net"
    _call("mount", here.encode(), os.fsencode(path), b"none", MS_BIND, None)


def _remove(path: Path) -> None:
    with suppress(OSError):
        _call("umount2", os.fsencode(path), MNT_DETACH)
    path.unlink(missing_ok=True)


def _is_one(path: Path) -> bool:
    return path.is_mount() or _is_of_namespaces(path)


def _is_of_namespaces(path: Path) -> bool:
    with suppress(OSError):
        return path.stat().st_dev == Path("/proc/self/ns/net").stat().st_dev
    return False


def _call(function: str, *arguments: object) -> None:
    if getattr(_libc, function)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{function}: {os.strerror(code)}")


def _in_a_thread(work: Callable[[], Found]) -> Found:
    found: list[Found] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return found[0]
