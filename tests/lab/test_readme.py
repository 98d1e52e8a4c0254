"""The README's session, done for real: the same commands in the same order, and output of the same shape.

Slow, because it waits for a node to be lost, which takes the app's own `lost_after`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT, blocks

README = ROOT / "README.md"
SKERRY = Path(sys.executable).parent / "skerry"
LEFT_OUT = "…"
CHANGES = {"apply", "up", "cut", "heal", "down"}
LOOK_S, SOON_S = 1.0, 60.0
AGES = re.compile(r"\b[0-9]+(?:\.[0-9]+)? ?(?:ms|s|m|h)\b|\b[0-9]+\b")


class Session:
    """A shell for one lab of its own. The README's `n1` is the node on which the first ledger is."""

    def __init__(self, folder: Path) -> None:
        self.lab = f"readme-{os.getpid()}"
        self.folder = folder
        self.node = "n1"
        settings = f"/var/lib/skerry-lab/{self.lab}/hub/operator.toml"
        self.environ = os.environ | {"SKERRY_CONFIG": settings, "COLUMNS": "400"}

    def run(self, command: str) -> str:
        """What a command says. One that fails fails the test."""
        words = re.sub(r"\bn1\b", self.node, command).split()[1:]
        if words[0] == "lab":
            words[1:1] = ["--name", self.lab]
        done = subprocess.run(
            [SKERRY, *words], cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False,
            timeout=SOON_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def until(self, command: str, expected: list[str]) -> None:
        """Runs it; one that only looks is run again until it says what is expected."""
        deadline = time.monotonic() + (0 if CHANGES & set(command.split()) else SOON_S)
        while (missing := first_missing(expected, output := self.run(command))) is not None:
            if time.monotonic() > deadline:
                pytest.fail(f"$ {command}\nsays nothing like\n{missing}\nbut\n{output}", pytrace=False)
            time.sleep(LOOK_S)


def shape(line: str) -> tuple[str, ...]:
    """The first columns of a line, without what differs from run to run: counts, ages, which node."""
    cells = re.split(r" {2,}", line.strip())
    return tuple(AGES.sub("#", cell) for cell in cells[:3])


def first_missing(expected: list[str], output: str) -> str | None:
    """The first line with no like in what comes after the like of the one before; without gaps but at LEFT_OUT."""
    lines = iter(shape(line) for line in output.splitlines())
    gap = False
    for line in expected:
        if line == LEFT_OUT:
            gap = True
        elif gap:
            if shape(line) not in lines:  # moves on to the line after it
                return line
            gap = False
        elif next(lines, None) != shape(line):
            return line
    return None


def steps() -> Iterator[tuple[str, list[str]]]:
    """The commands of the README's sessions, each with the lines that it shows."""
    for block in blocks(README, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.rstrip("\n").split("\n")
            yield command, lines


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    (tmp_path / "apps.toml").write_text(blocks(README, "toml")[0])
    made = Session(tmp_path)
    try:
        yield made
    finally:
        made.run("skerry lab down")


def test_the_session_of_the_readme(session: Session) -> None:
    done = []
    for command, expected in steps():
        session.until(command, expected)
        done.append(command.split()[1])
        if command.startswith("skerry apply"):
            (session.node,) = re.findall(r"ledger-1 on (n\d)", session.run("skerry why ledger"))
    assert {"lab", "apply", "apps", "why"} <= set(done)
