"""An apply step by step, with every check on this side and every question on its own.

Order: read and check all of the file, then its archives; ask the hub what would change; push the archives that it
lacks; apply. Until the apply itself the hub's apps are as they were.
"""

from __future__ import annotations

from dataclasses import dataclass

from skerry_protocol.app import App

from ..api.views import ApplyAsk, ApplyView, AppView
from ..appfile import Faults, Parsed, parse, with_artifacts
from . import artifacts
from .check import checked, content, faulty
from .client import Client
from .errors import EXIT_FAILED
from .options import connect
from .outcome import refuse, show
from .show import as_json, say


@dataclass(frozen=True)
class Words:
    """What was asked for. `seen`: the hub has got the file already, and refused it."""

    file: str
    plan_only: bool
    reason: str
    confirm: bool
    leave_data: bool
    json: bool
    seen: bool


@dataclass(frozen=True)
class Applied:
    """A change that was made, and the hub that made it."""

    hub: Client
    done: ApplyView


def apply(words: Words) -> Applied | int:
    """The change, or the exit code where there is none to wait for. Raises CliError."""
    text = content(words.file)
    parsed = parse(text, words.file)
    if isinstance(parsed, Faults):
        return _faulty(parsed, words)
    shown = text.decode("utf-8", "replace")
    found = artifacts.find(artifacts.folder_of(words.file), parsed.artifacts, shown)
    if isinstance(found, list):
        return _faulty(Faults(words.file, tuple(found)), words)
    hub = connect()
    return _with_hub(hub, words, complete(parsed, found), found)


def _with_hub(
    hub: Client, words: Words, apps: tuple[App, ...], found: dict[str, dict[str, artifacts.Found]]
) -> Applied | int:
    ask = ApplyAsk(apps, expected(hub, apps), words.reason, words.confirm, words.leave_data)
    planned = hub.send(ApplyView, "POST", "/api/plan", ask)
    refuse(planned, f"apply {words.file}", words.json)
    to_push = [one for by_arch in found.values() for one in by_arch.values()]
    artifacts.check_others(hub, ask.apps, to_push, f"apply {words.file}")
    if words.plan_only or not words.json:
        show(planned, words.json)
    if words.plan_only:
        if not words.json:
            say("this is a plan: nothing was changed")
        return 0
    artifacts.push(hub, to_push, quiet=words.json)
    done = hub.send(ApplyView, "POST", "/api/apply", ask)
    refuse(done, f"apply {words.file}", words.json)
    if not words.json and done.changes != planned.changes:
        say("meanwhile it became:")
        show(done, words.json)
    return Applied(hub, done)


def _faulty(found: Faults, words: Words) -> int:
    if not words.json:
        then = "nothing was changed" if words.seen else "nothing was sent to the hub"
        raise faulty(found, "apply", then)
    as_json(checked(found, found.name))
    return EXIT_FAILED


def complete(parsed: Parsed, found: dict[str, dict[str, artifacts.Found]]) -> tuple[App, ...]:
    """The apps with the digests of their archives."""
    return tuple(
        with_artifacts(app, {arch: one.artifact for arch, one in found.get(app.name, {}).items()})
        for app in parsed.apps
    )


def expected(hub: Client, apps: tuple[App, ...]) -> dict[str, int]:
    """The revisions that the file takes the place of: where somebody changes one meanwhile, the hub refuses."""
    there = {app.name: app.revision for app in hub.get(tuple[AppView, ...], "/api/apps")}
    return {app.name: there.get(app.name, 0) for app in apps}
