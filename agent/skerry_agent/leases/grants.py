"""Claims, leases and boots as the node counts them: answered beats become deadlines. Pure.

Owns what a beat names and what a reply is worth. A grant counts from when the beat was *sent*, by CLOCK_BOOTTIME, which
counts sleep; every `at_ms` here is that clock. systemd enforces what is armed (`leaseunits`), with or without an agent.
Must never arm a deadline later than sent + length, never open a lease after its deadline, never heed a lower term, and
never stop naming a claim before its unit is known to be down.

The state is kept in /run: it belongs to one boot, and an agent that comes back goes on with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from msgspec import Struct, field, structs

from skerry_protocol.app import App
from skerry_protocol.ids import InstanceId, NodeId
from skerry_protocol.messages import BeatReply, Holding, Instance

BEAT_IDLE_MS, BEAT_METERED_MS = 300_000, 900_000
BEAT_LEAST_MS = 1_000
SENT_MAX = 16  # unanswered beats that are remembered


class Live(Struct, frozen=True):
    """A lease that is armed until `deadline_ms`."""

    length_ms: int
    deadline_ms: int


class Grants(Struct, frozen=True, omit_defaults=True):
    """Everything that the node knows of its leases in this boot.

    `holdings` are assigned (accepted or applied); `former` are not any more, but may still run. `sent`: when each beat
    without an answer was sent, oldest first. `reply` is given back in the next beat.
    """

    boot: str
    term: int = 0
    reply: int = 0
    next_beat: int = 1
    sent: dict[str, int] = field(default_factory=dict)
    holdings: tuple[Holding, ...] = ()
    former: tuple[Holding, ...] = ()
    live: tuple[Live, ...] = ()

    def claims(self) -> tuple[Holding, ...]:
        """What the next beat names: every claim that this node may be running under."""
        return self.holdings + self.former

    def deadline(self, length_ms: int) -> int | None:
        """Until when claims of this length may live here."""
        return next((one.deadline_ms for one in self.live if one.length_ms == length_ms), None)


class ArmLease(Struct, frozen=True):
    """Write the timer file of this grant (`leaseunits.grant`), start it, then stop the older timers of that length.

    Starting the timer is the one call that counts: with `opens` it pulls in the lease target by itself. Never start
    that target by another call.
    """

    length_ms: int
    deadline_ms: int
    opens: bool


class CloseLease(Struct, frozen=True):
    """Nothing of this length may run here any more: stop its target, then its timers."""

    length_ms: int


class BeatNow(Struct, frozen=True):
    """Beat without waiting for the next turn."""


Action = ArmLease | CloseLease | BeatNow
Outcome = tuple[Grants, tuple[Action, ...]]


def holdings(instances: Iterable[Instance]) -> tuple[Holding, ...]:
    """The claims of those instances that are fenced."""
    return tuple(
        Holding(one.id, one.app, one.number, one.claim, one.lease.length_ms)
        for one in instances
        if one.claim is not None and one.lease is not None
    )


def beat_every_ms(apps: Iterable[App], claims: Iterable[Holding], metered: bool = False) -> int:
    """How long between beats: a third of the shortest lease or lost_after; with best-effort work alone five minutes, or
    a quarter of an hour where the link costs by the byte."""
    times = [claim.length_ms for claim in claims] + [
        app.ha.lost_after_ms for app in apps if app.ha is not None
    ]
    return max(min(times) // 3, BEAT_LEAST_MS) if times else (BEAT_METERED_MS if metered else BEAT_IDLE_MS)


def pace(node: NodeId) -> float:
    """What a node shortens its intervals by: from 0.9 to 1. Nodes that once beat together, as after a start of their
    hub, drift apart, and not all of a region's beats come in one moment of every five minutes."""
    return 1 - int.from_bytes(hashlib.sha256(node.encode()).digest()[:4], "big") / (10 << 32)


def booted(state: Grants | None, boot: str) -> Grants:
    """The state at the agent's start. Another boot has no grants, and nothing of the last one runs; the term stays."""
    if state is not None and state.boot == boot:
        return state
    return Grants(boot, term=state.term if state else 0)


def assigned(state: Grants, accepted: Iterable[Holding], applied: Iterable[Holding]) -> Outcome:
    """What the accepted and the applied assignment hold has changed.

    A claim that leaves both is named until `stopped` says that its unit is down. An instance that changes its length is
    down before it is applied at the new one, so its old length is not named after that.
    """
    now = tuple(dict.fromkeys((*accepted, *applied)))
    ids = {one.instance for one in now}
    before = (*state.holdings, *state.former)
    former = tuple(dict.fromkeys(one for one in before if one.instance not in ids))
    known = {one.length_ms for one in before}
    fresh = any(one.length_ms not in known or one not in before for one in now)
    state, closed = _closed(structs.replace(state, holdings=now, former=former))
    return state, (*closed, *((BeatNow(),) if fresh else ()))


def stopped(state: Grants, instance: InstanceId) -> Outcome:
    """The unit of an instance is known to be down. It matters for those that are no longer assigned."""
    former = tuple(one for one in state.former if one.instance != instance)
    if former == state.former:
        return state, ()
    state, closed = _closed(structs.replace(state, former=former))
    return state, (*closed, BeatNow())


def _closed(state: Grants) -> Outcome:
    """Leases that no claim needs are given up."""
    needed = {one.length_ms for one in state.claims()}
    over = tuple(one for one in state.live if one.length_ms not in needed)
    kept = tuple(one for one in state.live if one.length_ms in needed)
    return structs.replace(state, live=kept), tuple(CloseLease(one.length_ms) for one in over)


def beat_sent(state: Grants, at_ms: int) -> tuple[Grants, int]:
    """A beat is about to be sent; the number says which one a reply answers. `at_ms` must be read before sending."""
    number = state.next_beat
    sent = dict(list({**state.sent, str(number): at_ms}.items())[-SENT_MAX:])
    return structs.replace(state, next_beat=number + 1, sent=sent), number


def replied(state: Grants, beat: int, reply: BeatReply, at_ms: int) -> Outcome:
    """The answer to a beat. A lower term, or an answer to an older beat than the last answered one, is ignored."""
    sent_ms = state.sent.get(str(beat))
    if sent_ms is None or reply.term < state.term:
        return state, ()
    waiting = {number: at for number, at in state.sent.items() if int(number) > beat}
    state = structs.replace(state, term=reply.term, reply=reply.number, sent=waiting)
    state = ticked(state, at_ms)
    actions: list[Action] = []
    for length_ms in sorted(set(reply.grants) & {one.length_ms for one in state.claims()}):
        deadline_ms, before_ms = sent_ms + length_ms, state.deadline(length_ms)
        if deadline_ms > at_ms and (before_ms is None or deadline_ms > before_ms):
            actions.append(ArmLease(length_ms, deadline_ms, opens=before_ms is None))
            others = tuple(one for one in state.live if one.length_ms != length_ms)
            state = structs.replace(state, live=(*others, Live(length_ms, deadline_ms)))
    return state, tuple(actions)


def lease_ended(state: Grants, length_ms: int) -> Grants:
    """The lease target of this length was seen inactive: by its timer, before sleep, or by an admin.

    It is not opened again by what was granted before: to start it while the machine goes to sleep would cancel that.
    """
    return structs.replace(state, live=tuple(one for one in state.live if one.length_ms != length_ms))


def ticked(state: Grants, at_ms: int) -> Grants:
    """Leases whose deadline has come are over: systemd has ended them."""
    return structs.replace(state, live=tuple(one for one in state.live if one.deadline_ms > at_ms))
