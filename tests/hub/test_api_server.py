"""What the API listens on."""

from __future__ import annotations

import asyncio
import socket

from skerry_hub.api.server import _listen


async def test_answers_are_sent_at_once() -> None:
    """Not held back until the other side has acknowledged what went before (TCP_NODELAY): that is 40 ms each."""
    at_once: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = writer.get_extra_info("socket")
        at_once.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listener = _listen("127.0.0.1", 0)
    async with await asyncio.start_server(serve, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname())
        async with asyncio.timeout(10):
            assert await at_once
        writer.close()
