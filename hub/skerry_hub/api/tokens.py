"""Join tokens: make, list, revoke. Revoking one never disconnects a node that came in by it."""

from __future__ import annotations

import base64
import hashlib
import re

import msgspec
from litestar import Router, delete, get, post
from litestar.params import FromPath, JSONBody

from skerry_protocol.ids import TokenId
from skerry_protocol.jointoken import ID_LENGTH, format_token

from ..appfile.texts import label_faults
from ..clock import now_ms
from ..hub import Hub
from ..joining import tokens as core
from ..joining.joining import put_token, token, token_uses, tokens
from ..joining.tokens import TokenRow
from ..journal import Happened, Revision, keep, next_number, note, raw
from ..people import new_secret
from ..store import Owner, Transaction, View
from ..units import write_duration
from .auth import OPERATOR, VIEWER
from .change import Call, call_of
from .faults import AnyRequest, ApiError, nothing
from .views import TokenAsk, TokenMade, TokenView

USES_MAX = 100_000
STATES = {"ready": "open", "used": "used up"}
LASTS_MAX_MS = 366 * 86_400_000
PATTERN = re.compile(r"(?=.{1,100}$)(?:[a-z0-9*?-]|\[!?[a-z0-9-]+\])+")
PATTERN_EXPECTED = "what can be a node's name, with * and ? for what may differ, such as pump-*"


async def view_of(store: View, row: TokenRow) -> TokenView:
    """A token as the API shows it; its secret is nowhere to be shown."""
    uses = await token_uses(store, row.id)
    kind = "ephemeral" if row.ephemeral_ms is not None else ("reusable" if row.reusable else "one-off")
    return TokenView(
        id=row.id,
        kind=kind,
        uses=len(uses),
        limit=row.limit,
        state=STATES.get(word := core.state(row, len(uses), now_ms()), word),
        expires_at_ms=row.expires_at_ms,
        made_by=row.made_by,
        labels=row.labels,
        name_pattern=row.name_pattern,
        approval=row.approval,
        ephemeral_ms=row.ephemeral_ms,
        used_by=tuple(use.name for use in uses),
    )


@get("/tokens", guards=[VIEWER])
async def all_tokens(request: AnyRequest) -> list[TokenView]:
    """Every token there ever was."""
    async with request.app.state.hub.store.read() as store:
        return [await view_of(store, row) for row in await tokens(store)]


@post("/tokens", guards=[OPERATOR])
async def make_token(request: AnyRequest, data: JSONBody[TokenAsk]) -> TokenMade:
    """Makes a token; the answer is the only place where its secret is ever shown."""
    _check(data)
    hub: Hub = request.app.state.hub
    call = await call_of(request)

    async def effect(tx: Transaction) -> TokenMade:
        name = _id(call.secret("id"))
        if await token(tx, name) is not None:
            name = _id(new_secret())
        secret = _text(hub, call, name)[1]
        limit = data.limit if data.reusable else 1
        row = TokenRow(
            id=name,
            secret_hash=core.secret_hash(secret),
            limit=limit,
            reusable=data.reusable,
            expires_at_ms=now_ms() + data.lasts_ms,
            ephemeral_ms=data.ephemeral_ms,
            approval=data.approval,
            labels=data.labels,
            name_pattern=data.name_pattern,
            made_by=call.person.name,
            made_at_ms=now_ms(),
        )
        await _keep(tx, row, call.person.name, "made")
        return TokenMade(row.id, "", row.expires_at_ms)

    made = await call.change(TokenMade, effect)
    return msgspec.structs.replace(made, text=_text(hub, call, made.id)[0])


def _id(seed: str) -> TokenId:
    """A public id out of a seed, so that it tells nothing of what else the seed is for."""
    digest = hashlib.sha256(seed.encode()).digest()
    return TokenId(base64.b32encode(digest).decode().lower()[:ID_LENGTH])


def _text(hub: Hub, call: Call, name: str) -> tuple[str, str]:
    """The token's whole text and its secret."""
    random = base64.b32decode(call.secret(f"join token {name}").upper())
    return format_token(name, random, hub.identity.pin, hub.addresses())


def _check(data: TokenAsk) -> None:
    faults = []
    if data.limit is not None and not 1 <= data.limit <= USES_MAX:
        faults.append(f"limit: {data.limit}, expected 1 to {USES_MAX}")
    if data.limit is not None and data.limit > 1 and not data.reusable:
        faults.append("limit: a token that is not reusable lets one machine in")
    if not 1 <= data.lasts_ms <= LASTS_MAX_MS:
        faults.append(f"lasts_ms: found {write_duration(max(data.lasts_ms, 0))}, expected 1ms to 366d")
    if data.ephemeral_ms is not None and not 10_000 <= data.ephemeral_ms <= LASTS_MAX_MS:
        found = write_duration(max(data.ephemeral_ms, 0))
        faults.append(f"ephemeral_ms: found {found}, expected 10s to 366d")
    if data.name_pattern is not None and PATTERN.fullmatch(data.name_pattern) is None:
        faults.append(f"name_pattern: found {data.name_pattern[:40]!r}, expected {PATTERN_EXPECTED}")
    faults += [f"labels: {fault}" for fault in label_faults(data.labels)]
    if faults:
        raise ApiError(400, "cannot make the token", faults=tuple(faults))


@delete("/tokens/{name:str}", guards=[OPERATOR], status_code=200)
async def end_token(request: AnyRequest, name: FromPath[str]) -> TokenView:
    """Revokes a token: it lets nobody in any more."""
    call = await call_of(request)

    async def effect(tx: Transaction) -> TokenView:
        row = await token(tx, name)
        if row is None:
            raise nothing("token", name)
        if row.revoked_at_ms is None:
            number = await next_number(tx, "token", row.id)
            row = msgspec.structs.replace(row, revoked_at_ms=now_ms(), revision=number)
            await _keep(tx, row, call.person.name, "revoked")
        return await view_of(tx, row)

    return await call.change(TokenView, effect)


async def _keep(tx: Transaction, row: TokenRow, changer: str, what: str) -> None:
    """The token, its revision without the hash of its secret, and the event."""
    await put_token(tx, row)
    hand = tx.as_owner(Owner.OPERATORS)
    shown = msgspec.structs.replace(row, secret_hash="")
    await keep(hand, Revision("token", row.id, row.revision, now_ms(), changer, what, raw(shown)))
    await note(hand, Happened(f"token-{what}", f"token {row.id} was {what} by {changer}", changer=changer))


ROUTER = Router("/api", route_handlers=[all_tokens, make_token, end_token], tags=["tokens"])
