"""What a change does, in lines: pure. The words are the hub's own (`changes`); the order is from mild to hard."""

from __future__ import annotations

from collections.abc import Iterator

from ..api.views import ApplyView
from ..loops.telling import Kind
from .progress import Wanted

ORDER = list(Kind)
WIDTH = max(map(len, Kind))


AS_FILE = "nothing changes: all apps are as the file says"


def lines(view: ApplyView, same: str = AS_FILE) -> Iterator[str]:
    """Every change (`same`: there is none), then what the hub wants to be known: prices, copies without a place."""
    if not view.changes:
        yield same
    for change in sorted(view.changes, key=lambda one: (ORDER.index(one.kind), one.app)):
        kind = "-" if change.kind is Kind.NONE else change.kind.value
        yield f"  {kind.ljust(WIDTH)}  {change.text}"
    yield from (f"  note: {note}" for note in view.notes)


def wanted_of(view: ApplyView) -> tuple[Wanted, ...]:
    """What to wait for after the change: every app that was named, also those that are as they were."""
    changed = {change.app for change in view.changes}
    return tuple(
        Wanted(name, number, unchanged=name not in changed) for name, number in view.revisions.items()
    )
