"""What the node has still to tell the hub, and what of it may be merged.

Pure. An entry gets its number when it is first sent, and from then on never changes: the hub takes each (outbox, seq)
once. What was never sent merges: a newer step of an instance takes the older one's place, equal events are counted.
So weeks offline cost a bounded outbox, and the hub still learns how things stand. Steps are never dropped; events
beyond the bound are, oldest first, and the number dropped is said.
"""

from __future__ import annotations

from msgspec import Struct, structs

from skerry_protocol.ids import InstanceId
from skerry_protocol.messages import Entry, Event, ReportBatch, Step, StepName

EVENTS_MAX = 2_000
BATCH_MAX = 200
BATCH_BYTES = 400_000  # of all texts in one batch, which has to stay far below NATS's 1 MiB
TEXT_MAX = 2_000  # characters of one text

Key = tuple[InstanceId, StepName]


class Outbox(Struct, frozen=True, omit_defaults=True):
    """`sent` holds numbered entries without an answer yet; `steps` and `events` were never sent.

    `next_seq` only grows. `dropped` counts events lost to the bound since the last was told.
    """

    id: str
    next_seq: int = 1
    sent: tuple[Entry, ...] = ()
    steps: tuple[Step, ...] = ()
    events: tuple[Event, ...] = ()
    dropped: int = 0

    @property
    def empty(self) -> bool:
        """Whether nothing is left to say."""
        return not (self.sent or self.steps or self.events or self.dropped)


def add_step(box: Outbox, step: Step) -> Outbox:
    """The step waits to be sent, in place of an older unsent one of the same instance and name."""
    step = structs.replace(step, reason=step.reason[:TEXT_MAX])
    kept = tuple(old for old in box.steps if _key(old) != _key(step))
    newest = max((old for old in box.steps if _key(old) == _key(step)), key=_order, default=step)
    return structs.replace(box, steps=(*kept, step if _order(step) >= _order(newest) else newest))


def add_event(box: Outbox, event: Event) -> Outbox:
    """The event waits to be sent; an unsent one alike is counted up and takes the newer text and moment."""
    event = structs.replace(event, text=event.text[:TEXT_MAX])
    alike = next((old for old in box.events if _alike(old, event)), None)
    if alike is not None:
        event = structs.replace(event, count=alike.count + event.count)
    events = (*(old for old in box.events if old is not alike), event)
    surplus = max(0, len(events) - EVENTS_MAX)
    return structs.replace(box, events=events[surplus:], dropped=box.dropped + surplus)


def next_batch(box: Outbox, now_ms: int) -> tuple[Outbox, ReportBatch | None]:
    """What to send now. What was sent without an answer is sent again as it was, before anything new.

    Keep the returned outbox on disk before sending the batch: a number must not be given twice.
    """
    if box.sent:
        return box, ReportBatch(box.id, box.sent)
    if box.dropped:
        box = _told_of_loss(box, now_ms)
    fitting = _fitting([step.reason for step in box.steps] + [event.text for event in box.events])
    steps, events = box.steps[:fitting], box.events[: max(0, fitting - len(box.steps))]
    if not steps and not events:
        return box, None
    contents = [*({"step": step} for step in steps), *({"event": event} for event in events)]
    entries = tuple(Entry(seq, **content) for seq, content in enumerate(contents, box.next_seq))  # type: ignore[arg-type]
    box = structs.replace(
        box,
        next_seq=box.next_seq + len(entries),
        sent=entries,
        steps=box.steps[len(steps) :],
        events=box.events[len(events) :],
    )
    return box, ReportBatch(box.id, entries)


def _fitting(texts: list[str]) -> int:
    """How many of these, from the first, go into one batch: at least one."""
    size = 0
    for count, text in enumerate(texts[:BATCH_MAX]):
        size += len(text.encode(errors="replace"))
        if size > BATCH_BYTES:
            return max(1, count)
    return min(len(texts), BATCH_MAX)


def acknowledged(box: Outbox, batch: ReportBatch) -> Outbox:
    """The transport has taken `batch`: its entries are done with. Another outbox's answer changes nothing."""
    if batch.outbox != box.id or not batch.entries:
        return box
    last = batch.entries[-1].seq
    return structs.replace(box, sent=tuple(entry for entry in box.sent if entry.seq > last))


def _told_of_loss(box: Outbox, now_ms: int) -> Outbox:
    text = f"{box.dropped} older events were dropped: the outbox keeps {EVENTS_MAX} while the hub is away"
    loss = Event("outbox-full", text, now_ms, count=box.dropped)
    return structs.replace(box, events=(loss, *box.events), dropped=0)


def _key(step: Step) -> Key:
    return step.instance, step.step


def _order(step: Step) -> tuple[object, int]:
    return step.generation, step.seq


def _alike(old: Event, new: Event) -> bool:
    return (old.code, old.app, old.instance) == (new.code, new.app, new.instance)
