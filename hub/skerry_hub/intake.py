"""Takes what nodes say into the store: facts from beats, steps and events from reports. Decides nothing by them.

A beat writes only where it says something new. A report's entries and the number of the last one are one commit, so
that an entry that comes again changes nothing. What a node says about an instance that is not its own is dropped.
"""

from __future__ import annotations

import math

from sqlalchemy import select

from skerry_protocol.ids import InstanceId, NodeId
from skerry_protocol.messages import Beat, Entry, ReportBatch, Step, StepState

from .journal import Happened, note
from .model import Fact
from .store import Owner, Store, Transaction, Writer, rows
from .store import schema as s

TEXT_MAX = 2_000


class Intake:
    """Remembers the facts as stored, so that a beat with nothing new costs no reading either."""

    def __init__(self, store: Store, facts: list[Fact]) -> None:
        self._store = store
        self.facts: dict[NodeId, Fact] = {fact.node: fact for fact in facts}

    @classmethod
    async def open(cls, store: Store) -> Intake:
        """With the facts of the last commit."""
        async with store.read() as view:
            return cls(store, await rows.facts(view))

    def is_new(self, node: NodeId, beat: Beat) -> bool:
        """Whether the beat says something that is not stored."""
        return self.facts.get(node) != _fact(node, beat)

    async def heard(self, node: NodeId, beat: Beat) -> bool:
        """Stores what is new in a beat; whether there was something. Raises nothing for a node that is unknown."""
        fact = _fact(node, beat)
        before = self.facts.get(node)
        if fact == before:
            return False
        async with self._store.write() as tx:
            row = await rows.node(tx, node)
            if row is None:
                return False
            hand = tx.as_owner(Owner.INTAKE)
            await rows.put_fact(hand, fact)
            await note(hand, *_said(row.name, before, fact))
        self.facts[node] = fact
        return True

    async def report(self, node: NodeId, batch: ReportBatch) -> None:
        """Stores the entries that are new. Returns after the commit."""
        async with self._store.write() as tx:
            row = await rows.node(tx, node)
            if row is None:
                return
            t = s.outboxes
            found = await tx.one(select(t.c.seq).where(t.c.node == node, t.c.outbox == batch.outbox))
            last = found[0] if found and isinstance(found[0], int) else 0
            fresh = sorted(
                (entry for entry in batch.entries if entry.seq > last), key=lambda entry: entry.seq
            )
            if not fresh:
                return
            hand = tx.as_owner(Owner.INTAKE)
            for entry in fresh:
                await _entry(tx, hand, node, row.name, entry)
            await hand.put(t, {"node": node, "outbox": batch.outbox, "seq": fresh[-1].seq})


def _fact(node: NodeId, beat: Beat) -> Fact:
    return Fact(node, beat.accepted, beat.applied, beat.overrides, _short(beat.refused))


def _said(name: str, before: Fact | None, now: Fact) -> list[Happened]:
    """The events that a change of facts is: a new refusal, a new override, the end of one."""
    events = []
    if now.refused and (before is None or before.refused != now.refused):
        events.append(Happened("node-refused", f"{name} refused an assignment: {now.refused}", node=name))
    old = {(one.instance, one.revision): one for one in (before.overrides if before else ())}
    new = {(one.instance, one.revision): one for one in now.overrides}
    for key, one in new.items():
        if key not in old:
            text = f"{name} runs {one.instance} by its own word, not at revision {one.revision}: {one.reason}"
            events.append(
                Happened("override", text[:TEXT_MAX], one.app, name, one.instance, f"{one.by}@{name}")
            )
    for key, one in old.items():
        if key not in new:
            text = f"{name} ended its own word on {one.instance}, revision {one.revision}"
            events.append(Happened("override-ended", text, one.app, name, one.instance))
    return events


async def _entry(tx: Transaction, hand: Writer, node: NodeId, name: str, entry: Entry) -> None:
    if entry.step is not None and (placed := await _placed(tx, node, entry.step.instance)) is not None:
        await _step(tx, hand, node, name, entry.step, placed)
    if entry.event is not None:
        event = entry.event
        times = f" ({event.count} times)" if event.count > 1 else ""
        text = (_short(event.text) or event.code) + times
        await note(
            hand, Happened(event.code[:60], text, event.app, name, event.instance, name, at_ms=event.at_ms)
        )


async def _placed(tx: Transaction, node: NodeId, instance: InstanceId) -> float | None:
    """Until when the copy was to be on the node, in ms; None where it never was."""
    t = s.placements
    row = await tx.one(select(t.c.node, t.c.ended_at_ms).where(t.c.instance == instance))
    if row is None or row[0] != node:
        return None
    return row[1] if isinstance(row[1], int) else math.inf


async def _step(tx: Transaction, hand: Writer, node: NodeId, name: str, step: Step, until_ms: float) -> None:
    """A copy that was to end is stopped: that is no failure of a step."""
    t = s.steps
    row = await tx.one(select(t.c.doc).where(t.c.instance == step.instance, t.c.step == step.step.value))
    if row is not None:
        kept = rows.load(Step, row[0])
        if (kept.generation, kept.seq) >= (step.generation, step.seq):
            return
    values = {"instance": step.instance, "step": step.step.value, "node": node, "app": step.app}
    await hand.put(t, {**values, "doc": rows.dump(step)})
    if step.state is StepState.FAILED and step.since_ms < until_ms:
        text = f"{step.instance}: {step.step} failed: {_short(step.reason)}"
        await note(
            hand, Happened("step-failed", text, step.app, name, step.instance, name, at_ms=step.since_ms)
        )


def _short(text: str | None) -> str | None:
    return None if text is None else text[:TEXT_MAX]
