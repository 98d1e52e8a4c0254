"""`skerry token …`: what lets a new machine in."""

from __future__ import annotations

import click

from ..api.views import TokenAsk, TokenMade, TokenView
from .client import api
from .complete import token_ids
from .errors import EXIT_USAGE, CliError
from .group import Group
from .options import Duration, Pair, connect, json_option, options, pairs
from .show import as_json, labels, left, listed, now_ms, say, span, table

YEAR = 366 * 86_400_000  # ms
HEADS = ("TOKEN", "KIND", "STATE", "USES", "EXPIRES", "MADE BY", "GRANTS", "USED BY")


@click.group(cls=Group)
def token() -> None:
    """Make, list and revoke what lets a new machine in."""


@token.command()
@click.option("--reusable", is_flag=True, help="For many machines, until it expires; bound it with --limit.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="With --reusable: let in N machines at most."
)
@click.option(
    "--ephemeral",
    type=Duration(10_000, YEAR),
    metavar="DUR",
    help="Forget the node after this long without a word.",
)
@click.option("--approval", is_flag=True, help="The node waits for 'skerry node approve'.")
@click.option(
    "--label", "label", type=Pair(), multiple=True, metavar="K=V", help="A label that the node gets."
)
@click.option("--name-pattern", metavar="P", help="Names that the node may have, such as 'pump-*'.")
@click.option(
    "--expires",
    type=Duration(1_000, YEAR),
    default="1h",
    show_default=True,
    metavar="DUR",
    help="Valid this long.",
)
@json_option
def create(
    reusable: bool,
    limit: int | None,
    ephemeral: int | None,
    approval: bool,
    label: tuple[tuple[str, str], ...],
    name_pattern: str | None,
    expires: int,
    json_: bool,
) -> None:
    """Print a new join token: one line for 'skerry-agent join'. It is shown only now."""
    if limit is not None and not reusable:
        raise CliError("cannot limit a token that is used once", "add --reusable", EXIT_USAGE)
    ask = TokenAsk(reusable, limit, ephemeral, approval, pairs(label), name_pattern, expires)
    made = connect().send(TokenMade, "POST", "/api/tokens", ask)
    if json_:
        as_json(made)
        return
    click.echo(made.text)
    ends = "never" if made.expires_at_ms is None else f"in {left(made.expires_at_ms - now_ms())}"
    click.echo(
        f"On the machine, as root: skerry-agent join TOKEN   (token {made.id}, expires {ends})", err=True
    )


@token.command("list")
@json_option
def list_(json_: bool) -> None:
    """List the tokens, with how often each was used and by whom. No secret is shown."""
    found = connect().get(tuple[TokenView, ...], "/api/tokens")
    if json_:
        as_json(found)
    else:
        table(HEADS, map(row, found), "There is no token: 'skerry token create' makes one.")


def row(one: TokenView) -> tuple[str, ...]:
    """A token's line in the table."""
    uses = f"{one.uses}" if one.limit is None else f"{one.uses}/{one.limit}"
    return (
        one.id,
        one.kind,
        one.state,
        uses,
        expiry(one),
        one.made_by,
        grants(one),
        listed(one.used_by) or "-",
    )


def expiry(one: TokenView) -> str:
    """When the token ends, by this machine's clock; the hub's is the one that counts."""
    if one.expires_at_ms is None:
        return "never"
    ahead = one.expires_at_ms - now_ms()
    return f"in {left(ahead)}" if ahead > 0 else f"{span(-ahead)} ago"


def grants(one: TokenView) -> str:
    """What a machine gets by the token, and what it must fit."""
    words = [labels(one.labels)] if one.labels else []
    words += [f"named {one.name_pattern}"] if one.name_pattern else []
    words += ["after approval"] if one.approval else []
    words += [f"forgotten after {span(one.ephemeral_ms)}"] if one.ephemeral_ms is not None else []
    return ", ".join(words) or "-"


@token.command()
@click.argument("id_", metavar="ID", shell_complete=token_ids)
@options(json_option)
def revoke(id_: str, json_: bool) -> None:
    """Make a token useless. Nodes that joined by it stay."""
    gone = connect().send(TokenView, "DELETE", api("tokens", id_))
    if json_:
        as_json(gone)
    else:
        say(f"Token {gone.id} is {gone.state}; nodes that joined by it stay.")
