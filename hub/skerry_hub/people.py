"""Who may do what on the hub: people, their roles, and tokens that are stored only as hashes.

A token is random with 160 bits, so that a plain SHA-256 is enough to keep it by.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from enum import StrEnum

from msgspec import Struct
from sqlalchemy import select

from skerry_protocol.ids import NAME_EXPECTED, is_name

from .clock import now_ms
from .journal import Happened, Revision, keep, next_number, note, raw
from .store import Owner, Transaction, View
from .store import schema as s

TOKEN_PREFIX = "skerry-person-"  # noqa: S105 - what tells such a token from a join token


class Role(StrEnum):
    """Each may do what the one before may: see everything; change apps, nodes, tokens; people, backup, resume."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """Whether this role is enough for what needs `needed`."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Person(Struct, frozen=True):
    """Somebody who may use the hub."""

    name: str
    role: Role
    made_at_ms: int
    revoked_at_ms: int | None = None
    revision: int = 1


class PersonError(ValueError):
    """What was asked for a person cannot be done; the text says why."""


def new_secret() -> str:
    """160 random bits, in letters and digits."""
    return base64.b32encode(secrets.token_bytes(20)).decode().lower()


def person_token(name: str, secret: str) -> str:
    """The whole token; the name in it is for people's eyes alone."""
    return f"{TOKEN_PREFIX}{name}-{secret}"


def token_hash(token: str) -> str:
    """What the store keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


async def authenticate(view: View, token: str) -> Person | None:
    """Whose token this is; None for an unknown or revoked one."""
    t = s.people
    row = await view.one(select(t).where(t.c.token_hash == token_hash(token), t.c.revoked_at_ms.is_(None)))
    return _person(row) if row else None


async def people(view: View) -> list[Person]:
    """Everybody, also those whose token was revoked."""
    return [_person(row) for row in await view.rows(select(s.people).order_by(s.people.c.name))]


def _person(row: tuple[object, ...]) -> Person:
    name, role, _, made, revoked, revision = row
    assert isinstance(made, int)
    assert revoked is None or isinstance(revoked, int)
    assert isinstance(revision, int)
    return Person(str(name), Role(str(role)), made, revoked, revision)


async def add_person(tx: Transaction, name: str, role: Role, changer: str, secret: str) -> str:
    """Makes a person, or gives a revoked one a new token; returns the token, which is kept nowhere."""
    if not is_name(name):
        raise PersonError(f"cannot add {name!r}: expected {NAME_EXPECTED}")
    row = await tx.one(select(s.people.c.revoked_at_ms).where(s.people.c.name == name))
    if row and row[0] is None:
        raise PersonError(f"cannot add {name}: there is one already (revoke the token first)")
    token = person_token(name, secret)
    person = Person(name, role, now_ms(), None, await next_number(tx, "person", name))
    await _put(tx, person, token_hash(token), changer, "made")
    return token


async def revoke_person(tx: Transaction, name: str, changer: str) -> Person:
    """Makes the person's token useless. Raises PersonError where that leaves no admin, and KeyError for nobody."""
    row = await tx.one(select(s.people).where(s.people.c.name == name))
    if row is None:
        raise KeyError(name)
    person = _person(row)
    if person.revoked_at_ms is not None:
        return person
    admins = [p.name for p in await people(tx) if p.role is Role.ADMIN and p.revoked_at_ms is None]
    if admins == [name]:
        raise PersonError(f"cannot revoke {name}: nobody else is an admin (add another first)")
    gone = Person(name, person.role, person.made_at_ms, now_ms(), await next_number(tx, "person", name))
    await _put(tx, gone, str(row[2]), changer, "revoked")
    return gone


async def _put(tx: Transaction, person: Person, hashed: str, changer: str, what: str) -> None:
    hand = tx.as_owner(Owner.PEOPLE)
    await hand.put(
        s.people,
        {
            "name": person.name,
            "role": person.role.value,
            "token_hash": hashed,
            "made_at_ms": person.made_at_ms,
            "revoked_at_ms": person.revoked_at_ms,
            "revision": person.revision,
        },
    )
    await keep(hand, Revision("person", person.name, person.revision, now_ms(), changer, what, raw(person)))
    await note(hand, Happened(f"person-{what}", f"{person.name} ({person.role}) was {what}", changer=changer))
