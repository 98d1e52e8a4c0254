"""The lead: a row in the store with a growing term, carried by every reply, so that nodes ignore a former leader.

With SQLite the file's lock is the lead: who holds it is the only hub there can be, and a start takes the next term at
once. Where the lock was lost all the same, the term decides: each transaction that writes finds the row as its hub left
it, or ends that hub. It looks there by itself besides, and answers no beat while the lock is not its own. `until_ms` is
for a store that two hubs share; 0 is until the lock goes.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from itertools import count
from typing import cast

from sqlalchemy import select

from ..store import Deposed, Owner, Store, StoreError
from ..store import schema as s
from ..store.store import Values

LOG = logging.getLogger(__name__)
LOOK_S = 1.0
LOOKS = 10
LOOK_MS = 50


async def take_lead(store: Store, holder: str, above: int = 0) -> int:
    """The term of this run, higher than any before, and than `above`.

    A store that was put back has forgotten terms that nodes have seen, and they heed no lower one: they tell which.
    """
    async with store.write() as tx:
        row = await tx.one(select(s.lead.c.term))
        term = max(row[0] if row and isinstance(row[0], int) else 0, above) + 1
        hand = tx.as_owner(Owner.LEADER)
        await hand.put(s.lead, {"one": 1, "term": term, "holder": holder, "until_ms": 0})
    store.term = term
    return term


class LockLook:
    """Whether the lock is this hub's: one look for all beats that one turn of the event loop takes, for LOOK_MS.

    Each look lets other threads have the processor, and to get it back is most of what a beat costs while the loops
    think. What is granted within that time, after another hub began, is far less than the margin of any lease.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen_ms: int | None = None

    def __call__(self, now_ms: int) -> bool:
        if self._seen_ms is None or now_ms - self._seen_ms > LOOK_MS:
            if not self._store.locked():
                return False
            self._seen_ms = now_ms
            asyncio.get_running_loop().call_soon(self._forget)
        return True

    def _forget(self) -> None:
        self._seen_ms = None


async def keep_lead(store: Store) -> None:
    """Looks again and again whether the lead is still this hub's; returns once it is another's.

    Every second at the lock, without which no other hub begins; now and then at the term too, because a lock on a disk
    that two machines have may hold neither. What cannot be read says nothing of another hub, which could not have
    written there.
    """
    for look in count():
        if store.deposed.is_set():
            return
        locked = store.locked() or _locked_again(store)
        if not locked or look % LOOKS == 0:
            try:
                async with store.read() as view:
                    await store.leads(view)
            except Deposed:
                return
            except Exception as error:  # noqa: BLE001 - it says nothing of the lead
                LOG.debug("cannot look at the lead: %s", error)
        await asyncio.sleep(LOOK_S)


def _locked_again(store: Store) -> bool:
    """A lock that somebody deleted is taken again where nobody else has it. False all the same: the term says whether
    somebody led in between."""
    with suppress(StoreError):
        store.lock_again()
        LOG.warning("the lock of %s was deleted, and is taken again", store.path)
    return False


async def lead_again(store: Store) -> None:
    """Writes the lead's row as it is, which shows whether the disk takes anything. Raises StoreError."""
    t = s.lead
    async with store.write() as tx:
        for one, term, holder, until_ms in await tx.rows(select(t.c.one, t.c.term, t.c.holder, t.c.until_ms)):
            row = {"one": one, "term": term, "holder": holder, "until_ms": until_ms}
            await tx.as_owner(Owner.LEADER).put(t, cast(Values, row))
