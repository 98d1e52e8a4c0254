"""The lead: a row in the store with a growing term, carried by every reply, so that nodes ignore a former leader.

With SQLite the file's lock is the lead: who holds it is the only hub there can be, and a start takes the next term at
once. A store that two hubs share needs a renewal too; `until_ms` is there for it and 0 here: until the lock goes.
"""

from __future__ import annotations

from sqlalchemy import select

from ..store import Owner, Store
from ..store import schema as s


async def take_lead(store: Store, holder: str, above: int = 0) -> int:
    """The term of this run, higher than any before, and than `above`.

    A store that was put back has forgotten terms that nodes have seen, and they heed no lower one: they tell which.
    """
    async with store.write() as tx:
        row = await tx.one(select(s.lead.c.term))
        term = max(row[0] if row and isinstance(row[0], int) else 0, above) + 1
        hand = tx.as_owner(Owner.LEADER)
        await hand.put(s.lead, {"one": 1, "term": term, "holder": holder, "until_ms": 0})
    return term
