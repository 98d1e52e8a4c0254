"""Safety rules that can be taken away, to see that the simulator notices. Each is one change to what ships.

`generation` is not found by itself: an older assignment knows no newer one, so `since` refuses it too; only without
both does a node go back. `term` is the hub's half of the leader's term, which matters where the lock on the store was
lost. The node's half, that it ignores a lower term than it has seen, is held by the cores' own tests.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from skerry_agent.assignments import accept
from skerry_agent.assignments.accept import Decision, Held, Refuse, Repeat
from skerry_agent.disk.files import Files
from skerry_hub.beats import boots, silence, storm
from skerry_hub.beats.beats import Beats
from skerry_hub.beats.leases import Leases
from skerry_hub.loops import claims
from skerry_hub.model import ClaimRow, ClaimState
from skerry_hub.store import Store, View
from skerry_protocol import lease
from skerry_protocol.messages import Assignment, Beat, Issued
from skerry_protocol.signing import Delegation

from .disk import Disk


def _margin() -> None:
    """The lease's margin: here the next copy starts before the last one has to be gone."""

    def less(lost_after_ms: int) -> int:
        return -4_000

    lease.margin_ms = less


def _claims() -> None:
    """The wait until the last claim is free: a claim that ends is free at once."""
    ended = claims._ended

    def free(row: ClaimRow, *more: object) -> ClaimRow:
        after = ended(row, *more)  # type: ignore[arg-type]
        return after if after is row else msgspec.structs.replace(after, state=ClaimState.FREE)

    claims._ended = free  # type: ignore[assignment]


def _void() -> None:
    """What a grant depends on: a claim that silence ended is granted as long as a beat names it."""

    def yes(*_: object) -> bool:
        return True

    Leases._may_hold = yes  # type: ignore[assignment,method-assign]


def _boot() -> None:
    """Grants belong to a boot: a new boot is granted at once."""

    def nothing(*_: object) -> dict[int, float]:
        return {}

    Beats._waits = nothing  # type: ignore[assignment,method-assign]


def _since() -> None:
    """`since`: an assignment that does not know what the node holds is taken."""
    continuity = accept._continuity

    def knows(held: Held, accepted: Issued, offer: Assignment, seen: Delegation) -> Refuse | None:
        return continuity(held, accepted, msgspec.structs.replace(offer, since=(accepted,)), seen)

    accept._continuity = knows


def _removed() -> None:
    """`removed` and its confirmation: whatever is left out goes."""
    continuity = accept._continuity

    def means(held: Held, accepted: Issued, offer: Assignment, seen: Delegation) -> Refuse | None:
        gone = tuple(accept._vanished(held, offer))
        meant = msgspec.structs.replace(offer, removed=gone, confirmed_by="nobody")
        return continuity(held, accepted, meant, seen)

    accept._continuity = means


def _generation() -> None:
    """The order of assignments: an older one is judged like a newer one."""
    order = accept._order

    def any_order(accepted: Issued, issued: Issued, seen: Delegation) -> Decision | None:
        found = order(accepted, issued, seen)
        return found if isinstance(found, Repeat) else None

    accept._order = any_order


def _unsynced(concerns: Callable[[Path], bool]) -> None:
    sync = Disk.sync

    def unsafe(self: Disk, folder: Path) -> None:
        if not concerns(folder):
            sync(self, folder)
            return
        self._step()
        Files.sync(self, folder)

    Disk.sync = unsafe  # type: ignore[method-assign]


def _sync() -> None:
    """fsync of the folder after a rename: what was switched to may be undone by a power cut."""
    _unsynced(lambda folder: True)


def _fsync() -> None:
    """The same for the accepted assignment alone: units are switched to what a power cut may undo."""
    _unsynced(lambda folder: folder.name == "state" or "generations" in folder.parts)


def _order() -> None:
    """The order of beats: one that comes late counts."""

    def never(boot: boots.Boot, beat: Beat) -> bool:
        return False

    boots._is_late = never


def _listening() -> None:
    """That silence counts only while the hub listens."""
    init = silence.Silence.__init__

    def deaf(self: silence.Silence, start: float, losses: object) -> None:
        init(self, start, losses)  # type: ignore[arg-type]
        self.floor = start - 86_400

    def nothing(self: silence.Silence, now: float) -> None: ...

    silence.Silence.__init__ = deaf  # type: ignore[method-assign]
    silence.Silence.listening_again = nothing  # type: ignore[method-assign]


def _term() -> None:
    """That a hub looks whether it still leads, before it writes and while it grants."""

    async def always(self: Store, view: View) -> None: ...

    Store.leads = always  # type: ignore[method-assign]


def _storm() -> None:
    """The storm brake."""

    def never(self: storm.Probe, heard: object) -> bool:
        return False

    storm.Probe.cut_off = never  # type: ignore[method-assign]


RULES: dict[str, Callable[[], None]] = {
    "margin": _margin, "claims": _claims, "void": _void, "boot": _boot, "since": _since, "removed": _removed,
    "generation": _generation, "sync": _sync, "fsync": _fsync, "order": _order, "listening": _listening,
    "storm": _storm, "term": _term,
}  # fmt: skip


def take_away(name: str) -> None:
    """From now on this process has not got that rule."""
    RULES[name]()
