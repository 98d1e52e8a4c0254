"""`skerry apply FILE`: an app file to the hub.

Order: read and check all of the file, then its archives; ask the hub what would change; push the archives that it
lacks; apply; wait. Until the apply itself the hub's apps are as they were.
"""

from __future__ import annotations

import click

from skerry_protocol.app import App

from ..api.views import ApplyAsk, ApplyView, AppView
from ..appfile import Faults, Parsed, parse, with_artifacts
from . import artifacts
from .check import checked, content, faulty, file_argument
from .client import Client
from .errors import EXIT_FAILED
from .options import confirm_option, connect, json_option, leave_data_option, options, reason_option
from .outcome import refuse, settled, show, wait_options
from .show import as_json, say


@click.command()
@file_argument
@click.option("--plan", "plan_only", is_flag=True, help="Show what would change, and change nothing.")
@options(reason_option, confirm_option, leave_data_option, wait_options, json_option)
def apply(
    file: str,
    plan_only: bool,
    reason: str,
    confirm: bool,
    leave_data: bool,
    wait: bool,
    timeout: int,
    json_: bool,
) -> int:
    """Make the hub's apps what FILE says.

    Apps that FILE does not name stay as they are. FILE may be - for standard input; paths of archives in it begin at
    its folder.
    """
    text = content(file)
    parsed = parse(text, file)
    if isinstance(parsed, Faults):
        return _faulty(parsed, json_)
    shown = text.decode("utf-8", "replace")
    found = artifacts.find(artifacts.folder_of(file), parsed.artifacts, shown)
    if isinstance(found, list):
        return _faulty(Faults(file, tuple(found)), json_)
    hub = connect()
    ask = ApplyAsk(complete(parsed, found), expected(hub, parsed), reason, confirm, leave_data)
    planned = hub.send(ApplyView, "POST", "/api/plan", ask)
    refuse(planned, f"apply {file}", json_)
    to_push = [one for by_arch in found.values() for one in by_arch.values()]
    artifacts.check_others(hub, ask.apps, to_push, f"apply {file}")
    if plan_only or not json_:
        show(planned, json_)
    if plan_only:
        if not json_:
            say("this is a plan: nothing was changed")
        return 0
    artifacts.push(hub, to_push, quiet=json_)
    done = hub.send(ApplyView, "POST", "/api/apply", ask)
    refuse(done, f"apply {file}", json_)
    if not json_ and done.changes != planned.changes:
        say("meanwhile it became:")
        show(done, json_)
    return settled(hub, done, wait, timeout, json_)


def _faulty(found: Faults, json_: bool) -> int:
    if not json_:
        raise faulty(found, "apply")
    as_json(checked(found, found.name))
    return EXIT_FAILED


def complete(parsed: Parsed, found: dict[str, dict[str, artifacts.Found]]) -> tuple[App, ...]:
    """The apps with the digests of their archives."""
    return tuple(
        with_artifacts(app, {arch: one.artifact for arch, one in found.get(app.name, {}).items()})
        for app in parsed.apps
    )


def expected(hub: Client, parsed: Parsed) -> dict[str, int]:
    """The revisions that the file takes the place of: where somebody changes one meanwhile, the hub refuses."""
    there = {app.name: app.revision for app in hub.get(tuple[AppView, ...], "/api/apps")}
    return {app.name: there.get(app.name, 0) for app in parsed.apps}
