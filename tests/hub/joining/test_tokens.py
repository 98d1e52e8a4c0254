"""Join tokens: what is minted can be read, and each refusal says what to do."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from skerry_hub.joining.tokens import Admitted, Refused, TokenRow, TokenUse, judge, mint, secret_hash, state
from skerry_protocol.ids import NodeId, NodeName, Region
from skerry_protocol.jointoken import JoinToken, parse_token

NOW = 1_777_777_777_000


def row(**more: object) -> TokenRow:
    made, _ = mint(bytes, "0" * 64, ("hub:1",), made_by="mara", now_ms=NOW, **more)  # type: ignore[arg-type]
    return made


def use(name: str, at_ms: int = NOW) -> TokenUse:
    return TokenUse(NodeId(f"id-{name}"), NodeName(name), at_ms)


def test_what_is_minted_can_be_read_and_only_a_hash_is_kept() -> None:
    made, text = mint(bytes, "ab" * 32, ("hub:1",), made_by="mara", now_ms=NOW)
    token = parse_token(text)
    assert isinstance(token, JoinToken)
    assert (token.id, token.pin, token.hubs) == (made.id, "ab" * 32, ("hub:1",))
    assert secret_hash(token.secret) == made.secret_hash
    assert token.secret not in str(made)
    assert made.expires_at_ms == NOW + 3_600_000


@pytest.mark.parametrize(
    ("token", "uses", "name", "reason"),
    [
        (row(), (use("n7"),), "n8", "the token was used on 2026-05-03 03:09 UTC by node n7"),
        (row(lasts_ms=0), (), "n8", "the token expired on 2026-05-03"),
        (replace(row(), revoked_at_ms=NOW), (), "n8", "the token was revoked on 2026-05-03"),
        (
            row(reusable=True, limit=2),
            (use("a"), use("b", NOW + 1)),
            "c",
            "all 2 uses of the token are taken",
        ),
        (row(region="south"), (), "n8", "the token is for region south"),
        (row(name_pattern="pump-*"), (), "n8", "the token lets in names like 'pump-*', not 'n8'"),
    ],
)
def test_refusals(token: TokenRow, uses: tuple[TokenUse, ...], name: str, reason: str) -> None:
    found = judge(token, uses, NodeName(name), NOW, Region("north"))
    assert isinstance(found, Refused)
    assert found.reason.startswith(reason)
    assert found.then


def test_admissions() -> None:
    assert judge(row(), (), NodeName("n8"), NOW) == Admitted()
    many = tuple(use(str(number)) for number in range(1000))
    assert judge(row(reusable=True, limit=None), many, NodeName("n8"), NOW) == Admitted()
    assert judge(row(name_pattern="pump-*"), (), NodeName("pump-1"), NOW) == Admitted()


def test_ten_uses_let_exactly_ten_in() -> None:
    token, uses = row(reusable=True, limit=10), list[TokenUse]()
    for number in range(100):
        if judge(token, uses, NodeName(f"n{number}"), NOW) == Admitted():
            uses.append(use(f"n{number}"))
    assert len(uses) == 10
    assert state(token, 10, NOW) == "used"
    assert state(token, 9, NOW) == "ready"
