"""One machine behind each identity: boots, reply numbers, clones.

Owns which boot of a node is granted. A new boot is granted at once if the old one's last beat said that all had
stopped, else when no lease of the old one can be left. Two boots that are heard by turns, or a reply number that this
machine cannot have, mean two machines with one identity: no grants to either until an operator names one.

A beat may come late, or twice: one that was not sent after the newest of its boot is worth nothing, not even a
suspicion. An old boot that is heard again may be such a one from before its end: it takes over like a new boot, which
waits, and so does the one that lives after it. Only when the turn comes back once more do both live.

A node gives back the number of the newest reply it took, and drops a reply that comes after its next beat was sent; 0
says that its agent has none (it began anew). So after a beat only the number it gave and those sent since can come, or
one of the hub that was here before, if the first beat that this one heard was late. The higher one counts from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skerry_protocol.ids import NodeId
from skerry_protocol.messages import NUMBER_MAX, Beat

from ..model import BootRow
from .events import Action, ReportClone, StoreBoot

RETURNS = 3
RETURNS_WITHIN_S = 86_400.0
LATE = "an older beat than one that was heard before it: it came late, or two machines have one identity"
HEARD_MAX = 20  # kept for people to choose from; a machine may reboot as often as it likes
TWO_MACHINES = "two machines, one identity: no leases for either until an operator names one"
RULED_OUT = "an operator ruled this machine out: another one has its identity (join it anew)"


@dataclass
class Boot:
    """One node's boot as the hub sees it. `waits`: when the lengths of older boots are over, by the hub's clock."""

    node: NodeId
    boot: str | None = None
    stopped: bool = False
    clone: bool = False
    banned: frozenset[str] = frozenset()
    old: frozenset[str] = frozenset()
    waits: dict[int, float] | None = None
    number: int = 0
    allowed: frozenset[int] | None = None
    stored: BootRow | None = None
    newest: dict[str, int] = field(default_factory=dict)
    returns: tuple[float, ...] = ()

    @classmethod
    def of(cls, row: BootRow, waits: dict[int, float] | None) -> Boot:
        """As it was stored; `waits` where the row is not settled."""
        made = cls(row.node, row.boot, row.stopped, row.clone, frozenset(row.banned), stored=row)
        made.old = frozenset(row.heard)
        made.waits = None if row.settled else waits
        return made

    def row(self) -> BootRow:
        settled = self.waits is None
        heard = tuple(sorted(self.old))[:HEARD_MAX] if self.clone else ()
        banned = tuple(sorted(self.banned))
        return BootRow(self.node, self.boot or "", settled, self.stopped, banned, self.clone, heard)


@dataclass(frozen=True)
class Heard:
    """What a beat means for the boot. `trouble`: this beat is granted nothing and frees nothing, and why.

    `late`: it says nothing of how things are now.
    """

    actions: list[Action] = field(default_factory=list)
    trouble: str | None = None
    late: bool = False


def hear(boot: Boot, beat: Beat, now: float, waits: dict[int, float]) -> Heard:
    """Takes one beat; `waits` is for a boot that is new with it (see Leases.waits). Changes `boot`."""
    if beat.boot in boot.banned:
        return Heard(trouble=RULED_OUT)
    if _is_late(boot, beat):
        return Heard(trouble=LATE, late=True)
    actions: list[Action] = []
    if not boot.clone:
        reason = _clone(boot, beat, now)
        if reason is not None:
            heard = {beat.boot, *([boot.boot] if boot.boot else [])}
            boot.clone = True
            boot.old |= heard
            actions.append(ReportClone(boot.node, tuple(sorted(heard)), reason))
        elif beat.boot != boot.boot:
            _begin(boot, beat, waits)
    if boot.clone:
        boot.old |= {beat.boot}
        return Heard([*_store(boot), *actions], TWO_MACHINES)
    boot.stopped = beat.stopped
    boot.allowed = frozenset({beat.reply})
    if boot.waits is not None and all(at <= now for at in boot.waits.values()):
        boot.waits = None
    return Heard([*_store(boot), *actions])


def _is_late(boot: Boot, beat: Beat) -> bool:
    """Whether a newer beat of its boot was heard; notes it where not."""
    if not beat.at_us:
        return False
    if beat.at_us <= boot.newest.get(beat.boot, 0):
        return True
    newest = {name: at for name, at in boot.newest.items() if name != beat.boot}
    boot.newest = dict([*newest.items(), (beat.boot, beat.at_us)][-HEARD_MAX:])
    return False


def _clone(boot: Boot, beat: Beat, now: float) -> str | None:
    """Why this beat cannot be of the machine that was heard last."""
    if beat.boot in boot.old:
        boot.returns = (*(at for at in boot.returns if now - at < RETURNS_WITHIN_S), now)
        return "two boots are heard by turns" if len(boot.returns) >= RETURNS else None
    same = beat.boot == boot.boot
    # A higher number than any that this hub gave is of the hub before it: what was heard first came late.
    ours = beat.reply <= boot.number
    if same and beat.reply and ours and boot.allowed is not None and beat.reply not in boot.allowed:
        return f"one boot gives back reply {beat.reply} after another one"
    return None


def _begin(boot: Boot, beat: Beat, waits: dict[int, float]) -> None:
    """A boot that was not heard last takes the place of the one that was."""
    returns = beat.boot in boot.old
    boot.old -= {beat.boot}
    if boot.boot is not None:
        boot.old |= {boot.boot}
        if returns or not boot.stopped:
            boot.waits = {**(boot.waits or {}), **waits}
    boot.boot, boot.stopped, boot.allowed = beat.boot, False, None


def _store(boot: Boot) -> list[Action]:
    """The row, if it is not what is stored."""
    row = boot.row()
    if row == boot.stored:
        return []
    boot.stored = row
    return [StoreBoot(row)]


def answer(boot: Boot, beat: Beat) -> int:
    """The number of the reply to this beat."""
    # Whatever a node gives back, the next number can be sent and given back too.
    boot.number = max(boot.number, beat.reply) % NUMBER_MAX + 1
    if boot.allowed is not None:
        boot.allowed |= {boot.number}
    return boot.number


def may_grant(
    boot: Boot, lengths: frozenset[int], held: Mapping[int, frozenset[int]], now: float
) -> frozenset[int]:
    """The lengths of which no older boot can hold a copy any more.

    `held`: for each, all lengths that its claims may be held under. An older disk knows a claim under another one than
    the machine that goes on with it.
    """
    if boot.stopped or boot.clone:
        return frozenset()
    if boot.waits is None:
        return lengths
    latest = max(boot.waits.values(), default=now)
    over = {length for length in lengths.union(*held.values()) if boot.waits.get(length, latest) <= now}
    return frozenset(length for length in lengths if over >= {length} | held.get(length, frozenset()))


def name_one(boot: Boot, named: str, waits: dict[int, float]) -> list[Action]:
    """An operator's word: `named` is the node, every other boot heard is ruled out."""
    others = (boot.old | ({boot.boot} if boot.boot else set())) - {named}
    boot.banned |= others
    boot.boot, boot.clone, boot.stopped = named, False, False
    boot.old, boot.allowed, boot.waits, boot.returns = frozenset(), None, dict(waits), ()
    return _store(boot)
