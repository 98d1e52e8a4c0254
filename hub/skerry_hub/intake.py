"""Takes what nodes say into the store: facts from beats, steps and events from reports. Decides nothing by them.

A beat writes only where it says something new. A report's entries and the number of the last one are one commit, so
that an entry that comes again changes nothing. What a node says about an instance that is not its own is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from skerry_protocol.ids import InstanceId, NodeId, NodeName
from skerry_protocol.messages import Beat, Entry, Event, ReportBatch, Step, StepName, StepState

from .journal import Happened, note
from .model import Fact, StepRow
from .store import Owner, Store, Transaction, View, Writer, rows
from .store import schema as s
from .store.store import Values

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

    async def heard(self, beats: Mapping[NodeId, Beat]) -> bool:
        """Stores what is new in beats, in one commit; whether there was something. Unknown nodes are left out."""
        said = [_fact(node, beat) for node, beat in beats.items() if self.is_new(node, beat)]
        if not said:
            return False
        async with self._store.write() as tx:
            names = await rows.names(tx, (fact.node for fact in said))
            known = [fact for fact in said if fact.node in names]
            hand = tx.as_owner(Owner.INTAKE)
            await rows.put_facts(hand, known)
            for fact in known:
                await note(hand, *_said(names[fact.node], self.facts.get(fact.node), fact))
        self.facts.update((fact.node, fact) for fact in known)
        return bool(known)

    async def report(self, *reports: tuple[NodeId, ReportBatch]) -> None:
        """Stores the entries that are new, of all of them in one commit. Returns after it."""
        async with self._store.write() as tx:
            names = await rows.names(tx, (node for node, _ in reports))
            seen = await rows.outboxes(tx, names)
            fresh: list[tuple[NodeId, Entry]] = []
            told: dict[tuple[NodeId, str], int] = {}
            for node, batch in reports:
                key = (node, batch.outbox)
                last = told.get(key, seen.get(key, 0))
                new = sorted((one for one in batch.entries if one.seq > last), key=lambda one: one.seq)
                if node in names and new:
                    fresh += ((node, entry) for entry in new)
                    told[key] = new[-1].seq
            if fresh:
                hand = tx.as_owner(Owner.INTAKE)
                await _entries(tx, hand, names, fresh)
                await hand.put_all(s.outboxes, (_outbox(*key, seq) for key, seq in told.items()))


def _outbox(node: NodeId, outbox: str, seq: int) -> Values:
    return {"node": node, "outbox": outbox, "seq": seq}


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


async def _entries(
    tx: Transaction, hand: Writer, names: Mapping[NodeId, NodeName], entries: Sequence[tuple[NodeId, Entry]]
) -> None:
    """A few statements for all of them: there may be hundreds, and this is most of what a report costs."""
    instances = {entry.step.instance for _, entry in entries if entry.step is not None}
    until_ms = await _until_ms(tx, instances)
    known = await rows.steps_of(tx, {instance for _, instance in until_ms})
    new: dict[tuple[InstanceId, StepName], StepRow] = {}
    said: list[Happened] = []
    for node, entry in entries:
        step = entry.step
        if step is not None and (node, step.instance) in until_ms and _is_newer(step, known):
            known[step.instance, step.step] = step
            new[step.instance, step.step] = StepRow(node, step)
            said += _failed(step, names[node], until_ms[node, step.instance])
        if entry.event is not None:
            said.append(_event(entry.event, names[node]))
    await hand.put_all(s.steps, (rows.step_values(row.node, row.step) for row in new.values()))
    await note(hand, *said)


def _is_newer(step: Step, known: Mapping[tuple[InstanceId, StepName], Step]) -> bool:
    kept = known.get((step.instance, step.step))
    return kept is None or (kept.generation, kept.seq) < (step.generation, step.seq)


def _event(event: Event, name: NodeName) -> Happened:
    times = f" ({event.count} times)" if event.count > 1 else ""
    text = (_short(event.text) or event.code) + times
    return Happened(event.code[:60], text, event.app, name, event.instance, name, at_ms=event.at_ms)


def _failed(step: Step, name: NodeName, until_ms: float) -> list[Happened]:
    """A copy that was to end is stopped: that is no failure of a step."""
    if step.state is not StepState.FAILED or step.since_ms >= until_ms:
        return []
    text = f"{step.instance}: {step.step} failed: {_short(step.reason)}"
    return [Happened("step-failed", text, step.app, name, step.instance, name, at_ms=step.since_ms)]


async def _until_ms(view: View, instances: Iterable[InstanceId]) -> dict[tuple[NodeId, InstanceId], float]:
    """Until when each copy was to be on its node; those that never were anywhere are left out."""
    ends = await rows.ends(view, instances)
    return {
        (node, instance): math.inf if ended_ms is None else ended_ms
        for instance, (node, ended_ms) in ends.items()
    }


def _short(text: str | None) -> str | None:
    return None if text is None else text[:TEXT_MAX]
