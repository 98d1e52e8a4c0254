"""One connection to NATS as a simulated agent has it: a socket, and the dozen words of the protocol.

The agents' own client has tasks and buffers for each connection, a hundred kilobytes of them; a process that plays
thousands of agents cannot have that. What goes over the wire is the same.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Callable
from itertools import count
from typing import Any

BLOCK = 1 << 16
NEW_LINE = b"\r\n"


class Lost(OSError):
    """The connection ended, or was refused; the text says why."""


class Line:
    """`heard(subject, payload)` gets what comes on a subscription and is no answer. `lost` is set at the end."""

    def __init__(self, heard: Callable[[str, bytes], None]) -> None:
        self.lost = asyncio.Event()
        self.why = "it was closed"
        self.info: dict[str, object] = {}
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._in = bytearray()
        self._out = bytearray()
        self._inbox = ""
        self._numbers = count(1)
        self._asked: dict[str, asyncio.Future[bytes | None]] = {}
        self._pongs: list[asyncio.Future[None]] = []
        self._greeted: asyncio.Future[None] = self._loop.create_future()

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Returns when the server has said who it is. Raises OSError."""
        plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        plain.setblocking(False)
        self._socket = plain
        try:
            await self._loop.sock_connect(plain, (host, port))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                await self._shake_hands(plain, tls)
            self._loop.add_reader(self._socket, self._readable)
            await self._greeted
        except BaseException:
            self.close()
            raise

    async def _shake_hands(self, plain: socket.socket, tls: ssl.SSLContext) -> None:
        wrapped = tls.wrap_socket(plain, do_handshake_on_connect=False, server_hostname="skerry-hub")
        self._socket = wrapped
        while True:
            try:
                wrapped.do_handshake()
                return
            except ssl.SSLWantReadError:
                await self._until_readable(wrapped)

    async def _until_readable(self, wrapped: ssl.SSLSocket) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(wrapped, lambda: None if ready.done() else ready.set_result(None))
        try:
            await ready
        finally:
            self._loop.remove_reader(wrapped)

    async def login(self, options: dict[str, object], inbox: str) -> None:
        """Says who it is, and returns when that was taken. Raises Lost."""
        self._inbox = inbox
        common = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "protocol": 1}
        self.write(b"CONNECT " + json.dumps({**common, **options}).encode() + NEW_LINE)
        if inbox:
            self.listen(f"{inbox}.*")
        await self.settle()

    def listen(self, subject: str) -> None:
        """Hear what is published there."""
        self.write(f"SUB {subject} {next(self._numbers)}\r\n".encode())

    async def settle(self) -> None:
        """Returns when the server has taken all that was written before. Raises Lost."""
        pong: asyncio.Future[None] = self._loop.create_future()
        self._pongs.append(pong)
        self.write(b"PING\r\n")
        await pong

    async def ask(self, subject: str, data: bytes = b"", headers: bytes = b"", within_s: float = 10) -> bytes:
        """The answer's payload. Raises Lost, TimeoutError, and LookupError where nobody is there to answer."""
        answer: asyncio.Future[bytes | None] = self._loop.create_future()
        inbox = f"{self._inbox}.{next(self._numbers)}"
        self._asked[inbox] = answer
        if headers:
            sizes = f"{len(headers)} {len(headers) + len(data)}"
            self.write(f"HPUB {subject} {inbox} {sizes}\r\n".encode() + headers + data + NEW_LINE)
        else:
            self.write(f"PUB {subject} {inbox} {len(data)}\r\n".encode() + data + NEW_LINE)
        try:
            async with asyncio.timeout(within_s):
                found = await answer
        finally:
            del self._asked[inbox]
        if found is None:
            raise LookupError(f"nobody answers on {subject}")
        return found

    def write(self, data: bytes) -> None:
        """At once, as far as the socket takes it."""
        self._out += data
        self._flush()

    def close(self, why: str = "it was closed") -> None:
        """Whoever waits for an answer hears that there is none."""
        if self.lost.is_set():
            return
        self.why = why
        self.lost.set()
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
        waiters: list[asyncio.Future[Any]] = [self._greeted, *self._pongs, *self._asked.values()]
        for waiting in waiters:
            if not waiting.done():
                waiting.set_exception(Lost(why))
                waiting.exception()  # perhaps nobody waits

    def _flush(self) -> None:
        if self._socket is None or self.lost.is_set():
            return
        try:
            while self._out:
                del self._out[: self._socket.send(self._out)]
            self._loop.remove_writer(self._socket)
        except (BlockingIOError, ssl.SSLWantWriteError):
            self._loop.add_writer(self._socket, self._flush)
        except OSError as error:
            self.close(str(error))

    def _readable(self) -> None:
        assert self._socket is not None
        try:
            while data := self._socket.recv(BLOCK):
                self._in += data
                if not isinstance(self._socket, ssl.SSLSocket):
                    break
            else:
                self.close("the server closed it")
        except (BlockingIOError, ssl.SSLWantReadError):
            pass  # all that has come was read
        except OSError as error:
            self.close(str(error))
        while not self.lost.is_set() and self._next():
            pass

    def _next(self) -> bool:
        """Takes one whole thing that the server said. Whether there was one."""
        end = self._in.find(NEW_LINE)
        if end < 0:
            return False
        words = bytes(self._in[:end]).decode().split(" ")
        end += 2
        if words[0] in {"MSG", "HMSG"}:
            whole = int(words[-1])
            if len(self._in) < end + whole + 2:
                return False
            head = int(words[-2]) if words[0] == "HMSG" else 0
            headers, payload = bytes(self._in[end : end + head]), bytes(self._in[end + head : end + whole])
            del self._in[: end + whole + 2]
            self._message(words[1], headers, payload)
            return True
        del self._in[:end]
        self._control(words)
        return True

    def _message(self, subject: str, headers: bytes, payload: bytes) -> None:
        answer = self._asked.get(subject)
        if answer is None:
            self._heard(subject, payload)
        elif not answer.done():
            answer.set_result(None if headers.startswith(b"NATS/1.0 503") else payload)

    def _control(self, words: list[str]) -> None:
        if words[0] == "PING":
            self.write(b"PONG\r\n")
        elif words[0] == "PONG" and self._pongs:
            pong = self._pongs.pop(0)
            if not pong.done():
                pong.set_result(None)
        elif words[0] == "INFO":
            self.info = json.loads(" ".join(words[1:]))
            if not self._greeted.done():
                self._greeted.set_result(None)
        elif words[0] == "-ERR":
            self.close(" ".join(words[1:]))
