"""One HTTPS connection to a hub that proves itself by the mesh root before anything secret is sent.

No certificate authority and no clock has a part in it: the hub shows, over this very connection, a delegation that the
root signed and that names the TLS key in use, or a certificate for which it did so before. `connect` returns only then.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from urllib.parse import urlsplit

from .places import Known

DELEGATION_MAX = 65536
BLOCK = 1 << 18
OK = 200
KEEPALIVE_SECONDS = 30


class NotVouched(Exception):
    """What is there does not prove that it is a hub of this mesh; the text says why."""


CONNECT_FAULTS = (OSError, http.client.HTTPException, NotVouched)
"""What `connect` raises; OSError holds refused, timed out, no such name and TLS that goes wrong."""


class PinnedConnection(http.client.HTTPSConnection):
    """`address` is the hub's `https://host:port`, `pin` the SHA-256 (hex) of the root's public key.

    With `unix_socket` the bytes go through there (a lab's hub has no address that this machine could reach). `known`
    is where the certificate of a hub that proved itself is kept.
    """

    def __init__(
        self,
        address: str,
        pin: str,
        unix_socket: str | None,
        connect_seconds: float,
        read_seconds: float,
        known: Known | None = None,
    ) -> None:
        parts = urlsplit(address)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # who it is follows from the delegation
        host, port = parts.hostname or "", parts.port or 443
        super().__init__(host, port, timeout=connect_seconds, context=context, blocksize=BLOCK)
        self._tls = context
        self._address = address
        self._pin = pin
        self._known = known
        self._unix_socket = unix_socket
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds

    def connect(self) -> None:
        """Connects and checks who is there. Raises one of CONNECT_FAULTS."""
        self.sock = line = self._tls.wrap_socket(self._plain(), server_hostname=self.host or None)
        certificate = line.getpeercert(binary_form=True) or b""
        if self._known is None or not self._known.holds(self._address, self._pin, certificate):
            self._prove(certificate)
        self.wait(self._read_seconds)

    def adopt(self, line: ssl.SSLSocket) -> None:
        """Goes on with a connection on which the hub has proved itself."""
        self.sock = line
        self.wait(self._read_seconds)

    def wait(self, seconds: float | None) -> None:
        """How long a read may take from now on; None is for ever."""
        assert self.sock is not None
        self.sock.settimeout(seconds)

    def _plain(self) -> socket.socket:
        if self._unix_socket is None:
            plain = socket.create_connection((self.host, self.port), self._connect_seconds)
            plain.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
            )  # a question's head and body are two writes
            # A stream may be quiet for hours; that the hub's machine is gone must show all the same.
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_SECONDS // 3)
            return plain
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(self._connect_seconds)
        try:
            plain.connect(self._unix_socket)
        except OSError as error:
            plain.close()
            raise OSError(f"{self._unix_socket}: {error.strerror or error}") from error
        return plain

    def _prove(self, certificate: bytes) -> None:
        from .proof import check  # noqa: PLC0415 - a hub that is known needs no cryptography of ours

        self.request("GET", "/join/delegation")
        answer = self.getresponse()
        body = answer.read(DELEGATION_MAX)
        if answer.status != OK:
            raise NotVouched(f"it shows no delegation (it answered {answer.status}): is it a hub?")
        if (wrong := check(body, self._pin, certificate)) is not None:
            raise NotVouched(wrong)
        if self.sock is None:
            raise http.client.HTTPException("it ended the connection after showing who it is")
        if self._known is not None:
            self._known.keep(self._address, self._pin, certificate)
