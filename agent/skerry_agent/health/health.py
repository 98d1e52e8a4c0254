"""From check results to decisions about one instance: healthy, restart it, or put its previous revision back.

Pure; `now_ms` is a clock that only grows (milliseconds). A life begins when the instance starts after a change, a boot
or an agent's start. The rules, in order:

- Healthy at the first check that holds; without a check, once the unit has been active for `SETTLED_MS` on end.
- Within `grace` of a change, and only where a previous revision can be put back: `failures` exits, or `failures` failed
  checks after it was healthy once, or no health by the end of `grace`, put that revision back.
- Failed checks before the first success do not count until `grace` is over: that is what it is for.
- Afterwards `failures` failed checks in a row restart the unit, with back-off. Exits are systemd's to answer.

No copy is ever moved for ill health, and without an agent nothing is checked and nothing stops.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct, structs

from skerry_protocol.app import App

SETTLED_MS = 1_000
UNCHECKED_GRACE_MS = 10_000
UNCHECKED_FAILURES = 3
BACKOFF_FIRST_MS = 10_000
BACKOFF_MOST_MS = 300_000


class Rules(Struct, frozen=True):
    """What of an app matters here. `checked`: it has a health check. `may_roll_back`: an older revision is at hand."""

    checked: bool
    grace_ms: int
    failures: int
    may_roll_back: bool


class State(StrEnum):
    STARTING = "starting"
    HEALTHY = "healthy"
    FAILING = "failing"
    ROLLED_BACK = "rolled-back"


class Life(Struct, frozen=True):
    """One instance on one revision. `since_ms`: when it began; `changed`: whether by a change of what it runs."""

    rules: Rules
    since_ms: int
    changed: bool
    state: State = State.STARTING
    was_healthy: bool = False
    active_since_ms: int | None = None
    failed_checks: int = 0
    exits: int = 0
    restarts: int = 0
    restart_after_ms: int = 0
    reason: str = ""


class Restart(Struct, frozen=True):
    """Restart the unit, because of `reason`."""

    reason: str


class RollBack(Struct, frozen=True):
    """Put the previous revision back, because of `reason`."""

    reason: str


Action = Restart | RollBack


def rules_for(app: App, has_previous: bool, changed: bool) -> Rules:
    """The rules of one life of `app`. Timers run now and then: they are not judged by exits, nor rolled back."""
    may = app.rollback and has_previous and changed and app.schedule is None
    if app.health is None:
        return Rules(False, UNCHECKED_GRACE_MS, UNCHECKED_FAILURES, may)
    return Rules(True, app.health.grace_ms, app.health.failures, may)


def began(rules: Rules, now_ms: int, changed: bool) -> Life:
    """A new life, from a change, a boot, or the agent's own start (`changed` false)."""
    return Life(rules, now_ms, changed)


def unit_active(life: Life, now_ms: int) -> tuple[Life, Action | None]:
    """The unit came up."""
    return _judged(structs.replace(life, active_since_ms=now_ms), now_ms)


def unit_down(life: Life, now_ms: int, exited: bool, reason: str) -> tuple[Life, Action | None]:
    """The unit is no longer active; `exited` by itself, not by our stop."""
    exits = life.exits + (1 if exited else 0)
    state = State.STARTING if life.state is State.HEALTHY else life.state
    life = structs.replace(life, active_since_ms=None, exits=exits, reason=reason, state=state)
    return _judged(life, now_ms)


def checked(life: Life, now_ms: int, ok: bool, reason: str) -> tuple[Life, Action | None]:
    """A check came back."""
    if life.state is State.ROLLED_BACK:
        return life, None  # this life is over, whatever is heard of it until the switch
    if ok:
        life = structs.replace(
            life,
            state=State.HEALTHY,
            was_healthy=True,
            failed_checks=0,
            restarts=0,
            restart_after_ms=0,
            reason="",
        )
        return life, None
    life = structs.replace(life, failed_checks=life.failed_checks + 1, reason=reason)
    return _judged(life, now_ms)


def ticked(life: Life, now_ms: int) -> tuple[Life, Action | None]:
    """Time has passed: call at `next_tick_ms`."""
    return _judged(life, now_ms)


def next_tick_ms(life: Life) -> int | None:
    """When `ticked` has something to decide, by the same clock; None: nothing waits for time."""
    if life.state is State.ROLLED_BACK:
        return None
    moments = []
    if not life.rules.checked and life.state is not State.HEALTHY and life.active_since_ms is not None:
        moments.append(life.active_since_ms + SETTLED_MS)
    if life.rules.may_roll_back and not life.was_healthy:
        moments.append(life.since_ms + life.rules.grace_ms)
    return min(moments, default=None)


def _judged(life: Life, now_ms: int) -> tuple[Life, Action | None]:
    if life.state is State.ROLLED_BACK:
        return life, None
    if _settled(life, now_ms):
        return structs.replace(life, state=State.HEALTHY, was_healthy=True, reason=""), None
    if life.rules.may_roll_back and (why := _too_bad(life, now_ms)):
        return structs.replace(life, state=State.ROLLED_BACK, reason=why), RollBack(why)
    return _restarted(life, now_ms)


def _settled(life: Life, now_ms: int) -> bool:
    if life.rules.checked or life.active_since_ms is None:
        return False
    return now_ms - life.active_since_ms >= SETTLED_MS


def _too_bad(life: Life, now_ms: int) -> str:
    """Why this change is to be undone, or nothing."""
    rules, age = life.rules, now_ms - life.since_ms
    grace = f"{rules.grace_ms / 1000:g} s"
    if age <= rules.grace_ms and life.exits >= rules.failures:
        return f"it ended {life.exits} times within {grace} of the change: {life.reason}"
    if age <= rules.grace_ms and life.was_healthy and life.failed_checks >= rules.failures:
        return f"{life.failed_checks} checks failed within {grace} of the change: {life.reason}"
    if age >= rules.grace_ms and not life.was_healthy:
        return f"it was not healthy within {grace} of the change: {life.reason or 'it never became active'}"
    return ""


def _restarted(life: Life, now_ms: int) -> tuple[Life, Action | None]:
    waiting = not life.was_healthy and now_ms - life.since_ms < life.rules.grace_ms
    if life.failed_checks < life.rules.failures or waiting:
        return life, None
    if now_ms < life.restart_after_ms:
        return structs.replace(life, state=State.FAILING), None
    pause = min(BACKOFF_FIRST_MS << min(life.restarts, 10), BACKOFF_MOST_MS)
    reason = f"{life.failed_checks} checks failed in a row: {life.reason}"
    life = structs.replace(
        life,
        state=State.FAILING,
        failed_checks=0,
        restarts=life.restarts + 1,
        restart_after_ms=now_ms + pause,
    )
    return life, Restart(reason)
