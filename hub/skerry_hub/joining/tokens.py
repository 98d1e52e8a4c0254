"""Join tokens: what one grants, and whether it still lets a machine in.

Owns the judgement; the store counts the uses in the same transaction, and a machine whose key is known already is the
same node again without being judged here. Expiry is by the hub's clock alone. Whoever does not prove the secret learns
nothing: compare `secret_hash` first, in constant time.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from msgspec import Struct, field

from skerry_protocol.ids import NodeId, NodeName, Region, TokenId
from skerry_protocol.jointoken import ID_LENGTH, format_token

HOUR_MS = 3_600_000


class TokenRow(Struct, frozen=True):
    """A token as an operator made it. Written by: operators. Without `limit` a reusable one has none."""

    id: TokenId
    secret_hash: str
    limit: int | None = 1
    reusable: bool = False
    expires_at_ms: int | None = None
    ephemeral_ms: int | None = None
    approval: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    region: Region | None = None
    name_pattern: str | None = None
    made_by: str = ""
    made_at_ms: int = 0
    revoked_at_ms: int | None = None
    revision: int = 1


class TokenUse(Struct, frozen=True):
    """A machine that a token let in. Rows are never taken away, also when the node is forgotten."""

    node: NodeId
    name: NodeName
    at_ms: int


class Refused(Struct, frozen=True):
    """Why the token lets this machine not in, and what to do: "cannot join X: {reason} ({then})"."""

    reason: str
    then: str = ""


class Admitted(Struct, frozen=True):
    """The token lets the machine in."""


def secret_hash(secret: str) -> str:
    """What is stored of a secret: it is 160 random bits, so that one SHA-256 is enough (64 hex digits)."""
    return hashlib.sha256(b"skerry join secret\0" + secret.encode()).hexdigest()


def mint(
    entropy: Callable[[int], bytes],
    pin: str,
    hubs: tuple[str, ...],
    *,
    made_by: str,
    now_ms: int,
    limit: int | None = 1,
    reusable: bool = False,
    lasts_ms: int = HOUR_MS,
    ephemeral_ms: int | None = None,
    approval: bool = False,
    labels: dict[str, str] | None = None,
    region: Region | None = None,
    name_pattern: str | None = None,
) -> tuple[TokenRow, str]:
    """A new token and its text, which is shown once. `entropy(n)` gives n random bytes."""
    name = TokenId(base64.b32encode(entropy(5)).decode().lower()[:ID_LENGTH])
    text, secret = format_token(name, entropy(20), pin, hubs)
    row = TokenRow(
        id=name,
        secret_hash=secret_hash(secret),
        limit=limit if reusable else 1,
        reusable=reusable,
        expires_at_ms=now_ms + lasts_ms,
        ephemeral_ms=ephemeral_ms,
        approval=approval,
        labels=dict(labels or {}),
        region=region,
        name_pattern=name_pattern,
        made_by=made_by,
        made_at_ms=now_ms,
    )
    return row, text


def state(row: TokenRow, uses: int, now_ms: int) -> str:
    """One word for lists: "revoked", "expired", "used" or "ready"."""
    if row.revoked_at_ms is not None:
        return "revoked"
    if row.expires_at_ms is not None and now_ms >= row.expires_at_ms:
        return "expired"
    return "used" if row.limit is not None and uses >= row.limit else "ready"


def judge(
    row: TokenRow, uses: Sequence[TokenUse], name: NodeName, now_ms: int, region: Region | None = None
) -> Admitted | Refused:
    """Whether the token, whose secret is proven, lets one more machine in under this name.

    `uses` are all its uses so far, by other machine keys. `region` is this hub's, where the token may be of another.
    """
    another = "create another with 'skerry token create'"
    word = state(row, len(uses), now_ms)
    if word == "revoked":
        return Refused(f"the token was revoked on {_day(row.revoked_at_ms or 0)}", another)
    if word == "expired":
        return Refused(f"the token expired on {_day(row.expires_at_ms or 0)}", another)
    if row.region is not None and region is not None and row.region != region:
        return Refused(f"the token is for region {row.region}", f"join at a hub of {row.region}")
    if word == "used":
        return Refused(_used(uses), another)
    if row.name_pattern and not fnmatchcase(name, row.name_pattern):
        return Refused(
            f"the token lets in names like '{row.name_pattern}', not '{name}'", "give a --name that fits"
        )
    return Admitted()


def _used(uses: Sequence[TokenUse]) -> str:
    last = max(uses, key=lambda use: use.at_ms)
    if len(uses) == 1:
        return f"the token was used on {_day(last.at_ms)} by node {last.name}"
    return f"all {len(uses)} uses of the token are taken, the last on {_day(last.at_ms)} by node {last.name}"


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
