"""Assignments: full, `since` and `removed` exact whatever the node holds, confirmed where most would vanish."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from skerry_hub.loops.claims import lease_of
from skerry_hub.loops.compile import Withheld, compile_node
from skerry_hub.model import AssignmentRow, ClaimRow, ClaimState, Fact, Placement
from skerry_protocol.app import Overlap
from skerry_protocol.ids import AppName, Claim, InstanceId
from skerry_protocol.messages import Assignment, Issued, Version

from .. import builders as b

NODE = b.node("a", site="s1")
WEB, DB = b.best_effort("web", 9), b.ha("db", Overlap.FORBID)
APPS = {(AppName("web"), 1): b.row(WEB), (AppName("db"), 1): b.row(DB)}


def webs(*numbers: int) -> list[Placement]:
    return [b.placement(f"web-{number}-i", "web", number, "a", revision=1) for number in numbers]


def compiled(
    placements: list[Placement], issued: list[AssignmentRow], fact: Fact | None = None, **more: object
) -> Assignment | Withheld | None:
    return compile_node(b.MESH, NODE, placements, (), APPS, issued, fact, **more)  # type: ignore[arg-type]


def accepted(row: AssignmentRow) -> Fact:
    return Fact(b.nid("a"), row.issued, row.issued)


def test_nothing_new_is_nothing() -> None:
    first = compiled(webs(1, 2), [])
    assert isinstance(first, Assignment)
    assert first.version == Version(1, 1, 1)
    assert [one.revision for one in first.apps] == [1]
    row = b.issued_row(first)
    assert compiled(webs(2, 1), [row]) is None
    assert compiled(webs(1, 2), [row], accepted(row)) is None


def test_a_node_on_an_older_disk_gets_what_knows_that_disk() -> None:
    """A machine was cloned, the older copy of its disk is kept, and the newest assignment does not know that one."""
    first = b.issued_row(_made(compiled(webs(1), [])))
    second = b.issued_row(_made(compiled(webs(1, 2), [first], accepted(first))))
    third = b.issued_row(_made(compiled(webs(2), [first, second], accepted(second))))
    issued = [first, second, third]
    assert compiled(webs(2), issued, accepted(second)) is None
    again = _made(compiled(webs(2), issued, accepted(first)))
    assert first.issued in again.since
    assert again.version > third.issued.version
    assert compiled(webs(2), [*issued, b.issued_row(again)], accepted(first)) is None


def _made(found: Assignment | Withheld | None) -> Assignment:
    assert isinstance(found, Assignment)
    return found


def test_a_fenced_copy_comes_only_with_its_held_claim() -> None:
    placement = b.placement("db-1-i", "db", 1, "a", revision=1)
    claim = ClaimRow(AppName("db"), 1, Claim(4), b.nid("a"), placement.instance, 60_000)
    for state, instances in (
        (ClaimState.HELD, 1),
        (ClaimState.ENDING, 0),
        (ClaimState.VOID, 0),
        (ClaimState.FREE, 0),
    ):
        made = compile_node(b.MESH, NODE, [placement], [replace(claim, state=state)], APPS, [], None)
        assert isinstance(made, Assignment)
        assert len(made.instances) == instances
        if instances:
            assert (made.instances[0].claim, made.instances[0].lease) == (4, lease_of(DB))
    other = replace(claim, instance=InstanceId("db-1-other"))
    made = compile_node(b.MESH, NODE, [placement], [other], APPS, [], None)
    assert isinstance(made, Assignment)
    assert not made.instances


def test_a_node_with_something_unknown_is_left_alone_until_resume() -> None:
    row = b.issued_row(compiled(webs(1), []))  # type: ignore[arg-type]
    ahead = Fact(b.nid("a"), Issued(Version(1, 1, 9), b"?" * 32), None)
    found = compiled(webs(2), [row], ahead)
    assert isinstance(found, Withheld)
    assert "skerry hub resume" in found.text
    gone = (InstanceId("web-7-i"),)
    made = compiled(webs(2), [row], ahead, overwrites=b"?" * 32, holds=gone)
    assert isinstance(made, Assignment)
    assert made.version.generation == 10
    assert made.since[0] == ahead.accepted
    assert set(made.removed) == {InstanceId("web-1-i"), *gone}


def test_most_vanishing_needs_an_operator() -> None:
    row = b.issued_row(compiled(webs(1, 2, 3, 4, 5), []))  # type: ignore[arg-type]
    assert isinstance(compiled(webs(1, 2, 3), [row], accepted(row)), Assignment)
    found = compiled(webs(1, 2), [row], accepted(row))
    assert isinstance(found, Withheld)
    assert found.needs_confirmation
    made = compiled(webs(1, 2), [row], accepted(row), confirmed_by="mara")
    assert isinstance(made, Assignment)
    assert made.confirmed_by == "mara"
    assert compiled(webs(1, 2), [row, b.issued_row(made)], accepted(row), confirmed_by="mara") is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sets(st.integers(1, 9)), st.booleans()), max_size=8), st.integers(0, 7))
def test_removed_always_covers(course: list[tuple[set[int], bool]], skipped: int) -> None:
    """Whatever the node accepted of what was issued, the next one says of every instance it had that it goes."""
    issued: list[AssignmentRow] = []
    fact: Fact | None = None
    for wanted, takes in course:
        made = compiled(webs(*wanted), issued, fact, confirmed_by="mara")
        if isinstance(made, Assignment):
            now = {one.id for one in made.instances}
            since = [
                row
                for row in issued
                if fact is None or fact.accepted is None or row.issued.version >= fact.accepted.version
            ]
            assert list(made.since) == [row.issued for row in since]
            assert set(made.removed) == set().union(*(row.instances for row in since)) - now
            assert all(made.version > row.issued.version for row in issued)
            issued.append(b.issued_row(made))
        if takes and issued:
            row = issued[-1 - skipped % len(issued)]
            if fact is None or fact.accepted is None or row.issued.version > fact.accepted.version:
                fact = accepted(row)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sets(st.integers(1, 3)), st.integers(0, 9)), max_size=8))
def test_the_bounds_of_since_say_as_much_as_all_of_it(course: list[tuple[set[int], int]]) -> None:
    """Also where a node goes back to what it held before, as with an older disk."""
    issued: list[AssignmentRow] = []
    whole: dict[Issued, tuple[Issued, ...]] = {}
    for wanted, holds in course:
        fact = accepted(issued[holds % len(issued)]) if issued else None
        made = compiled(webs(*wanted), issued, fact, confirmed_by="mara")
        row = issued[-1] if issued else None
        if row is not None and fact is not None and set(row.instances) == {f"web-{one}-i" for one in wanted}:
            assert (made is None) == (fact.accepted in (row.issued, *whole[row.issued]))
        if isinstance(made, Assignment):
            issued.append(b.issued_row(made))
            assert len(issued[-1].since or ()) <= 2
            whole[issued[-1].issued] = made.since
