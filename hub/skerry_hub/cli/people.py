"""`skerry people …`: who may use the hub."""

from __future__ import annotations

import click

from ..api.views import PersonAsk, PersonMade, PersonView
from .client import api
from .complete import person_names
from .group import Group
from .options import agree, connect, json_option, options, yes_option
from .show import age, as_json, say, table

ROLES = ("viewer", "operator", "admin")
HEADS = ("PERSON", "ROLE", "STATE", "MADE")


@click.group(cls=Group)
def people() -> None:
    """Make, list and revoke people who may use the hub."""


@people.command()
@click.argument("name")
@click.option(
    "--role", type=click.Choice(ROLES), default="viewer", show_default=True, help="What they may do."
)
@json_option
def create(name: str, role: str, json_: bool) -> None:
    """Print a token for a new person. It is shown only now; it goes into their operator.toml.

    A viewer sees everything; an operator also changes apps, nodes and join tokens; an admin also people, backup and
    resume.
    """
    made = connect().send(PersonMade, "POST", "/api/people", PersonAsk(name, role))
    if json_:
        as_json(made)
        return
    click.echo(made.token)
    click.echo(f"{made.name} has the role {made.role}: this is the token in their operator.toml", err=True)


@people.command("list")
@json_option
def list_(json_: bool) -> None:
    """List the people and their roles."""
    found = connect().get(tuple[PersonView, ...], "/api/people")
    if json_:
        as_json(found)
        return
    rows = (
        (one.name, one.role, "revoked" if one.revoked_at_ms else "ready", age(one.made_at_ms))
        for one in found
    )
    table(HEADS, rows, "There is nobody.")


@people.command()
@click.argument("name", shell_complete=person_names)
@options(yes_option, json_option)
def revoke(name: str, yes: bool, json_: bool) -> None:
    """Make a person's token useless at once."""
    if not json_ or not yes:
        agree(f"The token of {name} will be useless at once; a new one can be made later.", yes)
    gone = connect().send(PersonView, "DELETE", api("people", name))
    if json_:
        as_json(gone)
    else:
        say(f"{gone.name} is revoked")
