"""The promises over many seeds, and that a promise which is broken is seen. A seed takes about a second."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEEDS, CHUNK = 100, 10
FOUND_WITHIN = 60


def play(*words: object) -> subprocess.CompletedProcess[str]:
    """The simulator in a process of its own: it replaces that process's clock and entropy."""
    argv = [sys.executable, "-m", "tests.sim", *map(str, words)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.parametrize("first", range(1, SEEDS, CHUNK))
def test_the_promises_hold(first: int) -> None:
    done = play(first, first + CHUNK - 1)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_seed_plays_the_same_each_time() -> None:
    once, again = play(3, 3, "--history"), play(2, 3, "--history")
    assert once.returncode == again.returncode == 0
    history = once.stdout.partition("\n\n")[0]
    assert len(history.splitlines()) > 10
    assert history in again.stdout


@pytest.mark.parametrize("rule", ["margin", "sync", "order"])
def test_it_sees_that_a_rule_is_missing(rule: str) -> None:
    done = play(1, FOUND_WITHIN, "--first", "--without", rule)
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr
    assert "BROKEN" in done.stdout
