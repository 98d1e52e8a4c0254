"""`skerry remove APP`."""

from __future__ import annotations

import click

from ..api.views import AppView
from .client import api, with_query
from .errors import CliError
from .options import (
    agree,
    app_argument,
    connect,
    json_option,
    options,
    reason_option,
    yes_option,
)
from .show import as_json, count, listed, say


@click.command()
@app_argument
@options(yes_option, reason_option, json_option)
def remove(app: str, yes: bool, reason: str, json_: bool) -> None:
    """Stop an app everywhere and remove it; its history stays.

    Data in volumes stays on the nodes. 'skerry rollback APP' brings the app back.
    """
    hub = connect()
    before = hub.get(AppView, api("apps", app))
    if before.state == "removed" or before.revision == 0:
        raise CliError(f"cannot remove {app}: it was removed by {before.changer or 'somebody'} already")
    if not json_ or not yes:
        agree(sentence(before), yes)
    after = hub.send(AppView, "DELETE", removal(app, reason), etag=f'"{before.revision}"')
    if json_:
        as_json(after)
    else:
        say(f"{app} is removed (revision {after.revision}); nodes stop it as soon as they hear of it")


def removal(app: str, reason: str) -> str:
    """The path of the removal. It is confirmed: the operator was told how many copies go, and from where."""
    return with_query(api("apps", app), {"reason": reason, "confirm": True})


def sentence(app: AppView) -> str:
    """What a removal will do, in one sentence or two."""
    where = f" on {listed(app.nodes)}" if app.nodes else ""
    text = f"{app.name}: {count(app.placed, 'copy')}{where} will be stopped and removed."
    volumes = sorted(app.app.volumes) if app.app else []
    return text + (f" The data of {listed(volumes)} stays on the nodes." if volumes else "")
