"""The text of a join token: `skerry-join-<id>-<secret>.<pin>@<hub>[,<hub>...]`.

Owns how it is written and read; what a token grants is the hub's business. The lengths are fixed and the last four
characters of the secret are a check over all the rest, so that a token cut short or mistyped in copying is told from
one that a hub does not know. The secret is never part of a reason.
"""

from __future__ import annotations

import base64
import hashlib
import re

from msgspec import Struct

from .ids import TokenId

PREFIX = "skerry-join-"
ID_LENGTH = 8
SECRET_LENGTH = 36  # 160 random bits, then the check
CHECK_LENGTH = 4
PIN_LENGTH = 64
TOKEN_MAX = 4096
HUBS_MAX = 16
DEFAULT_PORT = 7443

_BASE32 = re.compile(r"[a-z2-7]*")
_HEX = re.compile(r"[0-9a-f]*")
_HOST = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<host>[A-Za-z0-9][A-Za-z0-9.-]{0,252}))(?::(?P<port>[0-9]{1,5}))?"
)
_CUT = "(was it cut short in copying? copy the whole line that 'skerry token create' printed)"


class JoinToken(Struct, frozen=True):
    """A token as read. `pin` is the SHA-256 (hex) of the mesh root's public key; `hubs` are `host:port`."""

    id: TokenId
    secret: str
    pin: str
    hubs: tuple[str, ...]


class BadToken(Struct, frozen=True):
    """Why a text is no join token, and what to do about it: ends the sentence `cannot join: `."""

    reason: str


def parse_token(text: str) -> JoinToken | BadToken:
    """Reads what an operator pasted. Total: whatever the text, the answer is a token or the reason why not."""
    text = text.strip()
    wrong = _shape(text)
    if wrong:
        return BadToken(wrong)
    body, _, hubs = text.removeprefix(PREFIX).partition("@")
    left, _, pin = body.partition(".")
    token_id, _, secret = left.partition("-")
    wrong = (
        _part("id", token_id, ID_LENGTH, _BASE32)
        or _part("secret", secret, SECRET_LENGTH, _BASE32)
        or _part("pin", pin, PIN_LENGTH, _HEX)
    )
    if wrong:
        return BadToken(wrong)
    if secret[-CHECK_LENGTH:] != check(token_id, secret[:-CHECK_LENGTH], pin, hubs):
        return BadToken(f"the token's check does not fit: a character was lost or changed {_CUT}")
    return _with_hubs(TokenId(token_id), secret, pin, hubs)


def _shape(text: str) -> str | None:
    """What is wrong with the text as a whole."""
    if not text:
        return "the token is empty (paste what 'skerry token create' printed)"
    if len(text) > TOKEN_MAX:
        return f"the token has {len(text)} characters, at most {TOKEN_MAX} are taken"
    if not text.startswith(PREFIX):
        if PREFIX.startswith(text) or "-join-" in text[:12]:
            return f"the token does not begin with '{PREFIX}' {_CUT}"
        return f"this is not a join token: one begins with '{PREFIX}' (make one with 'skerry token create')"
    if any(letter.isspace() or not letter.isprintable() for letter in text):
        return "the token has a space or a line break inside (paste it as one line)"
    if "@" not in text:
        return f"the token ends before its hubs: no '@' {_CUT}"
    return None


def _part(name: str, text: str, length: int, letters: re.Pattern[str]) -> str | None:
    """What is wrong with one part of fixed length."""
    if len(text) != length:
        return f"the token's {name} has {len(text)} characters instead of {length} {_CUT}"
    if not letters.fullmatch(text):
        return f"the token's {name} has a character that none has {_CUT}"
    return None


def _with_hubs(token_id: TokenId, secret: str, pin: str, text: str) -> JoinToken | BadToken:
    names = text.split(",")
    if len(names) > HUBS_MAX:
        return BadToken(f"the token names {len(names)} hubs, at most {HUBS_MAX} are taken")
    hubs = tuple(address(name) for name in names)
    for name, hub in zip(names, hubs, strict=True):
        if hub is None:
            return BadToken(f"the token's hub '{name}' is not HOST or HOST:PORT {_CUT}")
    return JoinToken(token_id, secret, pin, tuple(hub for hub in hubs if hub is not None))


def address(text: str) -> str | None:
    """`text` (HOST, HOST:PORT, [V6] or [V6]:PORT) as `host:port`, with the default port; None where it is neither."""
    match = _HOST.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"] or DEFAULT_PORT)
    if not 0 < port < 65536:
        return None
    host = f"[{match['six']}]" if match["six"] else match["host"]
    return f"{host}:{port}"


def format_token(token_id: str, random: bytes, pin: str, hubs: tuple[str, ...]) -> tuple[str, str]:
    """The whole token and its secret, from 20 random bytes. The hubs are written as given."""
    if len(random) != 20:
        raise ValueError(f"a secret takes 20 random bytes, not {len(random)}")
    start = base64.b32encode(random).decode().lower()
    listed = ",".join(hubs)
    secret = start + check(token_id, start, pin, listed)
    return f"{PREFIX}{token_id}-{secret}.{pin}@{listed}", secret


def check(token_id: str, start: str, pin: str, hubs: str) -> str:
    """Four characters (20 bits) that fit only this token: against slips, not against forgery."""
    text = f"{token_id}\0{start}\0{pin}\0{hubs}".encode()
    return base64.b32encode(hashlib.sha256(b"skerry token\0" + text).digest()).decode().lower()[:CHECK_LENGTH]
