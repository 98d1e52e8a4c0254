"""The documents as data: their blocks, commands and links, read the same way by every test."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from skerry_agent.commands import cli as agent
from skerry_hub.cli.verbs import cli as operator
from skerry_hub.daemon import main as hub

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
GENERATED = {"cli.md"}  # its usage lines are click's own, with brackets and dots
PROGRAMS: dict[str, click.Command] = {"skerry": operator, "skerry-agent": agent, "skerry-hub": hub}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^|(?<=\n\n))(?: {4}[^\n]*\n)+")
INLINE = re.compile(r"`((?:skerry|skerry-agent|skerry-hub|make) [^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PROMPT = re.compile(r"^(?:[$#] )?((?:skerry|skerry-agent|skerry-hub|make)(?: .*)?)$")
PLACEHOLDER = re.compile(r"[A-Z][A-Z_0-9=]*|.*\bAPP\b.*")


@dataclass(frozen=True)
class Place:
    """Where something stands, for messages."""

    page: Path
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.text}"


def blocks(page: Path, kind: str | None = None) -> list[str]:
    """The fenced blocks of a page: all, or of one kind."""
    found = FENCE.findall(page.read_text())
    return [text for name, text in found if kind is None or name == kind]


def commands(page: Path) -> Iterator[tuple[Place, bool]]:
    """Every command in a page, and whether it is a whole one (from a block) or may lack arguments (from a sentence)."""
    text = page.read_text()
    bare = FENCE.sub("", text)
    for block in [*(body for kind, body in FENCE.findall(text) if kind != "toml"), *INDENTED.findall(bare)]:
        for line in block.splitlines():
            if found := PROMPT.match(line.strip()):
                yield Place(page, found[1]), True
    for found in INLINE.finditer(bare):
        yield Place(page, " ".join(found[1].split())), False


def fault(text: str, whole: bool) -> str | None:
    """What is wrong with a command as an operator would type it; None where nothing is. Values are not judged."""
    words = shlex.split(text, comments=True)
    if words[0] == "make":
        return None if set(words[1:]) <= targets() | {"KEEP=0"} else "there is no such target"
    try:
        _descend(PROGRAMS[words[0]], words[0], words[1:], whole)
    except click.ClickException as error:
        return error.format_message()
    return None


def _descend(command: click.Command, name: str, words: list[str], whole: bool) -> None:
    ctx = click.Context(command, info_name=name)
    given, rest, _ = command.make_parser(ctx).parse_args(list(words))
    if isinstance(command, click.Group):
        if not rest or PLACEHOLDER.fullmatch(rest[0]):
            return None
        below = command.get_command(ctx, rest[0])
        if below is None:
            raise click.UsageError(f"{name} has no command {rest[0]!r}")
        return _descend(below, rest[0], rest[1:], whole)
    if rest:
        raise click.UsageError(f"{name} takes no {rest[0]!r}")
    for param in command.params:
        _judge(param, given.get(param.name or ""), whole)
    return None


def _judge(param: click.Parameter, value: object, whole: bool) -> None:
    missing = not isinstance(value, str | list | tuple) or not value
    if whole and isinstance(param, click.Argument) and param.required and missing:
        raise click.UsageError(f"{param.human_readable_name} is missing")
    if isinstance(param.type, click.Choice) and isinstance(value, str) and not PLACEHOLDER.fullmatch(value):
        param.type.convert(value, param, None)


def targets() -> set[str]:
    """What make can make."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
