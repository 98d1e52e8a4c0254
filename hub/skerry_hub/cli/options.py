"""The options and kinds of words that many verbs share, and the way to the hub."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import click

from ..units import Wrong, duration, write_duration
from .client import Client
from .complete import app_names, node_names
from .errors import EXIT_USAGE, CliError
from .settings import load
from .show import say

F = TypeVar("F", bound=Callable[..., object])

json_option = click.option("--json", "json_", is_flag=True, help="Print JSON.")
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
reason_option = click.option("--reason", default="", metavar="TEXT", help="Why; kept in the history.")
confirm_option = click.option(
    "--confirm",
    "--yes",
    "-y",
    is_flag=True,
    help="Yes, even if a node loses three or more, and more than half, of its copies.",
)
# For verbs that ask: there --yes is the answer to the question, and this is a second word.
confirm_only_option = click.option("--confirm", is_flag=True, help="Yes, even if it has copies.")
leave_data_option = click.option(
    "--leave-data", is_flag=True, help="Yes, even if a copy leaves its volumes' data behind on a node."
)
file_argument = click.argument("file", metavar="FILE", type=click.Path(allow_dash=True))
app_argument = click.argument("app", shell_complete=app_names)
node_argument = click.argument("node", shell_complete=node_names)


def options(*wanted: Callable[[F], F]) -> Callable[[F], F]:
    """Several options in the order in which help is to show them."""

    def decorated(function: F) -> F:
        for one in reversed(wanted):
            function = one(function)
        return function

    return decorated


def connect() -> Client:
    """The hub that the operator's settings name; its connection is closed when the command ends. Raises CliError."""
    return click.get_current_context().with_resource(Client(load()))


class Duration(click.ParamType[int]):
    """A length of time with its unit, in milliseconds."""

    name = "duration"

    def __init__(self, low: int = 0, high: int | None = None) -> None:
        """The bounds are milliseconds, and both allowed."""
        self.low, self.high = low, high

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = duration(value)
        if isinstance(found, Wrong):
            hint = f" ({found.hint})" if found.hint else ""
            self.fail(f"found {value!r}, expected {found.expected}{hint}", param, ctx)
        if found < self.low or (self.high is not None and found > self.high):
            least, most = write_duration(self.low), write_duration(self.high or found)
            self.fail(f"found {value!r}, expected a duration from {least} to {most}", param, ctx)
        return found


class Pair(click.ParamType[tuple[str, str]]):
    """A label as people write it: KEY=VALUE."""

    name = "key=value"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            key, text = value
            return str(key), str(text)
        key, equals, text = str(value).partition("=")
        if not key or not equals:
            self.fail(f"found {value!r}, expected KEY=VALUE such as site=harbour", param, ctx)
        return key, text


def pairs(given: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Labels as a dict. Raises CliError for a key that was given twice with different values."""
    found: dict[str, str] = {}
    for key, value in given:
        if found.setdefault(key, value) != value:
            raise CliError(
                f"cannot set the label {key} to both '{found[key]}' and '{value}'", "give it once", EXIT_USAGE
            )
    return found


def agree(what: str, yes: bool, asked: bool = True) -> None:
    """Says what will be done, then asks for it where a person is there. Raises CliError where nobody can be asked.

    With `asked` False it is only said: the verb itself is the operator's word.
    """
    say(what)
    if yes or not asked:
        return
    if not sys.stdin.isatty():
        raise CliError("cannot ask whether to go on: there is no terminal", "give --yes to do it", EXIT_USAGE)
    click.confirm("Go on?", abort=True)
