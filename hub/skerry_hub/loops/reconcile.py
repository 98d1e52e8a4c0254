"""Runs the control loops: one at a time, each in one transaction, whenever something that they read was committed.

Order in a run: load the state, run the graph (`loops`), write what changed by the hand of each step's owner, commit,
publish. A run that fails changes nothing, says so, and is tried again with the next change or after a while. An
operator's change of apps makes its run in its own transaction (`load`, `decide`, `keep`): one commit for both.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import msgspec

from skerry_protocol.ids import NodeId
from skerry_protocol.messages import Issued

from ..clock import monotonic_ms, now_ms
from ..identity import Identity
from ..journal import Happened, note
from ..model import AssignmentRow, Fact, NodeRow, Placement
from ..network.region import Door
from ..store import Owner, Store, Transaction, View, rows
from ..store import schema as s
from . import loops
from .loops import Moment, Outcome, State
from .reading import ASSIGNMENTS, Reading, with_issued

LOG = logging.getLogger(__name__)

# What the loops read; what they write themselves is not here, or they would never rest.
READ = frozenset({"apps", "nodes", "facts", "losses", "steps", "meta", "paused"})
KEPT_ASSIGNMENTS = 5
RETRY_S = 5.0
LINGER_S = 0.02
RESTS = 9  # times as long as a run took: with thousands of nodes the rest of the hub needs the processor too
REST_MOST_S = 10.0
CAN_WAIT = frozenset({"facts", "steps"})  # what nodes say when they did as they were told
CAUGHT_UP_S = 5.0


class Reconciler:
    """`kick` asks for a run; `last` is what the last one decided."""

    def __init__(
        self,
        store: Store,
        identity: Identity,
        moment: Callable[[Moment], Moment],
        publish: Callable[[list[NodeId]], None],
        done: Callable[[State, Outcome], None],
        door: Door | None = None,
    ) -> None:
        """`moment` adds to a bare Moment what was heard; `publish` gets the nodes with new assignments.

        `door`: how nodes come in by tunnels, if they do.
        """
        self.last: Outcome | None = None
        self.trouble: str | None = None
        self.runs = 0
        self._store = store
        self._identity = identity
        self._moment = moment
        self._publish = publish
        self._done = done
        self._door = door
        self._wanted = asyncio.Event()
        self._pressing = asyncio.Event()
        self._ran = asyncio.Event()
        self._begun = self._over = 0
        self._rested_ms = 0
        self._reading = Reading(identity)
        store.on_commit(self._committed)

    def kick(self, pressing: bool = True) -> None:
        """Asks for a run soon; one that is not pressing waits until the loops have rested from the last."""
        self._wanted.set()
        if pressing:
            self._pressing.set()

    def _committed(self, tables: frozenset[str]) -> None:
        if tables & READ:
            self.kick(bool(tables & (READ - CAN_WAIT)))

    async def _rest(self) -> None:
        """Changes that come together are one run. With many nodes there is always one, and nearly all can wait."""
        left_s = self._rested_ms / 1000 - monotonic_ms() / 1000
        if left_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._pressing.wait()

    def _tired(self, took_ms: int) -> None:
        """A run took this long, in whose transaction ever."""
        self._rested_ms = monotonic_ms() + min(RESTS * took_ms, int(REST_MOST_S * 1000))

    async def run(self) -> None:
        """Runs the loops until cancelled."""
        while True:
            await self._wanted.wait()
            await self._rest()
            self._wanted.clear()
            self._pressing.clear()
            try:
                began = monotonic_ms()
                await self.once()
                self.trouble = None
                self._tired(monotonic_ms() - began)
                await asyncio.sleep(LINGER_S)
            except Exception as error:
                self.trouble = f"the control loops failed: {type(error).__name__}: {error}"
                LOG.exception("the control loops failed (they are run again in %.0f s)", RETRY_S)
                await asyncio.sleep(RETRY_S)
                self.kick()

    async def once(self) -> Outcome:
        """One run, committed."""
        self._begun = number = self._begun + 1
        async with self._store.write() as tx:
            state = await self.load(tx)
            outcome = await self.decide(state)
            await self.keep(tx, state, outcome)
        self._over = max(self._over, number)
        self._ran.set()
        self._ran = asyncio.Event()
        return outcome

    async def decide(self, state: State) -> Outcome:
        """What the loops make of `state` now; nothing is written."""
        began = monotonic_ms()
        outcome = await asyncio.to_thread(loops.run, state, self.bare_moment())
        self._tired(monotonic_ms() - began)
        return outcome

    async def keep(self, tx: Transaction, state: State, outcome: Outcome) -> None:
        """Writes what was decided on `state`, which is how `tx` leaves the store; it is sent once that is committed.

        The commit asks for no other run then, unless keeping this changed what the loops read.
        """
        if not await _write(tx, state, outcome):
            tx.knowing.add(self._committed)
        tx.then.append(lambda: self._kept(state, outcome))

    def _kept(self, state: State, outcome: Outcome) -> None:
        self.runs += 1
        self.last = outcome
        if outcome.assignments:
            self._publish([row.node for row in outcome.assignments])
        self._done(state, outcome)

    async def caught_up(self, within_s: float = CAUGHT_UP_S) -> None:
        """Returns when what was committed before has been decided upon, or after a while."""
        wanted = self._begun + 1  # one that runs now may have begun before
        self.kick()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._over < wanted:
                    await self._ran.wait()

    def bare_moment(self) -> Moment:
        """This run's Moment."""
        identity = self._identity
        now = Moment(now_ms(), lambda: os.urandom(10), identity.hub_key, identity.delegation, door=self._door)
        return self._moment(now)

    async def load(self, view: View) -> State:
        """All that the loops read."""
        return await self._reading.state(view)


async def _write(tx: Transaction, state: State, outcome: Outcome) -> bool:
    """What the run changed, by the hand of each owner. Whether the loops read any of it, and have to look again."""
    await _placements(tx, state, outcome)
    before = {(row.app, row.number): row for row in state.claims}
    new = [row for row in outcome.claims if before.get((row.app, row.number)) != row]
    await tx.as_owner(Owner.CLAIM).put_all(s.claims, map(rows.claim_values, new))
    if outcome.assignments:
        await issue(tx, outcome.assignments, state.facts)
    confirmed = await _confirmed(tx, state, outcome)
    return await _overwritten(tx, state) or confirmed


async def _placements(tx: Transaction, state: State, outcome: Outcome) -> None:
    hand = tx.as_owner(Owner.SCHEDULE)
    names = {node.id: node.name for node in state.nodes}
    before = {one.instance: one for one in state.placements}
    moves = []
    for ended, reason in outcome.schedule.ended:
        await rows.end_placement(hand, ended, now_ms(), reason)
        moves.append(_moved(ended, names.get(ended.node) or ended.node, "ended", reason))
    new = [one for one in outcome.schedule.placements if one.instance not in before]
    changed = [one for one in outcome.schedule.placements if before.get(one.instance, one) != one]
    # Thousands may change at once: one statement for all of them, else this is most of the run.
    await hand.add(s.placements, map(rows.placement_values, new))
    await hand.put_all(s.placements, map(rows.placement_values, changed))
    moves += [_moved(one, names.get(one.node) or one.node, "placed", one.reason) for one in new]
    await note(hand, *moves)


def _moved(one: Placement, node: str, what: str, reason: str) -> Happened:
    text = f"{one.instance} was {'placed on' if what == 'placed' else 'ended on'} {node}: {reason}"
    return Happened(f"copy-{what}", text, one.app, node, one.instance, "schedule")


async def issue(tx: Transaction, new: Sequence[AssignmentRow], facts: Mapping[NodeId, Fact]) -> None:
    """New assignments. Those older than the accepted one go, but for a few: `since` never reaches back to them."""
    before = await tx.whole(ASSIGNMENTS)
    old = {
        (row.node, one)
        for row in new
        for one in _droppable([kept.issued for kept in before.by_node.get(row.node, ())], facts.get(row.node))
    }
    hand = tx.as_owner(Owner.SIGN)
    await hand.add(s.assignments, map(rows.assignment_values, new))
    await hand.drop_all(s.assignments, ({"node": node, "digest": one.digest.hex()} for node, one in old))
    # After a change to all, to read all of them anew would hold everything else up for a second.
    tx.knows(ASSIGNMENTS, with_issued(before, new, old))


def _droppable(issued: list[Issued], fact: Fact | None) -> list[Issued]:
    """What a node cannot be running or come to run any more, but for the last few."""
    if fact is None or fact.applied is None or fact.accepted is None:
        return []
    oldest = min(fact.applied.version, fact.accepted.version)
    return [one for one in issued[:-KEPT_ASSIGNMENTS] if one.version < oldest]


async def _confirmed(tx: Transaction, state: State, outcome: Outcome) -> bool:
    """An operator's confirmation is used up once the node accepted what it was for."""
    new = {row.node for row in outcome.assignments}
    used = [
        node
        for node in state.nodes
        if node.confirmed_by is not None and node.id not in new and _settled(node, state)
    ]
    for node in used:
        row = msgspec.structs.replace(node, confirmed_by=None)
        await rows.put_node(tx.as_owner(Owner.OPERATORS), row)
    return bool(used)


async def _overwritten(tx: Transaction, state: State) -> bool:
    """An operator's overwriting is over once the node accepted something newer than what was to be overwritten.

    Not once it holds something known: until it beats, the facts here are the ones that came with the backup.
    """
    over = [
        node
        for node, issued in state.overwrites.items()
        if (fact := state.facts.get(node)) is not None
        and fact.accepted is not None
        and fact.accepted.version > issued.version
    ]
    for node in over:
        await tx.as_owner(Owner.RESUME).drop(s.paused, s.paused.c.node == node)
    return bool(over)


def _settled(node: NodeRow, state: State) -> bool:
    issued, fact = state.issued.get(node.id, ()), state.facts.get(node.id)
    return bool(issued) and fact is not None and fact.accepted == issued[-1].issued
