"""Messages that were not what they should be: dropped, counted, and said once for each sender and kind.

Holds a bounded number of senders, so that a hostile one cannot fill memory or log. No I/O.
"""

from __future__ import annotations

import logging
from collections import OrderedDict

log = logging.getLogger(__name__)

REMEMBERED = 1_000
REASON_MAX = 300


class Rejects:
    """How many messages of each (sender, kind) were dropped, and why the first one was."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self.total = 0
        self.seen: OrderedDict[tuple[str, str], tuple[int, str]] = OrderedDict()
        self._remembered = remembered

    def add(self, sender: str, kind: str, reason: str) -> bool:
        """Counts one. Whether it is the first of its sender and kind, which is also logged."""
        self.total += 1
        key = (sender[:100], kind)
        count, first = self.seen.pop(key, (0, reason[:REASON_MAX]))
        self.seen[key] = (count + 1, first)
        if len(self.seen) > self._remembered:
            self.seen.popitem(last=False)
        if count == 0:
            log.warning("dropped a %s from %s: %s (more of them are only counted)", kind, key[0], first)
        return count == 0
