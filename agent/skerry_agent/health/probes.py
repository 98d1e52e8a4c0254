"""One look at a TCP port or an HTTP address, from the outside or from inside an instance's own network namespace.

Owns the socket and the little HTTP there is. Only the first line of a response is read, and only so many bytes of it.
Every function ends within its caller's timeout and raises OSError, ValueError or TimeoutError for anything but success.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import socket
import threading
from contextlib import closing
from ipaddress import ip_address
from urllib.parse import urlsplit

from ..libc import LIBC

CLONE_NEWNET = 0x40000000
LINE_MAX = 4096
STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r\n]")
LOOPBACK = ("127.0.0.1", "::1")


async def tcp(port: int, pid: int | None) -> None:
    """Succeeds where something accepts connections on the port, on loopback. `pid`: whose network to look from."""
    (await _connected("localhost", port, pid)).close()


async def http(url: str, pid: int | None) -> None:
    """Succeeds where a GET is answered with 2xx or 3xx. Redirections are not followed."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{url} is not an http:// address")
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValueError("the address has blanks in it")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = f"GET {target} HTTP/1.0\r\nHost: {parts.netloc}\r\nUser-Agent: skerry\r\nAccept: */*\r\n\r\n"
    with closing(await _connected(parts.hostname, parts.port or 80, pid)) as channel:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(channel, request.encode("ascii", errors="strict"))
        status = await _status(channel)
    if not 200 <= status < 400:
        raise ValueError(f"{url} answered {status}")


async def _status(channel: socket.socket) -> int:
    loop = asyncio.get_running_loop()
    head = b""
    while b"\n" not in head and len(head) < LINE_MAX:
        piece = await loop.sock_recv(channel, 1024)
        if not piece:
            break
        head += piece
    match = STATUS.match(head)
    if match is None:
        raise ValueError("the answer is not HTTP")
    return int(match[1])


async def _connected(host: str, port: int, pid: int | None) -> socket.socket:
    error: OSError | None = None
    for address in await _addresses(host, pid):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        channel = open_socket(family, pid)
        try:
            await asyncio.get_running_loop().sock_connect(channel, (address, port))
        except OSError as failed:
            channel.close()
            error = failed
        except BaseException:
            channel.close()
            raise
        else:
            return channel
    raise error or OSError(f"{host} has no address")


async def _addresses(host: str, pid: int | None) -> tuple[str, ...]:
    """Names are looked up outside: an instance's own network namespace has no resolver."""
    if host == "localhost":
        return LOOPBACK
    try:
        return (str(ip_address(host)),)
    except ValueError:
        if pid is not None:
            raise ValueError(
                f"{host}: only an address or localhost can be checked in a network of its own"
            ) from None
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(info[4][0]) for info in found))


def open_socket(family: int, pid: int | None) -> socket.socket:
    """A TCP socket that lives in the network namespace of `pid`, ready for the loop.

    A socket stays in the namespace that it was made in; so only its making needs to be there, in a thread of its own
    that ends at once (setns(2) moves a thread, and it must never serve anything else).
    """
    if pid is None:
        channel = socket.socket(family, socket.SOCK_STREAM)
        channel.setblocking(False)
        return channel
    made: list[socket.socket | OSError] = []
    thread = threading.Thread(target=lambda: made.append(_made_inside(family, pid)))
    thread.start()
    thread.join()
    result = made[0]
    if isinstance(result, OSError):
        raise result
    result.setblocking(False)
    return result


def _made_inside(family: int, pid: int) -> socket.socket | OSError:
    try:
        namespace = os.pidfd_open(pid)
    except OSError as error:
        return error
    try:
        if LIBC.setns(namespace, CLONE_NEWNET) != 0:
            return OSError(ctypes.get_errno(), f"cannot enter the network of process {pid}")
        return socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        return error
    finally:
        os.close(namespace)
