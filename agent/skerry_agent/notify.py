"""sd_notify(3) and sd_listen_fds(3), the few lines of them that the agent needs: datagrams to the socket that systemd
names, and sockets that it keeps from one run of a service to the next (FileDescriptorStoreMax=).
"""

from __future__ import annotations

import os
import socket
from array import array
from collections.abc import Collection

_FIRST = 3  # SD_LISTEN_FDS_START


def notify(state: str, keep: Collection[socket.socket] = ()) -> None:
    """Tell systemd `state` ("READY=1", "WATCHDOG=1", "STATUS=..."). Without systemd nothing happens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    to = "\0" + address[1:] if address.startswith("@") else address
    fds = array("i", [one.fileno() for one in keep])
    # By sendmsg, because send_fds of Python 3.11 takes no address.
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if keep else []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendmsg([state.encode()], beside, 0, to)
        except OSError:
            return  # being heard by systemd is a comfort; it kills by the watchdog if it matters


def keep(name: str, sockets: Collection[socket.socket]) -> None:
    """systemd keeps copies of these, and of no others under this name, for the service's next run.

    It does not look at them (FDPOLL=0), so that one with an error is not dropped.
    """
    notify(f"FDSTOREREMOVE=1\nFDNAME={name}")
    if sockets:
        notify(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", sockets)


def kept() -> list[socket.socket]:
    """The sockets that the run before left with systemd. Only the first call has them."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isascii() or not count.isdigit():
        return []
    found = []
    for fd in range(_FIRST, _FIRST + int(count)):
        try:
            os.set_inheritable(fd, False)
            found.append(socket.socket(fileno=fd))
        except OSError:
            continue  # no socket, or not there
    return found


def watchdog_seconds() -> float | None:
    """How often, at least, WATCHDOG=1 is to be sent: half of WatchdogSec=. None where systemd does not watch."""
    text = os.environ.get("WATCHDOG_USEC", "")
    owner = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not text.isascii() or not text.isdigit() or owner != str(os.getpid()):
        return None
    return int(text) / 2_000_000 or None
