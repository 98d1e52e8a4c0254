"""Which plan the node is to have: what was offered, confirmed or ran out of time is judged (`confirm`) and kept.

Must never choose a plan that the linter finds fault with. A trial is on disk before it begins; to go back needs no
disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skerry_netplan.linter import faults

from ..disk.files import DiskError
from .blend import blend
from .confirm import Standing, confirmed, looked_at, offered
from .files import Files
from .records import Kept, Plan

LATELY_MS = 6 * 60_000  # a node with best-effort work alone beats every five minutes


@dataclass(frozen=True)
class Chosen:
    """`plan`: the one to use; None: there is none yet. `newest`: what the agent wants, where it has no fault."""

    plan: Plan | None
    standing: Standing
    newest: Plan | None
    troubles: tuple[str, ...]


class Choosing:
    """`boot`: of the boot id; `now_ms`: CLOCK_BOOTTIME."""

    def __init__(self, files: Files, boot: str, now_ms: Callable[[], int]) -> None:
        self._files, self._boot, self._now_ms = files, boot, now_ms

    def on_trial(self) -> Plan | None:
        """The plan in use, where its way is on trial."""
        kept = self._files.kept()
        return kept.plans.get(kept.standing.trial.way) if kept.standing.trial else None

    def chosen(self, proven: bool) -> Chosen:
        """As of now. What it comes to is on disk, or it is said why not. `proven`: see `proof`, for a way on trial."""
        newest, fault = self._wanted()
        kept, unwritten = self._judged(newest, proven)
        plan = kept.plans.get(kept.standing.in_use or "")
        return Chosen(plan, kept.standing, newest, tuple(filter(None, (fault, unwritten))))

    def _wanted(self) -> tuple[Plan | None, str]:
        wanted = self._files.wanted()
        trouble = "; ".join(faults(wanted.network)) if wanted else ""
        return (None if trouble else wanted), trouble

    def _judged(self, wanted: Plan | None, proven: bool) -> tuple[Kept, str]:
        """What is kept, after what was offered and what became of it; and why that could not be written.

        To go back is judged the same again in the next turn.
        """
        before = self._files.kept()
        now, boot = self._now_ms(), self._boot
        answered = self._answered(before.standing.in_use, now)
        answered = answered and (proven or before.standing.trial is None)
        standing = confirmed(before.standing) if answered else looked_at(before.standing, boot, now)
        if wanted is not None:
            standing = offered(standing, wanted.way, answered, boot, now)
        after = Kept(standing, _plans(standing, before, wanted))
        if after == before:
            return before, ""
        try:
            self._files.keep(after)
        except DiskError as error:
            if standing.trial is not None and standing != before.standing:
                after = Kept(before.standing, _plans(before.standing, before, wanted))
            return after, str(error)
        return after, ""

    def _answered(self, way: str | None, now_ms: int) -> bool:
        """Whether the hub was reached under this way lately."""
        found = self._files.reached()
        if found is None or (found.way, found.boot) != (way, self._boot):
            return False
        return now_ms - found.at_ms < LATELY_MS


def _plans(standing: Standing, before: Kept, wanted: Plan | None) -> dict[str, Plan]:
    """Of each way that is kept, the last good plan: the newest instances are in all of them."""
    known = before.plans | ({wanted.way: wanted} if wanted else {})
    ways = {way for way in (standing.confirmed, standing.in_use) if way in known}
    return {way: blend(known[way], wanted) if wanted else known[way] for way in sorted(ways)}
