"""Which archives may go: those that no copy runs, no app asks for now, and none of an app's last revisions names.

Revisions are kept for ever, their archives are not: going back further than KEPT_REVISIONS needs the archive again. One
that was pushed within a day stays, for an apply that is still to come. Must never remove what an assignment that a node
may still come to run refers to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import msgspec
from sqlalchemy import select

from skerry_protocol.app import App
from skerry_protocol.ids import AppName

from .. import journal
from ..loops.claims import may_run
from ..restoring.paused import paused_rows
from ..store import Owner, Store, View, rows
from ..store import schema as s
from .artifacts import ArtifactStore

KEPT_REVISIONS = 5
DAY_MS = 24 * 3_600_000


async def collect(store: Store, artifacts: ArtifactStore, now_ms: int) -> tuple[str, ...]:
    """Removes what may go; its digests. In a write transaction, so that no change is applied meanwhile."""
    async with store.write() as tx:
        mesh = await rows.mesh(tx)
        if mesh is None or mesh.restored or await paused_rows(tx):
            return ()  # what the nodes that are ahead run is not known here yet
        keep = await _wanted(tx)
        pushed = {
            str(sha): at for sha, at in await tx.rows(select(s.artifacts.c.sha256, s.artifacts.c.at_ms))
        }
        gone = []
        for sha, written_ms in await asyncio.to_thread(artifacts.written):
            row_ms = pushed.get(sha)
            at_ms = max(written_ms, row_ms if isinstance(row_ms, int) else 0)
            if sha not in keep and now_ms - at_ms >= DAY_MS:
                gone.append(sha)
        hand = tx.as_owner(Owner.OPERATORS)
        for sha in gone:
            await asyncio.to_thread(artifacts.remove, sha)
            await hand.drop(s.artifacts, s.artifacts.c.sha256 == sha)
        if gone:
            text = (
                f"{len(gone)} archives were collected: no copy runs them, and no recent revision names them"
            )
            await journal.note(hand, journal.Happened("artifacts-collected", text, changer="hub"))
    return tuple(sorted(gone))


async def _wanted(view: View) -> frozenset[str]:
    """The digests that must stay."""
    keep: set[str] = set()
    for row in await rows.apps(view):
        keep |= _digests(row.app)
        for app in await _last(view, row.name):
            keep |= _digests(app)
    used = {(one.app, one.revision) for one in await rows.placements(view)}
    facts = {fact.node: fact for fact in await rows.facts(view)}
    for issued in await rows.issued(view):
        if may_run([issued], facts.get(issued.node)):
            used |= {(copy.app, copy.revision) for copy in issued.copies}
    for name, number in used:
        found = await journal.revision(view, "app", name, number)
        if found is not None and found.content is not None:
            keep |= _digests(msgspec.json.decode(bytes(found.content), type=App))
    return frozenset(keep)


async def _last(view: View, name: AppName) -> Collection[App]:
    """What the newest revisions of an app asked for; removals are not counted."""
    t = s.revisions
    statement = select(t.c.content).where(t.c.kind == "app", t.c.name == name, t.c.content.is_not(None))
    found = await view.rows(statement.order_by(t.c.number.desc()).limit(KEPT_REVISIONS))
    return [msgspec.json.decode(str(content), type=App) for (content,) in found]


def _digests(app: App | None) -> frozenset[str]:
    return frozenset() if app is None else frozenset(one.sha256 for one in app.artifacts.values())
