"""The promises over many seeds, and that a promise which is broken is seen. A seed takes half a second.

SKERRY_SIM_SEEDS says how many seeds; each chunk of them is a test of its own, so that workers share them. `make test`
plays them beside the lab, which mostly waits.
"""

from __future__ import annotations

import os

import pytest

from tests.forking import Forks

SIM = "tests.sim"
SEEDS, CHUNK = int(os.environ.get("SKERRY_SIM_SEEDS", "1000")), 50
# Which rule is taken away, the first seed that sees it, one of how many, and whether their blows hunt for it.
# Another change of Skerry may make that seed go another way: then so many are looked at, and the one that sees it
# (`--first` ends there) belongs here, else that takes its time in each run.
MISSING = [
    (["margin"], 3, 30, False), (["claims"], 1, 20, False), (["void"], 38, 80, True), (["boot"], 4, 30, False),
    (["removed"], 1, 20, False), (["sync"], 8, 40, False), (["fsync"], 8, 40, False), (["order"], 2, 40, True),
    (["listening"], 22, 40, False), (["storm"], 4, 20, False), (["since"], 30, 50, True), (["term"], 1, 20, True),
    (["generation", "since"], 37, 60, False),
]  # fmt: skip

pytestmark = pytest.mark.sim


@pytest.mark.parametrize("first", range(1, SEEDS + 1, CHUNK))
def test_the_promises_hold(plays: Forks, first: int) -> None:
    done = plays.run(SIM, first, min(first + CHUNK - 1, SEEDS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_hub_that_hung_decides_nothing_once_another_leads(plays: Forks) -> None:
    done = plays.run(SIM, 1, 10, "--aim", "term")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_seed_plays_the_same_each_time(plays: Forks) -> None:
    once, again = plays.run(SIM, 3, 3, "--history"), plays.run(SIM, 2, 3, "--history")
    assert once.returncode == again.returncode == 0
    history = once.stdout.partition("\n\n")[0]
    assert len(history.splitlines()) > 10
    assert history in again.stdout


@pytest.mark.parametrize(
    ("rules", "seen", "within", "aimed"), MISSING, ids=[" and ".join(one[0]) for one in MISSING]
)
def test_it_sees_that_a_rule_is_missing(
    plays: Forks, rules: list[str], seen: int, within: int, aimed: bool
) -> None:
    away = [word for rule in rules for word in ("--without", rule)]
    aim = ["--aim", rules[0]] if aimed else []
    assert plays.run(SIM, seen, seen, *aim).returncode == 0
    done = plays.run(SIM, seen, seen, *away, *aim)
    if done.returncode == 0:
        done = plays.run(SIM, 1, within, "--first", *away, *aim)
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr
    assert "BROKEN" in done.stdout
