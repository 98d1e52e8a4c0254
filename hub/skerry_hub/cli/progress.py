"""Whether the apps that were changed are as wanted yet: a pure function of what was wanted and what is seen.

No clock and no hub in here: `outcome` asks, waits and prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from skerry_protocol.messages import StepState

from ..api.views import AppView
from ..loops.explain import CopyWhy, Why
from .errors import EXIT_FAILED, EXIT_PENDING

HEALTHY, FAILED, HELD = "healthy", "failed", "held"
ON_ITS_WAY = {"running", "waiting"}
NO_HEALTH_GRACE_MS = 10_000  # what nodes take where an app has no check of its own
PUT_BACK_MS = 5_000  # until the node has put the former revision back, and said so


class State(StrEnum):
    """How one app's way to what was wanted stands. All but PENDING end the wait for it."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Wanted:
    """An app at the revision that a change made, or left; `removed`: it is to be gone.

    `unchanged`: it was that revision before. Then there is no change whose end could be waited for, but for copies
    that are on their way.
    """

    name: str
    revision: int
    removed: bool = False
    unchanged: bool = False


@dataclass(frozen=True)
class Seen:
    """The verdict on one app, with a line that says it.

    `may_pass_ms`: how long a failure may last and still be part of a start. Within the grace of a change a node starts
    a copy again, and then puts the former revision back: only then it is over. `resting`: it is pending, and nothing
    is under way that would end it soon.
    """

    state: State
    text: str
    may_pass_ms: int = 0
    resting: bool = False


def judge(wanted: Wanted, app: AppView | None, why: Why | None) -> Seen:
    """How far `app` (None: the hub has no such app) is from what was wanted. `why` is its explanation, if asked for.

    Only an explanation says that every copy is on the wanted revision, and that none is still on its way.
    """
    if app is None or app.state == "removed":
        return _gone(wanted)
    if app.revision > wanted.revision:
        by = f" by {app.changer}" if app.changer else ""
        return Seen(State.FAILED, f"revision {app.revision}{by} took its place")
    if app.revision < wanted.revision:
        return Seen(State.PENDING, f"revision {app.revision}, revision {wanted.revision} is to come")
    if wanted.removed:
        return Seen(State.PENDING, f"{app.placed} still there")
    return _judge_copies(wanted, app, why)


def _judge_copies(wanted: Wanted, app: AppView, why: Why | None) -> Seen:
    if why is None or why.revision != wanted.revision:
        return Seen(State.PENDING, _text(app.healthy, app.wanted, app.headline))
    heard = [copy for copy in why.copies if not copy.silent]
    newest = [copy for copy in heard if copy.revision in {0, wanted.revision}]
    healthy = sum(copy.state == HEALTHY for copy in newest)
    text = _text(healthy, app.wanted, why.headline)
    if len(newest) < len(heard):
        return Seen(State.PENDING, text)
    states = {HELD if _put_back(copy) else copy.state for copy in newest}
    if FAILED in states:
        return Seen(State.FAILED, text, _grace_ms(app) + PUT_BACK_MS)
    if HELD in states and not states & ON_ITS_WAY:
        return Seen(State.FAILED, text)
    if states <= {HEALTHY} and healthy >= app.wanted:
        return Seen(State.DONE, text)
    # What a silent node is to do, it does when it is back: nobody can say when that is.
    away = states <= {HEALTHY} and len(heard) < len(why.copies)
    return Seen(State.PENDING, text, resting=away or (wanted.unchanged and "running" not in states))


def _put_back(copy: CopyWhy) -> bool:
    """Whether the node has given up on the revision: the last step is held, whatever failed before it."""
    return bool(copy.stages) and copy.stages[-1].state is StepState.HELD


def _grace_ms(app: AppView) -> int:
    return app.app.health.grace_ms if app.app and app.app.health else NO_HEALTH_GRACE_MS


def _text(healthy: int, wanted: int, headline: str) -> str:
    tail = f": {headline}" if headline and healthy < wanted else ""
    return f"{healthy} of {wanted} healthy{tail}"


def _gone(wanted: Wanted) -> Seen:
    return (
        Seen(State.DONE, "removed") if wanted.removed else Seen(State.FAILED, "somebody removed it meanwhile")
    )


def judge_all(
    wanted: tuple[Wanted, ...], apps: Mapping[str, AppView], whys: Mapping[str, Why]
) -> dict[str, Seen]:
    """The verdict on each app, by name."""
    return {one.name: judge(one, apps.get(one.name), whys.get(one.name)) for one in wanted}


def ended(seen: Mapping[str, Seen], failing_ms: Mapping[str, int]) -> bool:
    """Whether there is nothing left to wait for. `failing_ms`: for how long each app has failed without a break."""
    return all(
        one.resting or (one.state is not State.PENDING and failing_ms.get(name, 0) >= one.may_pass_ms)
        for name, one in seen.items()
    )


def news(before: Mapping[str, Seen], after: Mapping[str, Seen]) -> Iterator[str]:
    """A line for each app whose verdict is another than before."""
    width = max(map(len, after), default=0)
    for name, seen in after.items():
        if before.get(name) != seen:
            yield f"  {name.ljust(width)}  {seen.text}"


def exit_code(seen: Mapping[str, Seen]) -> int:
    """What the command ends with: a failure outweighs what is not there in time."""
    states = {one.state for one in seen.values()}
    if State.FAILED in states:
        return EXIT_FAILED
    return EXIT_PENDING if State.PENDING in states else 0


def ending(seen: Mapping[str, Seen], wanted: tuple[Wanted, ...]) -> Iterator[str]:
    """What to look at, for each app that is not as wanted."""
    first = {one.name for one in wanted if one.revision <= 1}
    for name, one in seen.items():
        if one.state is State.FAILED:
            out = "remove" if name in first else "rollback"
            does = "takes it away" if name in first else "goes back"
            yield f"{name} failed: 'skerry why {name}' says more, 'skerry {out} {name}' {does}"
        elif one.state is State.PENDING:
            yield f"{name} is not there yet, and goes on by itself: 'skerry why {name}' says what it waits for"
