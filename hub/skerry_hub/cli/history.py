"""`skerry history`, `diff` and `rollback`: an app's revisions."""

from __future__ import annotations

import click

from ..api.views import ApplyView, DiffLine, RevisionView, RollbackAsk
from .client import api
from .options import (
    app_argument,
    confirm_option,
    connect,
    json_option,
    leave_data_option,
    options,
    reason_option,
)
from .outcome import refuse, settled, show, wait_options
from .show import as_json, clock, say, table

HEADS = ("REVISION", "WHEN", "WHO", "WHAT", "WHY")


@click.command()
@app_argument
@json_option
def history(app: str, json_: bool) -> None:
    """List an app's revisions: who changed it, when and why."""
    found = connect().get(tuple[RevisionView, ...], api("apps", app, "history"))
    if json_:
        as_json(found)
        return
    table(HEADS, map(row, found), f"There is no revision of {app}.")


def row(one: RevisionView) -> tuple[str, ...]:
    """A revision's line in the table."""
    what = "applied" if one.content else "removed"
    return (str(one.number), clock(one.at_ms)[:-4], one.changer, what, one.reason or "-")


@click.command()
@app_argument
@click.argument("a", type=click.IntRange(min=1))
@click.argument("b", type=click.IntRange(min=1))
@json_option
def diff(app: str, a: int, b: int, json_: bool) -> None:
    """Show what differs between two revisions of an app.

    A is the one before, B the one after.
    """
    found = connect().get(tuple[DiffLine, ...], api("apps", app, "diff"), a=str(a), b=str(b))
    if json_:
        as_json(found)
        return
    if not found:
        say(f"revisions {a} and {b} of {app} are the same")
    for one in found:
        for line in lines(one):
            say(line)


def lines(one: DiffLine) -> list[str]:
    """A field that differs, as a diff shows it."""
    if not one.before:
        return [f"+ {one.field} = {one.after}"]
    if not one.after:
        return [f"- {one.field} = {one.before}"]
    return [f"- {one.field} = {one.before}", f"+ {one.field} = {one.after}"]


@click.command()
@app_argument
@click.argument("revision", type=click.IntRange(min=1), required=False, metavar="[REV]")
@options(reason_option, confirm_option, leave_data_option, wait_options, json_option)
def rollback(
    app: str,
    revision: int | None,
    reason: str,
    confirm: bool,
    leave_data: bool,
    wait: bool,
    timeout: int,
    json_: bool,
) -> int:
    """Make an earlier revision of an app the newest.

    Without REV the one before. History only grows: going back is a new revision.
    """
    hub = connect()
    ask = RollbackAsk(revision, reason, confirm, leave_data)
    done = hub.send(ApplyView, "POST", api("apps", app, "rollback"), ask)
    refuse(done, f"roll back {app}", json_)
    if not json_:
        show(done, json_, f"nothing changes: {app} is like that already")
    return settled(hub, done, wait, timeout, json_)
