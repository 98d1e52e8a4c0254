"""The promises over many seeds, and that a promise which is broken is seen. A seed takes half a second.

SKERRY_SIM_SEEDS says how many seeds; each chunk of them is a test of its own, so that workers share them. `make test`
plays them beside the lab, which mostly waits.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEEDS, CHUNK = int(os.environ.get("SKERRY_SIM_SEEDS", "1000")), 50
# Which rule is taken away, how many seeds see it at most, and whether their blows are those that hunt for it.
MISSING = [
    (["margin"], 30, False), (["claims"], 20, False), (["void"], 80, True), (["boot"], 30, False),
    (["removed"], 20, False), (["sync"], 40, False), (["fsync"], 40, False), (["order"], 40, True),
    (["listening"], 40, False), (["storm"], 20, False), (["since"], 50, True), (["term"], 20, True),
    (["generation", "since"], 60, False),
]  # fmt: skip

pytestmark = pytest.mark.sim


def play(*words: object) -> subprocess.CompletedProcess[str]:
    """The simulator in a process of its own: it replaces that process's clock and entropy."""
    argv = [sys.executable, "-m", "tests.sim", *map(str, words)]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}  # else it would have to begin again with that
    return subprocess.run(
        argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.mark.parametrize("first", range(1, SEEDS + 1, CHUNK))
def test_the_promises_hold(first: int) -> None:
    done = play(first, min(first + CHUNK - 1, SEEDS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_hub_that_hung_decides_nothing_once_another_leads() -> None:
    done = play(1, 25, "--aim", "term")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_seed_plays_the_same_each_time() -> None:
    once, again = play(3, 3, "--history"), play(2, 3, "--history")
    assert once.returncode == again.returncode == 0
    history = once.stdout.partition("\n\n")[0]
    assert len(history.splitlines()) > 10
    assert history in again.stdout


@pytest.mark.parametrize(("rules", "within", "aimed"), MISSING, ids=[" and ".join(one[0]) for one in MISSING])
def test_it_sees_that_a_rule_is_missing(rules: list[str], within: int, aimed: bool) -> None:
    away = [word for rule in rules for word in ("--without", rule)]
    done = play(1, within, "--first", *away, *(["--aim", rules[0]] if aimed else []))
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr
    assert "BROKEN" in done.stdout
