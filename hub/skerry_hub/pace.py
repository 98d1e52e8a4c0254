"""How the hub's process shares its processor: between its threads, and with Python's search for garbage."""

from __future__ import annotations

import gc
import sys

# The loops think in a thread, for seconds with thousands of nodes. Whatever the event loop does between two system
# calls waits this long for its turn: with Python's own 5 ms that made a few dozen beats a second.
SWITCH_S = 0.0005
# Rows come and go by the ten thousand and are no cycles. With Python's own 700 a third of a change to all was spent on
# looking for some, in pauses of 0.3 s.
GARBAGE = (10_000, 10, 100)


def settle() -> None:
    """For the whole process; call it once."""
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(*GARBAGE)
