"""What the store does not keep for ever, and until when.

Revisions, claims, tokens and forgotten machines stay. Events have a bound that an operator sets, of which each node's
own words may fill only a part, so that one that talks without end takes nobody else's history. What was known of
nodes that are gone goes a day after them, of copies after a day (steps) and thirty (where they were).
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Table, func, select

from .model import Mesh
from .store import Owner, Store, rows
from .store import schema as s

DAY_MS = 24 * 3_600_000
ENDED_MS = 30 * DAY_MS
BITE = 10_000  # rows that one transaction removes, so that nobody waits long for it
OWN_SHARE = 200
OWN_LEAST = 100


def own_words(keep_events: int) -> int:
    """How many of its own words are kept of each node."""
    return max(OWN_LEAST, keep_events // OWN_SHARE)


async def prune(store: Store, now_ms: int) -> int:
    """Removes what is over; returns how many rows."""
    async with store.read() as view:
        mesh = await rows.mesh(view)
    events = await _events(store, mesh.keep_events if mesh else Mesh.keep_events)
    return events + await _copies(store, now_ms) + await _nodes(store, now_ms) + await _answers(store, now_ms)


async def _events(store: Store, keep: int) -> int:
    """The newest `keep` of what hub and people did, and the newest words of each node."""
    t = s.events
    own = t.c.changer.is_not(None) & t.c.node.is_not(None) & (t.c.changer == t.c.node)
    place = func.row_number().over(partition_by=t.c.node, order_by=t.c.id.desc())
    ranked = select(t.c.id, place.label("place")).where(own).subquery()
    old_words = select(ranked.c.id).where(ranked.c.place > own_words(keep)).limit(BITE)
    last = select(t.c.id).where(~own).order_by(t.c.id.desc()).offset(keep).limit(1).scalar_subquery()
    old = select(t.c.id).where(~own, t.c.id <= last).limit(BITE)
    gone = 0
    for statement in (old_words, old):
        while True:
            async with store.write() as tx:
                removed = await tx.as_owner(Owner.UPKEEP).trim(t, t.c.id.in_(statement))
            gone += removed
            if removed < BITE:
                break
    return gone


async def _copies(store: Store, now_ms: int) -> int:
    """Steps of copies that ended; a node that comes back late may say them once more."""
    t, p = s.steps, s.placements
    known = select(p.c.instance).where(p.c.ended_at_ms.is_(None) | (p.c.ended_at_ms > now_ms - DAY_MS))
    async with store.write() as tx:
        steps = await tx.as_owner(Owner.INTAKE).drop(t, t.c.instance.not_in(known))
    return steps + await _ended(store, now_ms)


async def _ended(store: Store, now_ms: int) -> int:
    """Copies that ended long ago, but for those that a node may still have: by whose word they go is kept with them."""
    p = s.placements
    async with store.write() as tx:
        named = {instance for row in await rows.issued(tx) for instance in row.instances}
        found = await tx.rows(select(p.c.instance).where(p.c.ended_at_ms < now_ms - ENDED_MS).limit(BITE))
        old = [str(instance) for (instance,) in found if instance not in named]
        hand, gone = tx.as_owner(Owner.SCHEDULE), 0
        for start in range(0, len(old), rows.AT_ONCE):
            gone += await hand.drop(p, p.c.instance.in_(old[start : start + rows.AT_ONCE]))
    return gone


def _of_nodes() -> Iterator[tuple[Owner, Table]]:
    yield from ((Owner.INTAKE, table) for table in (s.facts, s.outboxes))
    yield from ((Owner.SILENCE, s.losses), (Owner.BOOTS, s.boots))
    yield from ((Owner.SIGN, s.assignments), (Owner.RESUME, s.paused))


async def _nodes(store: Store, now_ms: int) -> int:
    """What was known of nodes that were forgotten. Their claims stay: a number is never given twice."""
    f = s.forgotten
    gone = select(f.c.id).where(f.c.at_ms < now_ms - DAY_MS, f.c.id.not_in(select(s.nodes.c.id)))
    removed = 0
    async with store.write() as tx:
        for owner, table in _of_nodes():
            removed += await tx.as_owner(owner).drop(table, table.c.node.in_(gone))
    return removed


async def _answers(store: Store, now_ms: int) -> int:
    """Answers that were remembered for repeats."""
    async with store.write() as tx:
        return await tx.as_owner(Owner.API).drop(s.idempotency, s.idempotency.c.at_ms < now_ms - DAY_MS)
