"""The two sockets on which names are asked for, the same from one run of skerry-net to the next.

systemd keeps them meanwhile: who asks while skerry-net starts anew waits for its answer, and is not refused.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress

Pair = tuple[socket.socket, socket.socket]
BACKLOG = 100


class Listening:
    """`before`: what the run before had. `keep`: gives those in use to whoever keeps them for the next."""

    def __init__(
        self,
        before: Iterable[socket.socket] = (),
        keep: Callable[[Collection[socket.socket]], None] = lambda sockets: None,
    ) -> None:
        self._before, self._keep = list(before), keep

    def sockets(self, address: str, port: int) -> Pair:
        """One of UDP and one of TCP, bound there, which the caller closes. Raises OSError, which says how to go on."""
        found = self._those_of(address, port)
        if found is None:
            self._keep(())
            found = _bound(address, port)
        self._keep(found)
        return found

    def _those_of(self, address: str, port: int) -> Pair | None:
        """Those of the run before, if they are bound there; else they go."""
        before, self._before = self._before, []
        by_kind = {one.type: one for one in before if one.getsockname()[:2] == (address, port)}
        udp, tcp = by_kind.get(socket.SOCK_DGRAM), by_kind.get(socket.SOCK_STREAM)
        for one in before:
            if udp is None or tcp is None or one not in {udp, tcp}:
                one.close()
        if udp is None or tcp is None:
            return None
        for one in (udp, tcp):
            one.setblocking(False)
        return udp, tcp


def _bound(address: str, port: int) -> Pair:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made: list[socket.socket] = []
    try:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            one = socket.socket(family, kind | socket.SOCK_NONBLOCK)
            made.append(one)
            if kind == socket.SOCK_STREAM:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((address, made[0].getsockname()[1] if one is not made[0] else port))
    except OSError as error:
        with suppress(IndexError):
            port = port or made[0].getsockname()[1]
        for one in made:
            one.close()
        raise _cannot(address, port, error) from error
    udp, tcp = made
    tcp.listen(BACKLOG)
    return udp, tcp


def _cannot(address: str, port: int, error: OSError) -> OSError:
    then = f" (who has it: ss -lnp 'sport = {port}')" if error.errno == errno.EADDRINUSE else ""
    why = os.strerror(error.errno) if error.errno else str(error)
    return OSError(error.errno, f"cannot answer names on {address} port {port}: {why}{then}")
