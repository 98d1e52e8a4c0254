"""`skerry nodes`: the nodes of the region, or one of them with all that is known of it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ..api.views import NodeView
from .client import api
from .complete import node_names
from .options import connect, json_option
from .show import as_json, clock, labels, say, span, table

HEADS = ("NODE", "STATE", "HEARD", "COPIES", "APPLIED", "LABELS", "NOTES")


@click.command()
@click.argument("node", required=False, shell_complete=node_names)
@json_option
def nodes(node: str | None, json_: bool) -> None:
    """List the nodes, or show one."""
    hub = connect()
    if node is None:
        found = hub.get(tuple[NodeView, ...], "/api/nodes")
        if json_:
            as_json(found)
        else:
            table(
                HEADS, map(row, found), "There is no node yet: 'skerry token create' prints what lets one in."
            )
        return
    one = hub.get(NodeView, api("nodes", node))
    if json_:
        as_json(one)
    else:
        for line in details(one):
            say(line)


def row(node: NodeView) -> tuple[str, ...]:
    """A node's line in the table."""
    lost = any(text.startswith("silent") for text in node.conditions)
    state = "silent" if lost and node.state == "ready" else node.state
    return (
        node.name,
        state,
        heard(node),
        str(node.instances),
        applied(node),
        labels(node.labels),
        notes(node),
    )


def heard(node: NodeView) -> str:
    """How long ago the node was heard; how often it speaks follows from what it holds."""
    return "not since the hub's start" if node.silent_ms is None else f"{span(node.silent_ms)} ago"


def applied(node: NodeView) -> str:
    """The assignment that the node runs, and the newest where it is another."""
    if not node.newest or node.applied == node.newest:
        return node.applied or "-"
    return f"{node.applied or 'none'}, newest {node.newest}"


def notes(node: NodeView) -> str:
    """All that is out of order with it, in the hub's words."""
    return "; ".join((*node.conditions, *node.overrides)) or "-"


def details(node: NodeView) -> Iterator[str]:
    """All that is known of one node."""
    yield f"{node.name} ({node.id}) is {node.state}"
    yield f"  heard      {heard(node)}" + (
        f" (last at {clock(node.heard_at_ms)})" if node.heard_at_ms else ""
    )
    yield f"  labels     {labels(node.labels)}"
    yield f"  region     {node.region or '-'}"
    yield f"  address    {node.address or '-'}"
    yield f"  arch       {node.arch or '-'}"
    yield f"  copies     {node.instances}"
    yield f"  assignment applied {node.applied or '-'}, accepted {node.accepted or '-'}, newest {node.newest or '-'}"
    for boot in node.boots:
        yield f"  machine    boot {boot} uses this identity (skerry node keep {node.name} --boot {boot})"
    for condition in node.conditions:
        yield f"  condition  {condition}"
    for override in node.overrides:
        yield f"  override   {override}"
