"""The operator's way to the hub: a unix socket on the host, forwarded byte for byte to the hub's port.

It dials from within the hub's own network namespace, so it leads there also while the hub is cut off. It knows
nothing of what it carries.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from pathlib import Path

from . import internet, linux
from .addresses import Address
from .layout import HUB, HUB_PORT


class Forwarder:
    """One thread that lives in the hub's network namespace."""

    def __init__(self, listen: Path, address: Address) -> None:
        self._listen = listen
        self._target = (address.ipv4, HUB_PORT)

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True, name="forward").start()

    def _run(self) -> None:
        linux.enter_net(internet.namespace(HUB))
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_unix_server(self._carry, self._listen)
        async with server:
            await server.serve_forever()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_pump(reader, back), _pump(there, writer))

    def reachable(self) -> bool:
        """Whether the hub's port answers; asked from its own namespace, by a thread of its own."""
        answers: list[bool] = []
        asker = threading.Thread(target=self._ask, args=(answers,))
        asker.start()
        asker.join()
        return bool(answers)

    def _ask(self, answers: list[bool]) -> None:
        linux.enter_net(internet.namespace(HUB))
        with suppress(OSError), socket.create_connection(self._target, 1.0):
            answers.append(True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, until it ends or either side is gone."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()
