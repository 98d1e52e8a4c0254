"""`skerry apps`: what is wanted and what is there."""

from __future__ import annotations

import click

from ..api.views import AppView
from ..loops.networds import summary
from .client import api
from .complete import app_names
from .options import connect, json_option
from .show import age, as_json, listed, say, table

HEADS = ("APP", "STATE", "HEALTHY", "AVAILABILITY", "NODES", "REVISION", "CHANGED", "SAYS")


@click.command()
@click.argument("app", required=False, shell_complete=app_names)
@json_option
def apps(app: str | None, json_: bool) -> None:
    """List the apps: what is wanted and what is there.

    Of one APP also what it says of the network: its ports, those of its nodes that lead to it, what it reaches.
    """
    hub = connect()
    if app is not None:
        found: tuple[AppView, ...] = (hub.get(AppView, api("apps", app)),)
    else:
        found = hub.get(tuple[AppView, ...], "/api/apps")
    if json_:
        as_json(found if app is None else found[0])
    else:
        table(HEADS, map(row, found), "There is no app yet: 'skerry apply FILE' makes some.")
        if app is not None and (network := on_the_network(found[0])):
            say(network)


def on_the_network(app: AppView) -> str:
    """What it says of the network, where it says something."""
    said = summary(app.app.network) if app.app is not None else ""
    return f"network: {said}" if said else ""


def row(app: AppView) -> tuple[str, ...]:
    """An app's line in the table."""
    changed = f"{age(app.changed_at_ms)} ago by {app.changer or '-'}"
    there = f"{app.healthy}/{app.wanted}"
    nodes = listed(app.nodes, most=4) or "-"
    return (
        app.name,
        app.state,
        there,
        app.availability,
        nodes,
        str(app.revision),
        changed,
        app.headline or "-",
    )
