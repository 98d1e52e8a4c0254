"""Each scenario prints what its file says, and what cannot be played says so with its place."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.forking import Forks

from .scenario import Fault, parse, rendered

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


def played(plays: Forks, *words: object) -> subprocess.CompletedProcess[str]:
    return plays.run("tests.sim.scenario", *words)


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.stem)
def test_it_goes_as_the_file_says(plays: Forks, file: Path) -> None:
    done = played(plays, file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.stem)
def test_no_scenario_expects_a_broken_promise(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert "BROKEN" not in text
    assert text.splitlines()[-2:] == ["> settle", "settled"]


def test_a_text_is_read_and_written_back() -> None:
    text = "# why\n\n> nodes 2  # two\n> where\nnothing runs\n"
    lines = parse(text, "x.txt")
    assert [line.words for line in lines] == [None, None, ("nodes", "2"), ("where",)]
    assert rendered(lines, {4: ["nothing runs"]}) == text
    with pytest.raises(Fault, match=r"x\.txt:1: 'hello' is neither a command"):
        parse("hello\n", "x.txt")
    with pytest.raises(Fault, match=r"x\.txt:2: a command is missing"):
        parse("# why\n> \n", "x.txt")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("> fly n1", "bad.txt:2: cannot do 'fly n1': there is no such command ('--commands' lists them)"),
        ("> cut", "bad.txt:2: cannot do 'cut': it takes 'cut NODE [WAY]'"),
        ("> cut n9", "bad.txt:2: cannot do 'cut n9': there is no machine n9 (n1)"),
        ("> wait soon", "bad.txt:2: cannot do 'wait soon': 'soon' is no time (90, 5m, 3h, 2d, -10y)"),
        ("> put back 1", "bad.txt:2: cannot do 'put back 1': there are 0 backups"),
    ],
)
def test_what_cannot_be_done_says_where_and_why(plays: Forks, tmp_path: Path, line: str, why: str) -> None:
    file = tmp_path / "bad.txt"
    file.write_text(f"> nodes 1\n{line}\n", encoding="utf-8")
    done = played(plays, file)
    assert (done.returncode, done.stdout) == (1, f"{why}\n"), done.stderr


def test_what_differs_is_shown_and_can_be_taken_over(plays: Forks, tmp_path: Path) -> None:
    file = tmp_path / "new.txt"
    file.write_text("> nodes 1\n> where\nnothing at all\n", encoding="utf-8")
    done = played(plays, file)
    assert done.returncode == 1
    assert "-nothing at all\n+nothing runs\n" in done.stdout
    assert played(plays, file, "--update").returncode == 0
    assert file.read_text(encoding="utf-8") == "> nodes 1\n> where\nnothing runs\n"
