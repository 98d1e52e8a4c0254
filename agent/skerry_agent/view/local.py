"""The socket that the command line talks to on its own machine, with no hub: one request a connection, many answers.

Lines of JSON: the request `{"do": ..., "args": {...}}`, then any number of `{"part": ...}`, last `{"end": true}` or
`{"error": "cannot ..."}`. Only root may connect: the folder, the socket's mode and the peer's uid say so. Owns bounds
and framing; what a request means is the handler's business. Must never let one client hold up another.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from pathlib import Path

import msgspec
from msgspec import Struct, field

log = logging.getLogger(__name__)

SOCKET = Path("/run/skerry/agent.sock")
REQUEST_MAX = 64 << 10
REQUEST_SECONDS = 5.0
CLIENTS_MAX = 32


class LocalRequest(Struct, frozen=True):
    """What is asked: `do` is "status", "why", "logs", "rollback" or "clear"; `args` depend on it."""

    do: str
    args: dict[str, str | int | bool] = field(default_factory=dict)


class CannotDo(Exception):
    """A request that cannot be answered; the text goes to the user as it is."""


# Anything that msgspec can write as JSON.
Handler = Callable[[LocalRequest], AsyncGenerator[object, None]]


class LocalServer:
    """Listens from `start` to `close`."""

    def __init__(self, handler: Handler, path: Path = SOCKET, root: int = 0) -> None:
        self._handler, self._path, self._root = handler, path, root
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. Raises OSError where the socket cannot be made. A socket left over by a crash is taken over."""
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            self._path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old = os.umask(0o177)  # so that it is never open to others, not even for a moment
        try:
            listener.bind(str(self._path))
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(old)
        self._server = await asyncio.start_unix_server(self._accepted, sock=listener, limit=REQUEST_MAX)

    async def close(self) -> None:
        """Stop listening and end every answer under way."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        with suppress(FileNotFoundError):
            self._path.unlink()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            return  # the client left, or the server closes
        finally:
            self._clients.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        refusal = self.refusal(writer.get_extra_info("socket"))
        if refusal is not None:
            await _send(writer, {"error": refusal})
            return
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                request = parse(await reader.readline())
        except TimeoutError:
            await _send(writer, {"error": "cannot read the request: it did not come in time"})
            return
        except ValueError as error:
            await _send(writer, {"error": f"cannot read the request: {error}"})
            return
        await self._answer(request, reader, writer)

    def refusal(self, channel: socket.socket) -> str | None:
        """Why whoever is at the other end is not served; None where they are."""
        if peer_uid(channel) != self._root:
            return "cannot talk to the agent: run it as root"
        if len(self._clients) > CLIENTS_MAX:
            return f"cannot talk to the agent: {CLIENTS_MAX} others do (try again)"
        return None

    async def _answer(
        self, request: LocalRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Sends parts until the handler ends or the client hangs up, whichever comes first."""
        sending = asyncio.ensure_future(self._parts(request, writer))
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)

    async def _parts(self, request: LocalRequest, writer: asyncio.StreamWriter) -> None:
        try:
            async with aclosing(self._handler(request)) as parts:
                async for part in parts:
                    await _send(writer, {"part": part})
        except CannotDo as error:
            await _send(writer, {"error": str(error)})
        except OSError:
            raise
        except Exception:  # whatever it is, the agent goes on, and the user hears that it is not their fault
            log.exception("the answer to %r failed", request.do)
            await _send(writer, {"error": "cannot answer: a fault in the agent (journalctl -u skerry-agent)"})
        else:
            await _send(writer, {"end": True})


def peer_uid(channel: socket.socket) -> int:
    """The uid of the process at the other end (SO_PEERCRED, unix(7))."""
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(uid)


def parse(line: bytes) -> LocalRequest:
    """A request's line. Raises ValueError."""
    if not line.endswith(b"\n"):
        raise ValueError("it is cut short")
    return msgspec.json.decode(line, type=LocalRequest)


async def _send(writer: asyncio.StreamWriter, answer: dict[str, object]) -> None:
    writer.write(msgspec.json.encode(answer) + b"\n")
    await writer.drain()
