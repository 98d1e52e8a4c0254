"""Join tokens: what one grants, how often, until when, and every reason to refuse it. Pure: no clock."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from msgspec import Struct, field

from skerry_protocol.ids import NodeId, NodeName, TokenId

CREATE = "create another with 'skerry token create'"


class TokenRow(Struct, frozen=True):
    """One token; its secret is kept only as a hash. `limit` None: as often as wanted. Written by: operators."""

    id: TokenId
    secret_hash: str
    limit: int | None = 1
    reusable: bool = False
    expires_at_ms: int | None = None
    ephemeral_ms: int | None = None
    approval: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    name_pattern: str | None = None
    made_by: str = ""
    made_at_ms: int = 0
    revoked_at_ms: int | None = None
    revision: int = 1


class TokenUse(Struct, frozen=True):
    """A machine that came in by a token."""

    node: NodeId
    name: NodeName
    at_ms: int


class Refused(Struct, frozen=True):
    """Why a token lets nobody in; `then` is what to do."""

    reason: str
    then: str = CREATE


def secret_hash(secret: str) -> str:
    """What is kept of a secret: it has 160 random bits, so that a plain hash is enough."""
    return hashlib.sha256(b"skerry join secret\0" + secret.encode()).hexdigest()


def judge(token: TokenRow, uses: Sequence[TokenUse], name: str, now_ms: int) -> Refused | None:
    """Whether the token lets one more machine in under `name`; its secret was proven before."""
    if token.revoked_at_ms is not None:
        return Refused("the token was revoked")
    if token.expires_at_ms is not None and now_ms >= token.expires_at_ms:
        return Refused("the token has expired")
    if token.limit is not None and len(uses) >= token.limit:
        return Refused(_used_up(token.limit, uses))
    if token.name_pattern is not None and not fnmatchcase(name, token.name_pattern):
        return Refused(
            f"the token is for names like {token.name_pattern!r}, not {name[:60]!r}", "choose another --name"
        )
    return None


def _used_up(limit: int, uses: Sequence[TokenUse]) -> str:
    if limit == 1 and uses:
        return f"the token was used by node {uses[0].name}"
    return f"the token was used {len(uses)} times, which is its limit"


def state(token: TokenRow, uses: int, now_ms: int) -> str:
    """ "open", "used up", "expired" or "revoked"."""
    if token.revoked_at_ms is not None:
        return "revoked"
    if token.limit is not None and uses >= token.limit:
        return "used up"
    if token.expires_at_ms is not None and now_ms >= token.expires_at_ms:
        return "expired"
    return "open"
