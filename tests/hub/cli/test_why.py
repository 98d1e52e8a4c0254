from __future__ import annotations

import pytest

from skerry_hub.cli import show
from skerry_hub.cli.why import lines
from skerry_hub.loops.explain import CopyWhy, Stage, Why
from skerry_protocol.ids import AppName, NodeName
from skerry_protocol.messages import StepState

NOW = 1_700_000_000_000
DONE = Stage("admit", StepState.DONE, NOW - 60_000, "revision 3 by ann")
STUCK = Stage("fetched", StepState.RUNNING, NOW - 5_000, "12 %\x1b[2J")
LATER = Stage("started", StepState.WAITING)
COPIES = (
    CopyWhy("web-1", 1, "healthy", "", (DONE,), node=NodeName("n1"), revision=3),
    CopyWhy("web-2", 2, "running", "", (DONE, STUCK, LATER), node=NodeName("n2"), revision=3, claim=7),
    CopyWhy("web-3", 3, "waiting", "", (DONE,)),
)
WHY = Why(AppName("web"), 3, "running", "web-2 fetches", COPIES, "ann", "new look", NOW - 60_000)


@pytest.fixture(autouse=True)
def _a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "now_ms", lambda: NOW)


def test_the_headline_comes_first_then_each_copy_up_to_its_step() -> None:
    assert list(lines(WHY, whole=True)) == [
        "web: running, web-2 fetches",
        "revision 3 by ann, 1m ago: new look",
        "",
        "web-1 on n1 (revision 3): healthy",
        "  admit      done       1m  revision 3 by ann",
        "",
        "web-2 on n2 (revision 3, claim 7): running",
        "  admit      done       1m  revision 3 by ann",
        "  fetched    running    5s  12 %\\x1b[2J",
        "",
        "web-3: waiting",
        "  admit      done       1m  revision 3 by ann",
    ]


def test_of_many_copies_the_healthy_ones_get_a_line() -> None:
    shown = list(lines(WHY, whole=False))
    assert shown[3:6] == [
        "web-1 on n1 (revision 3): healthy",
        "",
        "web-2 on n2 (revision 3, claim 7): running",
    ]
