"""`skerry check` and `skerry schema`: what can be said of an app file without a hub."""

from __future__ import annotations

import click
from msgspec import Struct

from ..appfile import Faults, Parsed, format_faults, json_schema, parse
from ..appfile.parse import TEXT_MAX
from .errors import EXIT_FAILED, CliError
from .options import file_argument, json_option
from .show import as_json, count, listed, say


class Checked(Struct, frozen=True):
    """What `check --json` prints; with faults there are no apps."""

    file: str
    apps: tuple[str, ...] = ()
    faults: tuple[dict[str, str | int | None], ...] = ()


@click.command()
@file_argument
@json_option
def check(file: str, json_: bool) -> int:
    """Say all that is wrong in an app file; ask no hub.

    FILE may be - for standard input.
    """
    found = parse(content(file), file)
    if json_:
        as_json(checked(found, file))
    elif isinstance(found, Faults):
        raise faulty(found, "use")
    else:
        names = [app.name for app in found.apps]
        say(f"{file}: {count(len(names), 'app')}, no fault: {listed(names)}")
    return EXIT_FAILED if isinstance(found, Faults) else 0


def checked(found: Parsed | Faults, file: str) -> Checked:
    """The result as data."""
    if isinstance(found, Parsed):
        return Checked(file, tuple(app.name for app in found.apps))
    keys = ("line", "field", "found", "expected", "hint")
    return Checked(file, faults=tuple({key: getattr(one, key) for key in keys} for one in found.faults))


def content(file: str) -> bytes:
    """The bytes of the app file, of a huge one only as many as show that it is too big. Raises CliError."""
    try:
        with click.open_file(file, "rb") as opened:
            data = opened.read(TEXT_MAX + 1)
    except OSError as error:
        raise CliError(f"cannot read {file}: {error.strerror or error}") from error
    return data if isinstance(data, bytes) else data.encode()


def faulty(found: Faults, what: str, then: str = "nothing was sent to the hub") -> CliError:
    """All faults as one error: the hub was not asked, unless `then` says that it was."""
    summary = f"cannot {what} {found.name}: {count(len(found.faults), 'fault')}"
    return CliError(f"{summary}\n{format_faults(found)}", then, EXIT_FAILED)


@click.command()
def schema() -> None:
    """Print the JSON Schema of app files, for editors."""
    as_json(json_schema())
