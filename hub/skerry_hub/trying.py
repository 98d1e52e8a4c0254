"""A disk that took no write is tried until it takes one: else a hub that nobody asks for anything would call it broken
for ever, and what a commit that failed left in SQLite's log would be there for the next start to find whole.
"""

from __future__ import annotations

import asyncio
import logging

from .beats.leader import lead_again
from .store import Store, StoreError

LOG = logging.getLogger(__name__)
PAUSE_S = 2.0


async def keep_trying(store: Store) -> None:
    """Until cancelled."""
    while True:
        await store.failing.wait()
        await asyncio.sleep(PAUSE_S)
        try:
            await lead_again(store)
        except StoreError:
            continue  # the store's trouble says so
        except Exception:  # whatever it is, what comes after it must not go unnoticed
            LOG.exception("cannot try the store")
