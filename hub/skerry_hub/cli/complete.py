"""Names that a shell offers after <TAB>: asked of the hub, and nothing where it is not there.

Must never fail, nor keep a person waiting: a completion that says an error breaks the line that is being typed.
"""

from __future__ import annotations

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from ..api.views import AppView, NodeView, PersonView, TokenView
from .client import Client
from .errors import CliError
from .settings import load

SECONDS = 2


def _asked(names: Callable[[Client], list[tuple[str, str]]], incomplete: str) -> list[CompletionItem]:
    try:
        found = names(Client(load(), connect_seconds=SECONDS, read_seconds=SECONDS))
    except (CliError, OSError):
        return []
    return [CompletionItem(name, help=about) for name, about in found if name.startswith(incomplete)]


def app_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The apps that begin so."""
    return _asked(
        lambda hub: [(app.name, app.state) for app in hub.get(tuple[AppView, ...], "/api/apps")], incomplete
    )


def token_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The tokens that can still be revoked."""
    return _asked(
        lambda hub: [
            (one.id, one.kind)
            for one in hub.get(tuple[TokenView, ...], "/api/tokens")
            if one.state != "revoked"
        ],
        incomplete,
    )


def person_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The people that begin so."""
    return _asked(
        lambda hub: [(one.name, one.role) for one in hub.get(tuple[PersonView, ...], "/api/people")],
        incomplete,
    )


def node_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The nodes that begin so."""
    return _asked(
        lambda hub: [(node.name, node.state) for node in hub.get(tuple[NodeView, ...], "/api/nodes")],
        incomplete,
    )
