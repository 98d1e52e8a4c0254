"""One change by the API: in one transaction with its idempotency record, so that a repeat never does it twice.

A refusal leaves nothing behind, and is judged anew when it is asked again. Secrets are not in the record: a repeat
derives them again from the hub's key and the idempotency key (see `secret`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from litestar.exceptions import ClientException
from sqlalchemy import select

from ..clock import now_ms
from ..hub import Hub
from ..people import Person, new_secret
from ..store import Owner, Transaction, View
from ..store import schema as s
from .auth import person_of
from .faults import AnyRequest, ApiError

T = TypeVar("T", bound=msgspec.Struct)
KEY_MAX = 200


class Call:
    """Who asks for what, and the key by which a repeat is known."""

    def __init__(self, hub: Hub, person: Person, route: str, key: str | None, body: bytes) -> None:
        self.hub = hub
        self.person = person
        self.route = route
        self.key = key
        self._random: dict[str, str] = {}
        self.request = hashlib.sha256(body).hexdigest()

    def secret(self, name: str) -> str:
        """A secret for the thing `name`: random, but in repeats with one idempotency key the same."""
        if self.key is None:
            return self._random.setdefault(name, new_secret())
        word = f"skerry secret\0{name}\0{self.person.name}\0{self.route}\0{self.key}"
        made = hmac.new(self.hub.identity.hub_key, word.encode(), hashlib.sha256).digest()
        return base64.b32encode(made[:20]).decode().lower()

    async def change(self, kind: type[T], effect: Callable[[Transaction], Awaitable[T]]) -> T:
        """What `effect` answers, or answered when this call was made first."""
        async with self.hub.store.write() as tx:
            earlier = await self._earlier(tx)
            if earlier is not None:
                return msgspec.json.decode(earlier, type=kind)
            done = await effect(tx)
            await self._remember(tx, done)
            return done

    async def _earlier(self, view: View) -> str | None:
        if self.key is None:
            return None
        t = s.idempotency
        row = await view.one(
            select(t.c.request, t.c.body).where(
                t.c.key == self.key, t.c.person == self.person.name, t.c.route == self.route
            )
        )
        if row is None:
            return None
        if row[0] != self.request:
            raise ApiError(422, "cannot use this Idempotency-Key: it was used for another request")
        return str(row[1])

    async def _remember(self, tx: Transaction, done: msgspec.Struct) -> None:
        if self.key is None:
            return
        await tx.as_owner(Owner.API).add(
            s.idempotency,
            [
                {
                    "key": self.key,
                    "person": self.person.name,
                    "route": self.route,
                    "request": self.request,
                    "status": 200,
                    "body": msgspec.json.encode(done).decode(),
                    "at_ms": now_ms(),
                }
            ],
        )


async def call_of(request: AnyRequest) -> Call:
    """The call that a request is."""
    key = request.headers.get("idempotency-key") or None
    if key is not None and len(key) > KEY_MAX:
        raise ClientException(f"an Idempotency-Key has at most {KEY_MAX} characters")
    body = await request.body()
    route = f"{request.method} {request.url.path}?{request.url.query}"
    return Call(request.app.state.hub, person_of(request), route, key, body)


def expected_revision(request: AnyRequest) -> int | None:
    """The revision in If-Match, if there is one. Raises for what is no revision."""
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return None
    try:
        return int(text.strip().removeprefix("W/").strip('"'))
    except ValueError as error:
        raise ClientException("If-Match must be the ETag of a revision") from error


def check_revision(what: str, expected: int | None, found: int, status: int = 412) -> None:
    """Raises 412 (RFC 9110, section 15.5.13) where somebody else changed it since the operator looked."""
    if expected is not None and expected != found:
        raise ApiError(
            status,
            f"cannot change {what}: it is at revision {found}, not {expected}",
            "somebody changed it meanwhile: look again",
        )
