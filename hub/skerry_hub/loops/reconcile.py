"""Runs the control loops: one at a time, each in one transaction, whenever something that they read was committed.

Order in a run: load the state, run the graph (`loops`), write what changed by the hand of each step's owner, commit,
publish. A run that fails changes nothing, says so, and is tried again with the next change or after a while.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec

from skerry_protocol.app import App
from skerry_protocol.ids import AppName, NodeId
from skerry_protocol.messages import Issued

from ..clock import now_ms
from ..identity import Identity
from ..journal import Happened, note, revision
from ..model import AppRow, AssignmentRow, Fact, NodeRow, Placement
from ..restoring import paused
from ..store import Owner, Store, StoreError, Transaction, View, rows
from ..store import schema as s
from . import loops
from .loops import Moment, Outcome, State

LOG = logging.getLogger(__name__)

# What the loops read; what they write themselves is not here, or they would never rest.
READ = frozenset({"apps", "nodes", "facts", "losses", "steps", "meta", "paused"})
KEPT_ASSIGNMENTS = 5
RETRY_S = 5.0
LINGER_S = 0.02
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
    ) -> None:
        """`moment` adds to a bare Moment what was heard; `publish` gets the nodes with new assignments."""
        self.last: Outcome | None = None
        self.trouble: str | None = None
        self.runs = 0
        self._store = store
        self._identity = identity
        self._moment = moment
        self._publish = publish
        self._done = done
        self._wanted = asyncio.Event()
        self._ran = asyncio.Event()
        self._begun = self._over = 0
        self._revisions: dict[tuple[AppName, int], AppRow] = {}
        store.on_commit(self._committed)

    def kick(self) -> None:
        """Asks for a run soon."""
        self._wanted.set()

    def _committed(self, tables: frozenset[str]) -> None:
        if tables & READ:
            self.kick()

    async def run(self) -> None:
        """Runs the loops until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.once()
                self.trouble = None
                await asyncio.sleep(LINGER_S)  # changes that come together are one run
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
            outcome = await asyncio.to_thread(loops.run, state, self.bare_moment())
            await _write(tx, state, outcome)
        self.runs += 1
        self.last = outcome
        if outcome.assignments:
            self._publish([row.node for row in outcome.assignments])
        self._done(state, outcome)
        self._over = max(self._over, number)
        self._ran.set()
        self._ran = asyncio.Event()
        return outcome

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
        now = Moment(now_ms(), lambda: os.urandom(10), self._identity.hub_key, self._identity.delegation)
        return self._moment(now)

    async def load(self, view: View) -> State:
        """All that the loops read."""
        mesh = await rows.mesh(view)
        if mesh is None:
            raise StoreError("cannot run: the store has no mesh")
        placements = await rows.placements(view)
        apps = await rows.apps(view)
        issued = await rows.issued(view)
        held = await paused.paused_rows(view)
        by_node: dict[NodeId, list[AssignmentRow]] = {}
        for row in issued:
            by_node.setdefault(row.node, []).append(row)
        live = {one.instance for one in placements}
        gone = {instance for row in issued for instance in row.instances} - live
        used = {(one.app, one.revision) for one in placements}
        used |= {(copy.app, copy.revision) for row in issued for copy in row.copies}
        return State(
            mesh=mesh,
            apps=apps,
            revisions=await self._all_revisions(view, apps, used),
            nodes=[msgspec.structs.replace(one, region=mesh.region) for one in await rows.nodes(view)],
            facts={fact.node: fact for fact in await rows.facts(view)},
            losses=await rows.losses(view),
            placements=placements,
            claims=await rows.claims(view),
            issued=by_node,
            steps=await rows.steps(view, live=True),
            words=await rows.words(view, gone),
            paused=frozenset(one.node for one in held if not one.overwrite),
            unshown=frozenset(one.node for one in held if one.envelope is None),
            overwrites={one.node: one.issued for one in held if one.overwrite},
            holds={one.node: paused.holds(self._identity, one) for one in held if one.overwrite},
        )

    async def _all_revisions(
        self, view: View, apps: list[AppRow], used: Iterable[tuple[AppName, int]]
    ) -> dict[tuple[AppName, int], AppRow]:
        """The revisions that copies run, and the newest of each app. One never changes, so that it is read once."""
        for row in apps:
            self._revisions[row.name, row.revision] = row
        for name, number in used:
            found = None if (name, number) in self._revisions else await _revision(view, name, number)
            if found is not None:
                self._revisions[name, number] = found
        return dict(self._revisions)


async def _revision(view: View, name: AppName, number: int) -> AppRow | None:
    found = await revision(view, "app", name, number)
    if found is None:
        return None
    app = None if found.content is None else msgspec.json.decode(bytes(found.content), type=App)
    return AppRow(name, number, app, found.changer, found.reason, found.at_ms)


async def _write(tx: Transaction, state: State, outcome: Outcome) -> None:
    """What the run changed, by the hand of each owner."""
    await _placements(tx, state, outcome)
    before = {(row.app, row.number): row for row in state.claims}
    new = [row for row in outcome.claims if before.get((row.app, row.number)) != row]
    await tx.as_owner(Owner.CLAIM).put_all(s.claims, map(rows.claim_values, new))
    sign = tx.as_owner(Owner.SIGN)
    await sign.add(s.assignments, (rows.assignment_values(row) for row in outcome.assignments))
    await _prune(tx, state, outcome)
    await _confirmed(tx, state, outcome)
    await _overwritten(tx, state)


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


async def _prune(tx: Transaction, state: State, outcome: Outcome) -> None:
    """Assignments older than the accepted one go, except the last few: `since` never reaches back to them."""
    hand = tx.as_owner(Owner.SIGN)
    t = s.assignments
    for new in outcome.assignments:
        kept = state.issued.get(new.node, ())
        old = _droppable([row.issued for row in kept], state.facts.get(new.node))
        for one in old:
            await hand.drop(t, t.c.node == new.node, t.c.digest == one.digest.hex())


def _droppable(issued: list[Issued], fact: Fact | None) -> list[Issued]:
    """What a node cannot be running or come to run any more, but for the last few."""
    if fact is None or fact.applied is None or fact.accepted is None:
        return []
    oldest = min(fact.applied.version, fact.accepted.version)
    return [one for one in issued[:-KEPT_ASSIGNMENTS] if one.version < oldest]


async def _confirmed(tx: Transaction, state: State, outcome: Outcome) -> None:
    """An operator's confirmation is used up once the node accepted what it was for."""
    new = {row.node for row in outcome.assignments}
    hand = tx.as_owner(Owner.OPERATORS)
    for node in state.nodes:
        if node.confirmed_by is not None and node.id not in new and _settled(node, state):
            await rows.put_node(hand, msgspec.structs.replace(node, confirmed_by=None))


async def _overwritten(tx: Transaction, state: State) -> None:
    """An operator's overwriting is over once the node accepted something newer than what was to be overwritten.

    Not once it holds something known: until it beats, the facts here are the ones that came with the backup.
    """
    hand = tx.as_owner(Owner.RESUME)
    for node, over in state.overwrites.items():
        fact = state.facts.get(node)
        if fact is not None and fact.accepted is not None and fact.accepted.version > over.version:
            await hand.drop(s.paused, s.paused.c.node == node)


def _settled(node: NodeRow, state: State) -> bool:
    issued, fact = state.issued.get(node.id, ()), state.facts.get(node.id)
    return bool(issued) and fact is not None and fact.accepted == issued[-1].issued
