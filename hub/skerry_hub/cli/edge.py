"""The one place where a command ends: every failure becomes a line, what to do, and an exit code.

Commands raise CliError or return an exit code; they never catch what they cannot mend. Only `--debug` shows where in
the program something came from.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from .errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, CliError
from .show import safe


def run(command: click.Command, argv: Sequence[str], given: object = None) -> int:
    """Runs `command` with the words `argv`; the exit code. `given` is the object of its context."""
    debug = "--debug" in argv
    try:
        result = command.main(args=list(argv), prog_name="skerry", standalone_mode=False, obj=given)
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except (CliError, click.ClickException, OSError) as error:
        if debug:
            _trace()
        return _say(_explained(error))
    except Exception as error:  # noqa: BLE001 - the outermost edge: nobody else could say it
        if debug:
            _trace()
        return _say(_unexpected(error))
    return result if isinstance(result, int) else 0


def _trace() -> None:
    from traceback import print_exc  # noqa: PLC0415 - hardly ever

    print_exc()


def _explained(error: Exception) -> CliError:
    if isinstance(error, CliError):
        return error
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "skerry"
        return CliError(_sentence(error), f"see '{path} --help'", EXIT_USAGE)
    if isinstance(error, click.ClickException):
        return CliError(_sentence(error))
    return CliError(f"cannot go on: {error}")


def _sentence(error: click.ClickException) -> str:
    """What click or the lab says, as all others say it."""
    text = error.format_message().rstrip(".")
    return text if text.startswith("cannot ") else f"cannot do that: {text[:1].lower()}{text[1:]}"


def _unexpected(error: Exception) -> CliError:
    text = f"cannot go on: {type(error).__name__}: {error}"
    return CliError(text, "this is a fault of Skerry's; 'skerry --debug …' shows where", EXIT_FAILED)


def _say(error: CliError) -> int:
    click.echo(f"skerry: {safe(error.what)}", err=True)
    if error.then:
        click.echo(f"  {safe(error.then)}", err=True)
    return error.code
