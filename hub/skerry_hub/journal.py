"""What happened and who did it: events, and a revision for every change of an app, a node, a token or a person.

Both only grow. They are written in the transaction of the change itself, so that neither can be had without the other.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct
from sqlalchemy import bindparam, func, select

from .clock import now_ms
from .store import View, Writer
from .store import schema as s
from .store.store import Value

EVENTS_MAX = 1_000
_HIGHEST = select(func.max(s.revisions.c.number)).where(
    s.revisions.c.kind == bindparam("kind"), s.revisions.c.name == bindparam("name")
)


class Revision(Struct, frozen=True):
    """One change. `content` is the JSON of what it left, None where that was nothing."""

    kind: str
    name: str
    number: int
    at_ms: int
    changer: str
    reason: str
    content: msgspec.Raw | None = None


class EventRow(Struct, frozen=True):
    """Something that happened, for people. `data` is JSON."""

    id: int
    at_ms: int
    code: str
    text: str
    app: str | None = None
    node: str | None = None
    instance: str | None = None
    changer: str | None = None
    data: msgspec.Raw | None = None


class Happened(Struct, frozen=True):
    """An event that is to be written."""

    code: str
    text: str
    app: str | None = None
    node: str | None = None
    instance: str | None = None
    changer: str | None = None
    data: Struct | dict[str, str] | None = None
    at_ms: int | None = None


async def note(hand: Writer, *events: Happened) -> None:
    """Writes events, in order."""
    await hand.add(s.events, (_values(event) for event in events))


def _values(event: Happened) -> dict[str, Value]:
    data = None if event.data is None else msgspec.json.encode(event.data).decode()
    return {
        "at_ms": now_ms() if event.at_ms is None else event.at_ms,
        "code": event.code,
        "text": event.text,
        "app": event.app,
        "node": event.node,
        "instance": event.instance,
        "changer": event.changer,
        "data": data,
    }


async def next_number(view: View, kind: str, name: str) -> int:
    """The number that the next revision of this thing gets; numbers go on after it was removed and made again."""
    row = await view.one(_HIGHEST, {"kind": kind, "name": name})
    highest = row[0] if row else None
    return highest + 1 if isinstance(highest, int) else 1


async def keep(hand: Writer, revision: Revision) -> None:
    """Writes a revision. Raises IntegrityError where the number is taken."""
    values: dict[str, Value] = {
        "kind": revision.kind,
        "name": revision.name,
        "number": revision.number,
        "at_ms": revision.at_ms,
        "changer": revision.changer,
        "reason": revision.reason,
        "content": None if revision.content is None else bytes(revision.content).decode(),
    }
    await hand.add(s.revisions, [values])


def raw(content: Struct | None) -> msgspec.Raw | None:
    """A struct as a revision's content."""
    return None if content is None else msgspec.Raw(msgspec.json.encode(content))


async def history(view: View, kind: str, name: str) -> list[Revision]:
    """Every revision of a thing, newest first."""
    t = s.revisions
    found = await view.rows(select(t).where(t.c.kind == kind, t.c.name == name).order_by(t.c.number.desc()))
    return [_revision(row) for row in found]


async def revision(view: View, kind: str, name: str, number: int) -> Revision | None:
    """One revision."""
    t = s.revisions
    row = await view.one(select(t).where(t.c.kind == kind, t.c.name == name, t.c.number == number))
    return _revision(row) if row else None


def _revision(row: tuple[object, ...]) -> Revision:
    kind, name, number, at_ms, changer, reason, content = row
    assert isinstance(number, int)
    assert isinstance(at_ms, int)
    return Revision(str(kind), str(name), number, at_ms, str(changer), str(reason), _raw(content))


def _raw(content: object) -> msgspec.Raw | None:
    return msgspec.Raw(content.encode()) if isinstance(content, str) else None


async def events(
    view: View,
    after: int = 0,
    limit: int = 100,
    app: str | None = None,
    node: str | None = None,
    changer: str | None = None,
    newest: bool = False,
) -> list[EventRow]:
    """Events after an id, oldest first; with `newest`, the last ones of those."""
    t = s.events
    statement = select(t).where(t.c.id > after)
    for column, wanted in ((t.c.app, app), (t.c.node, node), (t.c.changer, changer)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    order = t.c.id.desc() if newest else t.c.id
    found = await view.rows(statement.order_by(order).limit(min(max(limit, 1), EVENTS_MAX)))
    return sorted((_event(row) for row in found), key=lambda row: row.id)


async def last_event(view: View) -> int:
    """The highest event id there is; 0 before the first."""
    row = await view.one(select(func.max(s.events.c.id)))
    return row[0] if row and isinstance(row[0], int) else 0


def _event(row: tuple[object, ...]) -> EventRow:
    names = [str(column.name) for column in s.events.columns]
    values = dict(zip(names, row, strict=True))
    data = _raw(values.pop("data"))
    return msgspec.structs.replace(msgspec.convert(values, EventRow), data=data)
