"""Where each instance is on its way to healthy, and what of that is new. Pure.

Owns the node's newest word on every (instance, step). Only a change is reported: on a metered link a step that repeats
itself costs. Sequence numbers only grow, also over an agent's restart, so the book is kept on disk with the outbox.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field, structs

from skerry_protocol.ids import InstanceId
from skerry_protocol.messages import Instance, Step, StepName, StepState, Version


class Book(Struct, frozen=True, omit_defaults=True):
    """The newest step of each name, per instance, and the last number given."""

    seq: int = 0
    steps: dict[InstanceId, dict[StepName, Step]] = field(default_factory=dict)


def note(
    book: Book,
    instance: Instance,
    revision: int,
    version: Version,
    step: StepName,
    state: StepState,
    now_ms: int,
    reason: str = "",
) -> tuple[Book, Step | None]:
    """A step is in this state now (`now_ms`: wall clock). None where the book says so already.

    `since_ms` stays while revision and state do, so that the age of a wedged step is true.
    """
    old = book.steps.get(instance.id, {}).get(step)
    same = old is not None and (old.revision, old.state) == (revision, state)
    if old is not None and same and old.reason == reason:
        return book, None
    since = old.since_ms if old is not None and same else now_ms
    new = Step(instance.id, instance.app, revision, step, state, version, book.seq + 1, since, reason)
    of_one = {**book.steps.get(instance.id, {}), step: new}
    return Book(book.seq + 1, {**book.steps, instance.id: of_one}), new


def booted(book: Book) -> Book:
    """The book at a new boot: nothing that ran runs, so what starts now is news, with a `since_ms` of its own."""
    running = {StepName.STARTED, StepName.HEALTHY}
    before = {
        name: {step: told for step, told in of_one.items() if step not in running}
        for name, of_one in book.steps.items()
    }
    return structs.replace(book, steps=before)


def forget(book: Book, keep: Iterable[InstanceId]) -> Book:
    """The book without the instances that are not in `keep`."""
    kept = set(keep)
    return structs.replace(book, steps={name: steps for name, steps in book.steps.items() if name in kept})


def reached(book: Book, instance: InstanceId) -> Step | None:
    """The first step, in order, that is not done; the last one where all are. None: nothing is known."""
    steps = book.steps.get(instance, {})
    for name in StepName:
        step = steps.get(name)
        if step is not None and step.state is not StepState.DONE:
            return step
    return max(steps.values(), key=lambda step: list(StepName).index(step.step), default=None)
