"""`skerry node …`: what an operator says of a node. Each verb says what will be done, then does it."""

from __future__ import annotations

import click

from ..api.views import KeepAsk, LabelsAsk, NodeView, NodeWord
from .client import Client, api
from .errors import EXIT_USAGE, CliError
from .group import Group
from .options import (
    Pair,
    agree,
    confirm_only_option,
    confirm_option,
    connect,
    json_option,
    leave_data_option,
    node_argument,
    options,
    pairs,
    reason_option,
    yes_option,
)
from .show import as_json, count, labels, say


@click.group(cls=Group)
def node() -> None:
    """Give an operator's word on a node."""


def _word(node_: str, word: str, said: NodeWord, json_: bool) -> None:
    """Sends the word and shows the node as it is then."""
    after = connect().send(NodeView, "POST", api("nodes", node_, word), said)
    _shown(after, json_)


def _shown(after: NodeView, json_: bool) -> None:
    if json_:
        as_json(after)
    else:
        say(f"{after.name} is {after.state} (revision {after.revision}); labels {labels(after.labels)}")


def _before(hub: Client, name: str) -> NodeView:
    return hub.get(NodeView, api("nodes", name))


shared = options(reason_option, confirm_option, leave_data_option, json_option)


@node.command()
@node_argument
@shared
def drain(node: str, reason: str, confirm: bool, leave_data: bool, json_: bool) -> None:
    """Move every copy off NODE, and place none there.

    A copy with volumes is moved only with --leave-data: its data stays on NODE, and the copy begins with none.
    """
    after = connect().send(
        NodeView, "POST", api("nodes", node, "drain"), NodeWord(reason, leave_data, confirm)
    )
    if json_:
        as_json(after)
    else:
        has = "it has no copy"
        if after.instances:
            has = f"its {count(after.instances, 'copy')} move to other nodes, as far as others fit"
        say(f"{after.name} is {after.state} (revision {after.revision}); {has}")


@node.command()
@node_argument
@options(reason_option, json_option)
def undrain(node: str, reason: str, json_: bool) -> None:
    """Let copies be placed on NODE again."""
    _word(node, "undrain", NodeWord(reason), json_)


@node.command()
@node_argument
@shared
def dead(node: str, reason: str, confirm: bool, leave_data: bool, json_: bool) -> None:
    """Declare NODE lost: its copies, best-effort ones too, are placed elsewhere.

    If the machine comes back, the copies it still runs are removed there; their data stays.
    """
    if not json_:
        lost = count(_before(connect(), node).instances, "copy")
        say(f"{node} is lost: {lost} will be placed elsewhere; if it comes back, its old copies are removed.")
    _word(node, "dead", NodeWord(reason, leave_data, confirm), json_)


@node.command()
@node_argument
@options(yes_option, confirm_only_option, reason_option, json_option)
def forget(node: str, yes: bool, reason: str, confirm: bool, json_: bool) -> None:
    """Remove NODE from the mesh: its credentials end, its units run on.

    To come back, the machine must join anew, as another node. Where it has copies, drain it first or give --confirm.
    """
    hub = connect()
    before = _before(hub, node)
    left = f", and its {count(before.instances, 'copy')} run on there, unmanaged" if before.instances else ""
    text = f"{node} ({before.id}) will be forgotten: it can never connect again as this node{left}."
    if not json_ or not yes:
        agree(text, yes)
    after = hub.send(NodeView, "POST", api("nodes", node, "forget"), NodeWord(reason, confirm=confirm))
    if json_:
        as_json(after)
    else:
        say(f"{node} is forgotten")


@node.command()
@node_argument
@options(reason_option, json_option)
def approve(node: str, reason: str, json_: bool) -> None:
    """Let in NODE, which joined by a token that asks for approval."""
    _word(node, "approve", NodeWord(reason), json_)


@node.command()
@node_argument
@options(reason_option, json_option)
def confirm(node: str, reason: str, json_: bool) -> None:
    """Confirm that most copies are removed from NODE, where the hub holds that back.

    'skerry nodes NODE' says which copies, and why nobody's word covers them.
    """
    _word(node, "confirm", NodeWord(reason), json_)


@node.command()
@node_argument
@click.option(
    "--boot", required=True, metavar="ID", help="The machine's boot id: 'skerry nodes NODE' lists them."
)
@options(reason_option, json_option)
def keep(node: str, boot: str, reason: str, json_: bool) -> None:
    """Say which of two machines with NODE's identity is NODE.

    The other gets no leases any more, and must join anew; what it runs best-effort goes on there.
    """
    after = connect().send(NodeView, "POST", api("nodes", node, "keep"), KeepAsk(boot, reason))
    if json_:
        as_json(after)
    else:
        say(f"{after.name} is the machine with boot {boot}; the other one must join anew")


@node.command()
@node_argument
@click.argument("labels", nargs=-1, type=Pair(), metavar="[KEY=VALUE]...")
@click.option(
    "--unset", multiple=True, metavar="KEY", help="Take this label away; may be given several times."
)
@options(reason_option, json_option)
def label(
    node: str, labels: tuple[tuple[str, str], ...], unset: tuple[str, ...], reason: str, json_: bool
) -> None:
    """Set or take away labels of NODE. Nothing that runs there moves."""
    wanted = pairs(labels)
    if not wanted and not unset:
        raise CliError("cannot label: no label is given", "give KEY=VALUE, or --unset KEY", EXIT_USAGE)
    both = sorted(wanted.keys() & set(unset))
    if both:
        raise CliError(f"cannot both set and unset {both[0]}", "give it once", EXIT_USAGE)
    _shown(
        connect().send(NodeView, "POST", api("nodes", node, "labels"), LabelsAsk(wanted, unset, reason)),
        json_,
    )
