from __future__ import annotations

import click
import pytest

from skerry_hub.cli.edge import run
from skerry_hub.cli.errors import EXIT_INTERRUPTED, EXIT_PENDING, EXIT_REFUSED, EXIT_USAGE, CliError


@click.group()
@click.option("--debug", is_flag=True)
def cli(debug: bool) -> None:
    """For these tests."""


@cli.command()
@click.argument("what")
def fail(what: str) -> int:
    """Ends as it is told."""
    if what == "refused":
        raise CliError("cannot a: b\x1b", "do c", EXIT_REFUSED)
    if what == "interrupted":
        raise KeyboardInterrupt
    if what == "os":
        raise PermissionError(13, "Permission denied", "/f")
    if what == "fault":
        raise ZeroDivisionError("one by none")
    return EXIT_PENDING


def test_an_error_is_a_line_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["fail", "refused"]) == EXIT_REFUSED
    assert capsys.readouterr() == ("", "skerry: cannot a: b\\x1b\n  do c\n")


def test_a_command_chooses_its_exit_code() -> None:
    assert run(cli, ["fail", "pending"]) == EXIT_PENDING


def test_ctrl_c_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["fail", "interrupted"]) == EXIT_INTERRUPTED
    assert capsys.readouterr().err.strip() == ""


def test_what_the_system_refuses_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["fail", "os"]) == 1
    assert capsys.readouterr().err == "skerry: cannot go on: [Errno 13] Permission denied: '/f'\n"


def test_wrong_words_say_where_help_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["fail"]) == EXIT_USAGE
    said = capsys.readouterr().err
    assert said == "skerry: cannot do that: missing argument 'WHAT'\n  see 'skerry fail --help'\n"


def test_a_fault_of_ours_has_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["fail", "fault"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("skerry: cannot go on: ZeroDivisionError: one by none\n")
    assert "Traceback" not in said


def test_debug_shows_where_it_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["--debug", "fail", "fault"]) == 1
    assert "Traceback" in capsys.readouterr().err
