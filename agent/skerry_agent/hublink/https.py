"""HTTPS to the hubs of one mesh, pinned by the mesh root's key. Blocking: call it from a thread.

Owns the order that keeps secrets: connect, look at the key that the other side shows, read the delegation there, check
that the root known by its pin delegated to exactly this key, and only then, in a new connection that takes no other
key, send anything. Hubs are `host:port` or `unix:/path`, tried in turn.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skerry_protocol.codec import WireError, decode
from skerry_protocol.signing import BadSignature, Delegation, Signed, open_delegation, tls_key_of

from . import pinned

if TYPE_CHECKING:
    from http.client import HTTPResponse

DELEGATION_PATH = "/join/delegation"
DELEGATION_MAX = 8 << 10
BODY_MAX = 8 << 20
TIMEOUT_S = 10.0


class HttpsError(OSError):
    """No hub did what was asked. The text has one reason for each hub that was tried."""


class WrongMesh(HttpsError):
    """The one that answers is no hub of this mesh; nothing secret was sent to it."""


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    hub: str


@dataclass(frozen=True)
class Met:
    """A hub that proved itself, with the root's word as it was received."""

    hub: str
    delegation: Delegation
    signed: Signed


def meet(hub: str, pin: str, timeout_s: float = TIMEOUT_S) -> Met:
    """Asks `hub` who it is. Raises WrongMesh where it cannot prove it, HttpsError where it does not answer."""
    from . import exchange  # noqa: PLC0415 - see there

    shown: list[bytes] = []
    body = exchange.exchange(
        hub, pinned.context(shown.append), "GET", DELEGATION_PATH, b"", {}, timeout_s, DELEGATION_MAX
    )
    if body.status != 200:
        raise HttpsError(f"{hub}: it answers {body.status} instead of saying who it is")
    try:
        signed = decode(Signed, body.body, limit=DELEGATION_MAX)
        word = open_delegation(signed, pin)
        if word.tls_key != tls_key_of(shown[0]):
            raise BadSignature(
                "it shows a delegation for another TLS key than its own (somebody is in between)"
            )
    except (WireError, BadSignature, IndexError) as error:
        raise WrongMesh(f"{hub}: {error}; nothing secret was sent") from error
    return Met(hub, word, signed)


class PinnedHttps:
    """The hubs of the mesh whose root has this pin (hex). Each hub is met before it is first used, and met again if
    its key changes; a delegation with a lower serial than one seen before is refused.
    """

    def __init__(self, hubs: Sequence[str], pin: str, serial: int = 0, timeout_s: float = TIMEOUT_S) -> None:
        self.hubs = tuple(hubs)
        self.pin = pin
        self.serial = serial
        self.timeout_s = timeout_s
        self.met: dict[str, Met] = {}

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None,
        limit: int = BODY_MAX,
    ) -> Reply:  # fmt: skip
        """The first answer below 500 that any hub gives. Raises HttpsError, with all reasons, where there is none."""
        from . import exchange  # noqa: PLC0415 - see there

        reasons: list[HttpsError] = []
        for hub in self.hubs:
            try:
                with self._trusted(hub) as context:
                    reply = exchange.exchange(
                        hub, context, method, path, body, headers or {}, self.timeout_s, limit
                    )
                if reply.status < 500:
                    return reply
                reasons.append(HttpsError(f"{hub}: it answers {reply.status}: {_line(reply.body)}"))
            except HttpsError as error:
                reasons.append(error)
        raise _all(reasons)

    def open(self, path: str, headers: Mapping[str, str] | None = None) -> HTTPResponse:
        """A GET whose body the caller reads piece by piece, from the first hub that answers below 500.

        Closing the response ends its connection. Raises HttpsError.
        """
        from . import exchange  # noqa: PLC0415 - see there

        reasons: list[HttpsError] = []
        for hub in self.hubs:
            try:
                with self._trusted(hub) as context:
                    response = exchange.begin(hub, context, path, headers or {}, self.timeout_s)
            except HttpsError as error:
                reasons.append(error)
                continue
            if response.status < 500:
                return response
            response.close()
            reasons.append(HttpsError(f"{hub}: it answers {response.status}"))
        raise _all(reasons)

    def introduce(self) -> Met:
        """The first hub that proves itself. Raises WrongMesh where all that answer are wrong, else HttpsError."""
        reasons: list[HttpsError] = []
        for hub in self.hubs:
            try:
                return self._meet(hub)
            except HttpsError as error:
                reasons.append(error)
        raise _all(reasons)

    def tls_keys(self) -> frozenset[bytes]:
        """The keys of the hubs met so far."""
        return frozenset(met.delegation.tls_key for met in self.met.values())

    @contextmanager
    def _trusted(self, hub: str) -> Iterator[ssl.SSLContext]:
        """TLS that takes the key of the met hub alone; a hub that changed its key is forgotten, to be met again."""
        met = self.met.get(hub) or self._meet(hub)
        keys = frozenset({met.delegation.tls_key})
        try:
            yield pinned.context(pinned.only(lambda: keys))
        except HttpsError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                self.met.pop(hub, None)
            raise

    def _meet(self, hub: str) -> Met:
        met = meet(hub, self.pin, self.timeout_s)
        if met.delegation.serial < self.serial:
            raise WrongMesh(
                f"{hub}: its delegation has serial {met.delegation.serial}, {self.serial} was seen before "
                "(its keys were replaced); nothing secret was sent"
            )
        self.serial = met.delegation.serial
        self.met[hub] = met
        return met


def _all(reasons: Sequence[HttpsError]) -> HttpsError:
    if not reasons:
        return HttpsError("no hub is known")
    text = "; ".join(dict.fromkeys(str(error) for error in reasons))
    return WrongMesh(text) if all(isinstance(error, WrongMesh) for error in reasons) else HttpsError(text)


def _line(body: bytes) -> str:
    return " ".join(body[:200].decode(errors="replace").split())
