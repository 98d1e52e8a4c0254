from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.assignments.records import Revisions
from skerry_agent.switch.revisions import healthy, switched, way_back
from skerry_agent.switch.target import Running, build
from skerry_agent.units.policy import Policy
from skerry_agent.units.render import NodeFacts, Paths
from skerry_protocol.ids import InstanceId

from ..builders import Copy, assignment_of, issued

WEB = InstanceId("web-0-aaaaaaaaaa")


def running(revision: int) -> dict[InstanceId, Running]:
    assignment = assignment_of([Copy("web", 0, "a", revision - 1)], 1)
    facts = NodeFacts("n1", "x86_64")
    return dict(build(assignment, issued(assignment), (), {}, Policy(), Paths(), facts).instances)


def played(*story: int) -> Revisions:
    """Switches to these revisions; a negative one is healthy."""
    known = Revisions()
    for one in story:
        known = healthy(known, WEB, -one) if one < 0 else switched(known, running(one))
    return known


def numbers(known: Revisions) -> list[int]:
    return [entry.revision for entry in known.kept[WEB]]


def test_the_way_back_leads_to_the_last_healthy_revision() -> None:
    assert way_back(played(1, -1, 2), WEB, 2) == 1
    assert way_back(played(1, -1, 2, -2), WEB, 2) is None
    assert way_back(played(1, -1, 2, -2, 3), WEB, 3) == 2


def test_one_that_was_never_healthy_is_passed_over_for_the_one_before() -> None:
    known = played(1, -1, 2, 3, 4)
    assert numbers(known) == [4, 1]
    assert way_back(known, WEB, 4) == 1


def test_nothing_is_gone_back_to_by_itself_where_nothing_was_healthy_but_an_admin_may() -> None:
    known = played(1, 2, 2, 3)
    assert numbers(known) == [3, 2]
    assert way_back(known, WEB, 3) is None


def test_what_was_gone_back_to_stays_the_way_back() -> None:
    known = played(1, -1, 2, 1)
    assert numbers(known) == [1, 2]
    assert way_back(known, WEB, 1) is None
    assert way_back(switched(known, running(3)), WEB, 3) == 1


def test_what_is_gone_is_forgotten() -> None:
    assert switched(played(1, -1), {}) == Revisions()


@given(st.lists(st.integers(-4, 4).filter(bool), max_size=20))
def test_what_runs_is_kept_and_the_way_back_is_here(story: list[int]) -> None:
    known, runs, well = Revisions(), 0, 0
    for one in story:
        if one > 0:
            known, runs = switched(known, running(one)), one
        elif runs:
            known, well = healthy(known, WEB, runs), runs
    if runs:
        assert numbers(known)[0] == runs
        assert len(numbers(known)) <= 2
        assert way_back(known, WEB, runs) == (well if well not in (0, runs) else None)
