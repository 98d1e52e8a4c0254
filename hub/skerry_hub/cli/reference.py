"""docs/cli.md, from the commands themselves. `python -m skerry_hub.cli.reference > docs/cli.md` writes it anew."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from .verbs import cli

HEAD = """# `skerry`: the operator's command line

This page is made from the commands themselves by `python -m skerry_hub.cli.reference`; a test holds it to them.
"""


def render() -> str:
    """The whole page, as Markdown."""
    with click.Context(cli, info_name="skerry") as root:
        parts = [
            HEAD,
            *_command(root),
            *(part for name in cli.list_commands(root) for part in _walk(root, name)),
        ]
    return "\n".join(parts)


def _walk(parent: click.Context, name: str) -> Iterator[str]:
    group = parent.command
    assert isinstance(group, click.Group)
    command = group.get_command(parent, name)
    assert command is not None
    with click.Context(command, info_name=name, parent=parent) as ctx:
        yield from _command(ctx)
        if isinstance(command, click.Group):
            for below in command.list_commands(ctx):
                yield from _walk(ctx, below)


def _command(ctx: click.Context) -> Iterator[str]:
    if ctx.parent is not None:
        yield f"{'##' if ctx.parent.parent is None else '###'} `{ctx.command_path}`\n"
    pieces = " ".join(ctx.command.collect_usage_pieces(ctx))
    yield f"    {ctx.command_path} {pieces}\n"
    yield from _about(ctx.command)
    records = [record for one in ctx.command.get_params(ctx) if (record := one.get_help_record(ctx))]
    if records:
        yield "| option | |\n|---|---|"
        yield "\n".join(f"| `{_cell(name)}` | {_cell(text)} |" for name, text in records) + "\n"


def _about(command: click.Command) -> Iterator[str]:
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield "\n".join(f"    {line}" for line in paragraph.removeprefix("\b\n").splitlines()) + "\n"
        elif paragraph:
            yield paragraph + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(render(), end="")
