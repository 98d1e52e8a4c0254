"""Answers questions on the node's own mesh address, by UDP and TCP, for its instances and for the machine itself.

Bounded: so many questions at a time, so many connections, and none that says nothing for long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from ipaddress import IPv6Address

from skerry_netplan.names import Zone

from . import upstream
from .answers import Elsewhere, answer, failed
from .listening import Listening

PORT = 53
AT_ONCE = 200
CONNECTIONS_MOST = 400
IDLE_S = 10.0


Peer = tuple[str, int] | tuple[str, int, int, int]


class Resolver:
    """`use` says what it knows; `listen` where, `listening` by which sockets. `hosts`: whom it asks for other names."""

    def __init__(
        self,
        hosts: Callable[[], Sequence[str]],
        port: int = PORT,
        asks: int = upstream.PORT,
        listening: Listening | None = None,
    ) -> None:
        self._hosts = hosts
        self._port = port
        self._listening = listening or Listening()
        self._asks = asks
        self._zone = Zone()
        self._ailing: frozenset[IPv6Address] = frozenset()
        self._address: str | None = None
        self._room = asyncio.Semaphore(AT_ONCE)
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def use(self, zone: Zone, ailing: Collection[IPv6Address] = ()) -> None:
        """What it answers from now on."""
        self._zone, self._ailing = zone, frozenset(ailing)

    @property
    def port(self) -> int:
        """Where it listens, also where any free port was asked for."""
        assert self._udp is not None
        port = self._udp.get_extra_info("sockname")[1]
        assert isinstance(port, int)
        return port

    async def listen(self, address: str) -> None:
        """Listens there, and nowhere else any more. Raises OSError."""
        if address == self._address:
            return
        await self.close()
        udp, tcp = self._listening.sockets(address, self._port)
        self._udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Udp(self._asked), sock=udp
        )
        self._tcp = await asyncio.start_server(self._connected, sock=tcp)
        self._address = address

    async def close(self) -> None:
        """Listens nowhere."""
        self._address = None
        if self._udp is not None:
            self._udp.close()
            self._udp = None
        if self._tcp is not None:
            self._tcp.close()
            self._tcp = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # a connection is closed by the loop's next turn, which may have been the last

    def _asked(self, query: bytes, sender: Peer) -> None:
        """What has to be asked elsewhere waits in bounds: own names are answered however slow others are."""
        found = answer(query, self._zone, self._ailing, udp=True)
        if not isinstance(found, Elsewhere):
            self._send(found, sender)
        elif not self._room.locked():
            self._keep(asyncio.get_running_loop().create_task(self._passed_on(query, sender)))

    async def _passed_on(self, query: bytes, sender: Peer) -> None:
        self._send(await self._elsewhere(query, udp=True), sender)

    async def _elsewhere(self, query: bytes, udp: bool) -> bytes | None:
        try:
            async with self._room:
                return await upstream.ask(query, self._hosts(), udp, self._asks)
        except upstream.NoAnswer:
            return failed(query)

    def _send(self, found: bytes | None, receiver: Peer) -> None:
        if found is not None and self._udp is not None:
            self._udp.sendto(found, receiver)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            if len(self._tasks) < CONNECTIONS_MOST:
                self._keep(task)
                with suppress(OSError, EOFError, TimeoutError):
                    await self._serve(reader, writer)
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            async with asyncio.timeout(IDLE_S):
                size = int.from_bytes(await reader.readexactly(2), "big")
                query = await reader.readexactly(size)
            found = answer(query, self._zone, self._ailing, udp=False)
            if isinstance(found, Elsewhere):
                found = await self._elsewhere(query, udp=False)
            if found is None:
                return
            async with asyncio.timeout(IDLE_S):
                writer.write(len(found).to_bytes(2, "big") + found)
                await writer.drain()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, asked: Callable[[bytes, Peer], None]) -> None:
        self._asked = asked

    def datagram_received(self, data: bytes, addr: Peer) -> None:
        self._asked(data, addr)
