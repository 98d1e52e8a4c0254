"""One HTTP exchange over a given TLS context, with its errors in words.

Apart from `https`, and loaded when something is asked: a node at rest keeps no HTTP in memory. Must never decide whom
to trust: the context does.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import closing

from .https import HttpsError, Reply

CHUNK = 64 << 10


class _UnixConnection(http.client.HTTPConnection):
    """TLS over a socket of this machine (for a hub beside the agent)."""

    def __init__(self, path: str, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__("hub", timeout=timeout)
        self._path, self._context = path, context

    def connect(self) -> None:
        bare = socket.socket(socket.AF_UNIX)
        try:
            bare.settimeout(self.timeout)
            bare.connect(self._path)
            self.sock = self._context.wrap_socket(bare)
        except BaseException:
            bare.close()
            raise


def _connection(hub: str, context: ssl.SSLContext, timeout_s: float) -> http.client.HTTPConnection:
    if hub.startswith("unix:"):
        return _UnixConnection(hub.removeprefix("unix:"), context, timeout_s)
    host, _, port = hub.rpartition(":")
    if not port.isdecimal() or not host:
        raise HttpsError(f"{hub}: it is not HOST:PORT")
    return http.client.HTTPSConnection(host.strip("[]"), int(port), timeout=timeout_s, context=context)


def _send(
    hub: str, connection: http.client.HTTPConnection, method: str, path: str, body: bytes, headers: Mapping[str, str]
) -> http.client.HTTPResponse:  # fmt: skip
    """Raises HttpsError, with the connection closed, where no answer begins."""
    try:
        connection.request(method, path, body or None, {"Connection": "close", **headers})
        return connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise HttpsError(f"{hub}: {_why(error)}") from error


def _let_go(connection: http.client.HTTPConnection) -> None:
    """The socket is now the response's alone, and is really closed when the response is."""
    bare, connection.sock = connection.sock, None
    if bare is not None:  # the other side said that it closes: done already
        bare.close()


def begin(
    hub: str, context: ssl.SSLContext, path: str, headers: Mapping[str, str], timeout_s: float
) -> http.client.HTTPResponse:
    """The answer to a GET, whose body is still to be read; closing it ends the connection. Raises HttpsError."""
    connection = _connection(hub, context, timeout_s)
    response = _send(hub, connection, "GET", path, b"", headers)
    _let_go(connection)
    return response


def exchange(
    hub: str, context: ssl.SSLContext, method: str, path: str, body: bytes, headers: Mapping[str, str],
    timeout_s: float, limit: int,
) -> Reply:  # fmt: skip
    """One request and its whole answer, at most `limit` bytes, all within three times the timeout."""
    deadline = time.monotonic() + 3 * timeout_s
    connection = _connection(hub, context, timeout_s)
    response = _send(hub, connection, method, path, body, headers)
    with closing(connection), closing(response):
        parts, size = [], 0
        try:
            while piece := response.read1(CHUNK):
                parts.append(piece)
                size += len(piece)
                if size > limit or time.monotonic() > deadline:
                    raise HttpsError(f"{hub}: its answer is too long")
        except (OSError, http.client.HTTPException) as error:
            raise HttpsError(f"{hub}: {_why(error)}") from error
        return Reply(response.status, b"".join(parts), dict(response.headers.items()), hub)


def _why(error: BaseException) -> str:
    """The reason in words. Errors of the system by their plain text, without numbers."""
    if isinstance(error, HttpsError):
        return str(error).split(": ", 1)[-1]
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.args[-1])
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, socket.gaierror):
        return f"its name is not known ({error.strerror})"
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
