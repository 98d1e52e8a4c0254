"""Commands that are imported when somebody calls them, so that help and completion cost nothing.

Owns the groups' way to list, find and suggest commands. A row says where a command is and, in the words of its own
help, what it does; a test holds both to be the same.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass

import click


@dataclass(frozen=True)
class Row:
    """One verb: the module and attribute where it is, and the first line of its help."""

    module: str
    attribute: str
    about: str


class Group(click.Group):
    """A group that says the nearest verb for one that it does not have."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            guess = f" (did you mean '{near[0]}'?)" if near else ""
            ctx.fail(f"there is no command '{name}'{guess}")
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """A group whose verbs are rows until one is called."""

    def __init__(self, *args: object, rows: Mapping[str, Row], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.rows = dict(rows)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        row = self.rows.get(cmd_name)
        if row is None:
            return None
        command = getattr(importlib.import_module(row.module), row.attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs with their first lines, from the rows: nothing is imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.about) for name, row in self.rows.items()])

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Verbs and options that begin so; nothing is imported."""
        from_rows = [
            click.shell_completion.CompletionItem(name, help=row.about)
            for name, row in self.rows.items()
            if name.startswith(incomplete)
        ]
        return from_rows + click.Command.shell_complete(self, ctx, incomplete)
