"""sd_notify(3), the few lines of it that the agent needs: a datagram to the socket that systemd names."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Tell systemd `state` ("READY=1", "WATCHDOG=1", "STATUS=..."). Without systemd nothing happens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError:
            return  # being heard by systemd is a comfort; it kills by the watchdog if it matters


def watchdog_seconds() -> float | None:
    """How often, at least, WATCHDOG=1 is to be sent: half of WatchdogSec=. None where systemd does not watch."""
    text = os.environ.get("WATCHDOG_USEC", "")
    owner = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not text.isascii() or not text.isdigit() or owner != str(os.getpid()):
        return None
    return int(text) / 2_000_000 or None
