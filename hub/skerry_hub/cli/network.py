"""`skerry network …`: each node's network plan, and what would change with it."""

from __future__ import annotations

import click

from ..api.views import NetworkView
from .client import api
from .complete import node_names
from .group import Group
from .options import connect, json_option
from .show import as_json, say


@click.group(cls=Group)
def network() -> None:
    """Show how nodes reach each other."""


@network.command()
@click.argument("node", required=False, shell_complete=node_names)
@json_option
def plan(node: str | None, json_: bool) -> None:
    """Show what each node, or one, is told of its network, and what differs from what it holds."""
    hub = connect()
    if node is None:
        found = hub.get(tuple[NetworkView, ...], "/api/network")
    else:
        found = (hub.get(NetworkView, api("nodes", node, "network")),)
    if json_:
        as_json(found)
        return
    for one in found:
        say(
            f"{one.node}"
            if one.plan
            else f"{one.node} has no tunnels: it joined without, or waits for approval"
        )
        for line in one.plan:
            say(f"  {line}")
        for line in one.changes:
            say(f"  {line}  (not accepted yet)")
