"""What a change does, in lines: pure. The words are the hub's own (`changes`); the order is by app."""

from __future__ import annotations

from collections.abc import Iterator

from ..api.views import ApplyView
from .progress import Wanted


def lines(view: ApplyView) -> Iterator[str]:
    """Every change, then what the hub wants to be known."""
    if not view.changes and not view.notes:
        yield "nothing changes: everything is as the file says"
    for change in view.changes:
        yield f"  {change}"
    yield from (f"note: {note}" for note in view.notes)


def wanted_of(view: ApplyView) -> tuple[Wanted, ...]:
    """What to wait for after the change."""
    return tuple(Wanted(name, number) for name, number in view.revisions.items())
