"""The few system calls that Python 3.11 lacks: unshare, setns, mount, umount, prctl, and one request to the kernel's
connection tracking. Owns nothing, decides nothing."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2

_PR_SET_PDEATHSIG = 1
_NETLINK_NETFILTER = 12
_CT_DELETE = 0x0102  # of the subsystem of connection tracking, see linux/netfilter/nfnetlink_conntrack.h
_REQUEST_AND_ACK = 0x5

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)


def _checked(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    """unshare(2), of the calling thread."""
    _checked(_libc.unshare(flags), "unshare")


def enter_net(namespace: Path) -> None:
    """Moves the calling thread, and those that it starts, into a network namespace. See setns(2)."""
    with namespace.open("rb") as file:
        _checked(_libc.setns(file.fileno(), CLONE_NEWNET), f"setns {namespace}")


def in_net(namespace: Path, work: Callable[[], None]) -> None:
    """Has a thread of its own do the work in a network namespace; raises what the work raises."""
    _in_thread(lambda: enter_net(namespace), work)


def new_net(namespace: Path) -> None:
    """An empty network namespace, at this path until that is unmounted. As `ip netns add`, without a process."""
    namespace.parent.mkdir(parents=True, exist_ok=True)
    namespace.touch()
    _in_thread(
        lambda: unshare(CLONE_NEWNET), lambda: mount("/proc/thread-self/ns/net", namespace, "", MS_BIND)
    )


def drop_net(namespace: Path) -> None:
    """It lives on for as long as a process is in it."""
    unmount(namespace)
    namespace.unlink()


def _in_thread(*steps: Callable[[], None]) -> None:
    """A thread that has changed namespaces must end: nobody else may be given it."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            for step in steps:
                step()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, daemon=True).start()
    done.result()


def forget_connections() -> None:
    """Empties the connection tracking of the calling thread's network namespace."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as kernel:
        kernel.send(struct.pack("=IHHII4x", 20, _CT_DELETE, _REQUEST_AND_ACK, 1, 0))
        (code,) = struct.unpack_from("=i", kernel.recv(4096), 16)
    if code != 0:
        raise OSError(-code, f"cannot forget connections: {os.strerror(-code)}")


def mount(source: str, target: Path, fstype: str, flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(source.encode(), os.fsencode(target), fstype.encode(), flags, data.encode())
    _checked(result, f"mount {fstype} on {target}")


def unmount(target: Path) -> None:
    """umount2(2), lazily."""
    _checked(_libc.umount2(os.fsencode(target), MNT_DETACH), f"umount {target}")


def die_with_parent() -> None:
    """The kernel kills the caller as soon as the thread that forked it ends. See PR_SET_PDEATHSIG, prctl(2)."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl")
