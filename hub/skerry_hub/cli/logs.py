"""`skerry logs APP`: what the app's copies write, read from their nodes' journals through the hub."""

from __future__ import annotations

import click

from ..api.views import LogLine
from .client import api, decoded
from .complete import node_names
from .errors import CliError
from .options import app_argument, connect, json_option
from .show import as_json_line, safe, say


@click.command()
@app_argument
@click.option("-f", "--follow", is_flag=True, help="Go on with what they write, until Ctrl-C.")
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
    faults, lines_seen = [], 0
    stream = connect().lines(
        api("apps", app, "logs"), lines=str(lines), follow=follow, instance=instance, node=node
    )
    for raw in stream:
        if not raw:
            continue  # sent to show that the hub is there
        one = decoded(LogLine, raw)
        lines_seen += 1
        if json_:
            as_json_line(one)
        elif one.error:
            faults.append(one)
            click.echo(safe(f"skerry: cannot read the journal of {one.node}: {one.error}"), err=True)
        else:
            say(text(one))
    if not lines_seen:
        click.echo(f"nothing: {app} wrote nothing, or has no copy there ('skerry why {app}')", err=True)
    if faults:
        raise CliError(f"cannot show all of what {app} wrote", "'skerry nodes' says which nodes are there")


def text(one: LogLine) -> str:
    """A line with the copy that wrote it."""
    return f"{'@'.join(word for word in (one.instance, one.node) if word)}  {one.line}"
