"""Network namespaces under /run/netns, as ip-netns(8) has them: made, entered and removed without a process for each.

A namespace belongs to a thread: each call uses one of its own, which ends with the call.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

FOLDER = Path("/run/netns")
CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MNT_DETACH = 2
Found = TypeVar("Found")

_libc = ctypes.CDLL(None, use_errno=True)


def make(names: Iterable[str]) -> None:
    """New namespaces, in which nothing is up. One that is there stays. Raises OSError."""
    wanted = [name for name in names if not is_there(name)]
    if wanted:
        FOLDER.mkdir(mode=0o755, exist_ok=True)
        _in_a_thread(lambda: _make_each(wanted))


def is_there(name: str) -> bool:
    """Whether it is a namespace: its file alone, left by a power cut between two steps, is none."""
    return (FOLDER / name).is_mount() or _is_of_namespaces(FOLDER / name)


def names() -> list[str]:
    """All that are there, also of others."""
    return sorted(one.name for one in FOLDER.iterdir()) if FOLDER.is_dir() else []


def remove(name: str) -> None:
    """Its processes keep it until they end. Nothing where there is none. Raises OSError."""
    path = FOLDER / name
    with suppress(OSError):
        _call("umount2", os.fsencode(path), MNT_DETACH)
    path.unlink(missing_ok=True)


def sockets(names: Iterable[str]) -> dict[str, socket.socket]:
    """A routing socket (rtnetlink(7)) in each of these namespaces. Raises OSError."""
    wanted = tuple(names)
    kind = (socket.AF_NETLINK, socket.SOCK_DGRAM, socket.NETLINK_ROUTE)
    return _in_a_thread(lambda: {name: _socket_in(name, *kind) for name in wanted}) if wanted else {}


def open_socket(name: str, family: int, kind: int) -> socket.socket:
    """A socket in one of them. Raises OSError."""
    return _in_a_thread(lambda: _socket_in(name, family, kind, 0))


def _make_each(wanted: Iterable[str]) -> None:
    for name in wanted:
        _make(name)


def _make(name: str) -> None:
    """Interfaces in it take no address by themselves, and wait for no neighbour to object to theirs."""
    _call("unshare", CLONE_NEWNET)
    for word in ("accept_dad", "accept_ra", "autoconf"):
        Path("/proc/sys/net/ipv6/conf/default", word).write_text("0", encoding="ascii")
    path = FOLDER / name
    path.touch(mode=0o444)
    here = f"/proc/self/task/{threading.get_native_id()}/ns/net"
    _call("mount", here.encode(), os.fsencode(path), b"none", MS_BIND, None)


def _socket_in(name: str, family: int, kind: int, protocol: int) -> socket.socket:
    with (FOLDER / name).open("rb") as file:
        _call("setns", file.fileno(), CLONE_NEWNET)
    return socket.socket(family, kind, protocol)


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
