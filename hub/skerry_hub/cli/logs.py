"""`skerry logs APP`: what the app's copies write, read from their nodes' journals through the hub."""

from __future__ import annotations

import time
from collections.abc import Iterator

import click

from ..api.replay import Replay
from ..api.views import LogLine
from .client import Client, api, decoded
from .complete import node_names
from .errors import EXIT_UNREACHABLE, CliError
from .options import app_argument, connect, json_option
from .show import as_json_line, safe, say

AGAIN_SECONDS = 1.0
REPEATED_LINES = 200  # asked for where the hub was away: what was written meanwhile

Query = dict[str, str | int | bool | None]


@click.command()
@app_argument
@click.option(
    "-f", "--follow", is_flag=True, help="Go on with what they write, wherever they are placed, until Ctrl-C."
)
@click.option(
    "-n",
    "lines",
    type=click.IntRange(0, 100_000),
    default=100,
    show_default=True,
    help="The last N lines of each.",
)
@click.option("--node", shell_complete=node_names, help="Of the copies on this node alone.")
@click.option("--instance", metavar="NAME", help="Of this copy alone, such as web-1.")
@json_option
def logs(app: str, follow: bool, lines: int, node: str | None, instance: str | None, json_: bool) -> None:
    """Show what an app's copies write, from their nodes' journals.

    With --json each line is a JSON document.
    """
    hub, path = connect(), api("apps", app, "logs")
    query: Query = {"lines": str(lines), "node": node, "instance": instance}
    if follow:
        for one in following(hub, path, query):
            _show(one, json_)
        return
    found = shown(_decoded(hub.lines(path, **query)), json_)
    if not found:
        click.echo(f"nothing: {app} wrote nothing ('skerry why {app}')", err=True)
    if any(one.error for one in found):
        raise CliError(f"cannot show all of what {app} wrote", "'skerry nodes' says which nodes are there")


def shown(lines: Iterator[LogLine], json_: bool) -> list[LogLine]:
    """Shows each as it comes; the errors among them, or one line that stands for all where there is none."""
    kept: list[LogLine] = []
    for one in lines:
        _show(one, json_)
        if one.error or not kept:
            kept.append(one)
    return kept


def following(hub: Client, path: str, query: Query) -> Iterator[LogLine]:
    """Lines without end. A hub that goes away is waited for, and what was written meanwhile is shown then."""
    replay, away, began = Replay(), False, False
    while True:
        if replay.any():
            replay.restart_all(REPEATED_LINES)
            query = {**query, "lines": str(REPEATED_LINES)}
        try:
            for raw in hub.lines(path, follow=True, **query):
                began, away = True, False
                for one in _decoded(iter([raw])):
                    if not one.line or replay.is_new(one):
                        yield one
        except CliError as error:
            if error.code != EXIT_UNREACHABLE or not began:
                raise
        if not away:
            click.echo("skerry: the hub is away, waiting for it", err=True)
        away = True
        time.sleep(AGAIN_SECONDS)


def _decoded(lines: Iterator[bytes]) -> Iterator[LogLine]:
    """An empty line is only sent to show that the hub is there."""
    return (decoded(LogLine, raw) for raw in lines if raw)


def _show(one: LogLine, json_: bool) -> None:
    if json_:
        as_json_line(one)
    elif one.error:
        click.echo(safe(f"skerry: cannot read the journal of {one.node}: {one.error}"), err=True)
    elif one.note:
        click.echo(safe(f"skerry: {one.node}: {one.note}"), err=True)
    else:
        say(text(one))


def text(one: LogLine) -> str:
    """A line with the copy that wrote it."""
    return f"{'@'.join(word for word in (one.instance, one.node) if word)}  {one.line}"
