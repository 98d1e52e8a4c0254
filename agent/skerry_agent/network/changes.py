"""Hears when somebody changes interfaces, addresses, routes or the firewall, so that it is put back at once.

By the kernel's own word (rtnetlink(7), and netlink's group of nf_tables). What it says is not read: a turn looks for
itself. Skerry's own changes are heard too; the turn after them finds nothing to do.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

_LINK, _ADDRESS4, _ROUTE4, _ADDRESS6, _ROUTE6 = 0x1, 0x10, 0x40, 0x100, 0x400
_NETFILTER, _SOL_NETLINK, _ADD_MEMBERSHIP, _TABLES = 12, 270, 1, 7
SOON_S = 0.3
"""What comes together is looked at once; a wireguard-go that begins has its interface before its socket."""
MOST_S = 10.0
"""Where it does not end, as beside a routing daemon, it is looked at half as often each time, down to this."""


class Changes:
    """Calls `changed`, SOON_S to MOST_S after there was something, from `open` to `close`."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._sockets: list[socket.socket] = []
        self._pending: asyncio.TimerHandle | None = None
        self._delay_s, self._told_s = SOON_S, -MOST_S

    def open(self) -> None:
        """Raises OSError."""
        groups = _LINK | _ADDRESS4 | _ROUTE4 | _ADDRESS6 | _ROUTE6
        self._listen(socket.NETLINK_ROUTE, groups)
        with suppress(OSError):  # a kernel without nf_tables
            self._listen(_NETFILTER, 0).setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _TABLES)

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        for one in self._sockets:
            loop.remove_reader(one)
            one.close()
        self._sockets.clear()
        if self._pending is not None:
            self._pending.cancel()

    def _listen(self, protocol: int, groups: int) -> socket.socket:
        one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
        self._sockets.append(one)
        one.bind((0, groups))
        asyncio.get_running_loop().add_reader(one, self._heard, one)
        return one

    def _heard(self, one: socket.socket) -> None:
        """Nothing more to read, or more than the kernel kept (ENOBUFS): either way, something has changed."""
        with suppress(OSError):
            while True:
                one.recv(1 << 16)
        loop = asyncio.get_running_loop()
        if self._pending is None:
            quiet = loop.time() - self._told_s > MOST_S
            self._delay_s = SOON_S if quiet else min(self._delay_s * 2, MOST_S)
            self._pending = loop.call_later(self._delay_s, self._tell)

    def _tell(self) -> None:
        self._pending, self._told_s = None, asyncio.get_running_loop().time()
        self._changed()
