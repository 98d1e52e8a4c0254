"""Where this machine asks for other names: the servers in its resolv.conf(5), one after the other."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

RESOLV_CONF = Path("/etc/resolv.conf")
PORT = 53
EACH_S = 3.0
SERVERS_MOST = 3  # as many as resolv.conf(5) may name
ANSWER_MOST = 0xFFFF


class NoAnswer(RuntimeError):
    """Nobody answered."""


def servers(text: str, own: Iterable[str]) -> tuple[str, ...]:
    """The addresses that a resolv.conf names, without one's own, which would ask in a circle."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and words[1] not in own and _is_address(words[1]):
            found.append(words[1])
    return tuple(dict.fromkeys(found))[:SERVERS_MOST]


def search(text: str) -> tuple[str, ...]:
    """The domains in which short names are looked for; the last such line counts."""
    found: tuple[str, ...] = ()
    for line in text.splitlines():
        words = line.split()
        if words and words[0] in {"search", "domain"}:
            found = tuple(words[1:])
    return found


def options(text: str) -> tuple[str, ...]:
    """How names are looked for, from all such lines."""
    lines = (line.split() for line in text.splitlines())
    return tuple(
        dict.fromkeys(word for words in lines if words and words[0] == "options" for word in words[1:])
    )


class Machines:
    """The machine's own resolv.conf, read anew once it is another."""

    def __init__(self, path: Path = RESOLV_CONF) -> None:
        self._path = path
        self._was: tuple[int, int, int] | None = None
        self._text = ""

    def text(self) -> str:
        """Nothing where it cannot be read."""
        try:
            seen = self._path.stat()
            now = seen.st_ino, seen.st_size, seen.st_mtime_ns
            if now != self._was:
                self._text, self._was = self._path.read_text(encoding="utf-8", errors="replace"), now
        except OSError:
            self._text, self._was = "", None
        return self._text


async def ask(query: bytes, hosts: Sequence[str], udp: bool, port: int = PORT) -> bytes:
    """The first answer. Raises NoAnswer."""
    for host in hosts:
        with suppress(OSError, TimeoutError, EOFError):
            async with asyncio.timeout(EACH_S):
                return await (_by_udp(query, host, port) if udp else _by_tcp(query, host, port))
    raise NoAnswer(f"none of {', '.join(hosts) or 'no servers'} answered")


async def _by_udp(query: bytes, host: str, port: int) -> bytes:
    """A socket for each question: an answer is taken from there alone, at a port that nobody can guess."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        await loop.sock_connect(sock, (host, port))
        await loop.sock_sendall(sock, query)
        while True:
            answer = await loop.sock_recv(sock, ANSWER_MOST)
            if answer[:2] == query[:2]:
                return answer


async def _by_tcp(query: bytes, host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        size = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(size)
    finally:
        writer.close()


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
