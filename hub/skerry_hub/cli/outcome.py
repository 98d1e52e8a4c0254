"""What comes after a change: showing it, refusals, and waiting until the apps are as wanted. The edge of `progress`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import click
from msgspec import Struct

from ..api.views import ApplyView, AppView
from ..loops.explain import Why
from .client import Client, api
from .errors import EXIT_PENDING, EXIT_REFUSED, EXIT_UNREACHABLE, CliError
from .options import Duration, F, options
from .preview import AS_FILE, lines, wanted_of
from .progress import Seen, State, Wanted, ended, ending, exit_code, judge_all, news
from .show import as_json, listed, safe, say

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 2.0  # seconds between two looks: a lab is fast, a region is not

wait_options: Callable[[F], F] = options(
    click.option("--wait/--no-wait", default=True, help="Wait until the apps run (the default), or don't."),
    click.option(
        "--timeout", type=Duration(), default="5m", show_default=True, metavar="DUR", help="Wait so long."
    ),
)


class Settled(Struct, frozen=True, omit_defaults=True):
    """What --json prints of a change: what the hub did, and how each app stood when the wait ended."""

    applied: ApplyView
    apps: dict[str, dict[str, str]] = {}
    waited_ms: int = 0


def refuse(view: ApplyView, what: str, json_: bool) -> None:
    """Raises CliError where the hub refused; nothing was changed then."""
    if not view.refusals:
        return
    if json_:
        as_json(view)
    text = "\n".join(f"  {refusal}" for refusal in view.refusals)
    raise CliError(f"cannot {what}, and changed nothing:\n{text}", code=EXIT_REFUSED)


def show(view: ApplyView, json_: bool, same: str = AS_FILE) -> None:
    """Prints what a change does, or would do; `same` where that is nothing."""
    if json_:
        as_json(view)
        return
    for line in lines(view, same):
        say(line)


def settled(hub: Client, done: ApplyView, wait: bool, timeout_ms: int, json_: bool) -> int:
    """Waits for a change that was made; the exit code. With --json the one document is printed here."""
    wanted = wanted_of(done)
    made = [f"{one.name} revision {one.revision}" for one in wanted if not one.unchanged]
    if not json_ and made:
        say(f"applied: {listed(made)}")
    if not wait or not wanted:
        if json_:
            as_json(Settled(done))
        return 0
    began = time.monotonic()
    seen = _awaited(hub, wanted, began + timeout_ms / 1000, _teller(json_))
    waited = int((time.monotonic() - began) * 1000)
    if json_:
        words = {name: {"state": one.state.value, "text": one.text} for name, one in seen.items()}
        as_json(Settled(done, words, waited))
    else:
        _say_ending(seen, wanted, waited)
    return exit_code(seen)


def _teller(json_: bool) -> Callable[[str], None]:
    """Where progress goes: to people. With --json only to a terminal, beside the document."""
    if not json_:
        return say
    return (lambda text: click.echo(safe(text), err=True)) if sys.stderr.isatty() else lambda _: None


def _awaited(
    hub: Client, wanted: tuple[Wanted, ...], deadline: float, tell: Callable[[str], None]
) -> dict[str, Seen]:
    """Looks until nothing is left to wait for, or the deadline (by time.monotonic) is there."""
    seen: dict[str, Seen] = {}
    failed_at: dict[str, float] = {}
    pause = FIRST_PAUSE
    while True:
        now = _look(hub, wanted)
        for line in news(seen, now):
            tell(line)
        seen, moment = now, time.monotonic()
        failing = {name for name, one in seen.items() if one.state is State.FAILED}
        failed_at = {name: failed_at.get(name, moment) for name in failing}
        failing_ms = {name: int((moment - at) * 1000) for name, at in failed_at.items()}
        if ended(seen, failing_ms) or moment >= deadline:
            return seen
        time.sleep(min(pause, deadline - moment))
        pause = min(pause * 1.3, LONGEST_PAUSE)


def _look(hub: Client, wanted: tuple[Wanted, ...]) -> dict[str, Seen]:
    """How the apps stand. The change is made, so that a hub that is away for now is only waited for."""
    try:
        apps = {app.name: app for app in hub.get(tuple[AppView, ...], "/api/apps")}
        names = [one.name for one in wanted if one.name in apps]
        return judge_all(wanted, apps, {name: hub.get(Why, api("apps", name, "why")) for name in names})
    except CliError as error:
        if error.code != EXIT_UNREACHABLE:
            raise
        return {one.name: Seen(State.PENDING, "the hub is away") for one in wanted}


def _say_ending(seen: dict[str, Seen], wanted: tuple[Wanted, ...], waited_ms: int) -> None:
    for line in ending(seen, wanted):
        say(line)
    code = exit_code(seen)
    if code == 0:
        say(f"all as wanted after {waited_ms / 1000:.1f} s")
    elif code == EXIT_PENDING:
        say(f"waited {waited_ms / 1000:.0f} s")
