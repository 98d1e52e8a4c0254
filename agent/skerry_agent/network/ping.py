"""ICMPv6 echo through one raw socket, in several sizes at once: it takes root, and no program of the machine's."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress

REQUEST, REPLY = 128, 129  # RFC 4443 section 4
HEADER = struct.Struct("!BBHHH")
HEADERS = 40 + HEADER.size  # IPv6's and its own, which count for the size of a packet
MTU_DISCOVER, PROBE = (
    23,
    3,
)  # IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE of linux/in6.h, which the library does not name
AGAIN_S = 0.5
LATER_S = 2.0
"""Once one size was answered, the others have this long."""


async def ping(address: str, sizes: Iterable[int], within_s: float) -> frozenset[int]:
    """Which of these sizes (bytes of the whole packet) were answered. Nothing is where nothing can be sent.

    They go out in one piece as long as the interface takes them, whatever the route is said to take.
    """
    try:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    except OSError:
        return frozenset()
    with sock:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IPV6, MTU_DISCOVER, PROBE)
        one = _Pings(sock, address, tuple(sizes), int.from_bytes(os.urandom(2), "big"))
        with suppress(OSError):  # its time is over, too
            async with asyncio.timeout(within_s):
                await one.run()
        return frozenset(one.answered)


class _Pings:
    """The sequence number of a packet is the place of its size."""

    def __init__(self, sock: socket.socket, address: str, sizes: tuple[int, ...], ours: int) -> None:
        self._sock, self._address, self._sizes, self._ours = sock, address, sizes, ours
        self.answered: set[int] = set()

    async def run(self) -> None:
        """Until all are answered, or what is not has had its time."""
        sending = asyncio.create_task(self._send())
        try:
            while not self.answered:
                await self._receive()
            with suppress(TimeoutError):
                async with asyncio.timeout(LATER_S):
                    while len(self.answered) < len(self._sizes):
                        await self._receive()
        finally:
            sending.cancel()

    async def _send(self) -> None:
        while True:
            for number, size in enumerate(self._sizes):
                if size not in self.answered:
                    packet = HEADER.pack(REQUEST, 0, 0, self._ours, number) + bytes(size - HEADERS)
                    with suppress(OSError):  # too long for the interface, or there is no way: no answer then
                        self._sock.sendto(packet, (self._address, 0))
            await asyncio.sleep(AGAIN_S)

    async def _receive(self) -> None:
        """The kernel makes and checks the sums (RFC 3542 section 3.1)."""
        packet = await asyncio.get_running_loop().sock_recv(self._sock, 2048)
        if len(packet) < HEADER.size:
            return
        kind, _, _, ours, number = HEADER.unpack_from(packet)
        if kind == REPLY and ours == self._ours and number < len(self._sizes):
            self.answered.add(self._sizes[number])
