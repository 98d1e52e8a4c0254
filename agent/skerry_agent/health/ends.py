"""How often a unit has ended by itself: each end counts once, however late or often the unit is looked at. Pure.

systemd counts the restarts that it did by itself (NRestarts), and begins anew at 0 with each start that somebody asked
for. A unit that is down now has ended once more than it was restarted.
"""

from __future__ import annotations

from msgspec import Struct

from ..systemd.port import UnitState
from . import exits


class Ends(Struct, frozen=True):
    """What was seen last. `count` is of one row of automatic restarts; None: nothing was seen yet."""

    count: int | None = None
    restarts: int = 0
    invocation: str = ""

    def seen(self, unit: UnitState) -> tuple[Ends, int]:
        """The unit is like this now: what to remember, and how many ends are new."""
        down = unit.active == "failed" or unit.sub == "auto-restart"
        count = unit.restarts + (1 if down else 0)
        if self.count is None:
            known = unit.restarts  # who looks for the first time can't say when those were
        elif unit.restarts < self.restarts or (unit.restarts == 0 and unit.invocation != self.invocation):
            known = 0
        else:
            known = self.count
        return Ends(count, unit.restarts, unit.invocation), max(0, count - known)


def how_it_ended(unit: UnitState) -> str:
    """systemd's word on the last run, for people."""
    if unit.exit_code == 1:
        return exits.text(unit.exit_status)
    if unit.exit_code in {2, 3}:
        return f"killed by signal {unit.exit_status}"
    return unit.result if unit.result not in {"", "success"} else "it ended"
