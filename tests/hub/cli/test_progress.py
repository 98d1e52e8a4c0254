from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_hub.api.views import AppView
from skerry_hub.cli.errors import EXIT_FAILED, EXIT_PENDING
from skerry_hub.cli.progress import Seen, State, Wanted, ended, ending, exit_code, judge, judge_all, news
from skerry_hub.loops.explain import CopyWhy, Stage, Why
from skerry_protocol.ids import AppName
from skerry_protocol.messages import StepState

STATES = ("healthy", "running", "waiting", "held", "failed")
WEB = AppView("web", 3, "ha", 2, 2, 2, "healthy", "all 2 copies are healthy", "ann", 0)


def view(**changes: object) -> AppView:
    return msgspec.structs.replace(WEB, **changes)


def told(*copies: tuple[str, int], revision: int = 3, headline: str = "so it is") -> Why:
    """An explanation with copies of these states and revisions."""
    made = tuple(
        CopyWhy(f"web-{number}", number, state, "", (), revision=of)
        for number, (state, of) in enumerate(copies, 1)
    )
    return Why(AppName("web"), revision, "", headline, made)


GOOD = told(("healthy", 3), ("healthy", 3))
SAYS = "web-2 waits for its archive"


@pytest.mark.parametrize(
    ("app", "why", "state", "text", "may_pass_ms"),
    [
        (WEB, GOOD, State.DONE, "2 of 2 healthy", 0),
        (
            WEB,
            told(("healthy", 3), ("running", 3), headline=SAYS),
            State.PENDING,
            f"1 of 2 healthy: {SAYS}",
            0,
        ),
        (
            WEB,
            told(("healthy", 3), ("failed", 3), headline=SAYS),
            State.FAILED,
            f"1 of 2 healthy: {SAYS}",
            15_000,
        ),
        # Put back by its node, or on a silent one: it does not go on by itself, but another copy still does.
        (WEB, told(("healthy", 3), ("held", 3), headline=SAYS), State.FAILED, f"1 of 2 healthy: {SAYS}", 0),
        (WEB, told(("running", 3), ("held", 3), headline=SAYS), State.PENDING, f"0 of 2 healthy: {SAYS}", 0),
        # Healthy, but on the revision before: nobody has placed the new one yet.
        (
            WEB,
            told(("healthy", 2), ("healthy", 2), headline=SAYS),
            State.PENDING,
            f"0 of 2 healthy: {SAYS}",
            0,
        ),
        (
            WEB,
            told(("healthy", 3), ("healthy", 2), headline=SAYS),
            State.PENDING,
            f"1 of 2 healthy: {SAYS}",
            0,
        ),
        # One stays on a lost node as it was; its stand-in is there.
        (WEB, told(revision=2), State.PENDING, "2 of 2 healthy", 0),
        (WEB, None, State.PENDING, "2 of 2 healthy", 0),
        (view(wanted=0), told(), State.DONE, "0 of 0 healthy", 0),
        (view(revision=2), GOOD, State.PENDING, "revision 2, revision 3 is to come", 0),
        (view(revision=4), GOOD, State.FAILED, "revision 4 by ann took its place", 0),
        (view(state="removed"), None, State.FAILED, "somebody removed it meanwhile", 0),
        (None, None, State.FAILED, "somebody removed it meanwhile", 0),
    ],
)
def test_a_verdict(app: AppView | None, why: Why | None, state: State, text: str, may_pass_ms: int) -> None:
    assert judge(Wanted("web", 3), app, why) == Seen(state, text, may_pass_ms)


def test_what_its_node_put_back_does_not_pass() -> None:
    failed = Stage("started", StepState.FAILED, 1, "exit status 3")
    held = Stage("healthy", StepState.HELD, 2, "the node runs revision 2 in its place")
    copy = CopyWhy("web-1", 1, "failed", "", (failed, held), revision=3)
    why = Why(AppName("web"), 3, "failed", "so it is", (copy,))
    assert judge(Wanted("web", 3), WEB, why) == Seen(State.FAILED, "0 of 2 healthy: so it is", 0)


def test_a_failure_may_pass_until_the_grace_is_over() -> None:
    seen = {"web": Seen(State.FAILED, "", 35_000), "api": Seen(State.DONE, "")}
    assert not ended(seen, {"web": 34_999})
    assert ended(seen, {"web": 35_000})
    # What its node put back is over at once.
    assert ended({"web": Seen(State.FAILED, "")}, {"web": 0})


def test_a_removal_is_done_when_the_app_is_gone() -> None:
    gone = Wanted("web", 3, removed=True)
    assert judge(gone, None, None) == Seen(State.DONE, "removed")
    assert judge(gone, view(state="removed"), None) == Seen(State.DONE, "removed")
    assert judge(gone, WEB, GOOD) == Seen(State.PENDING, "2 still there")


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 3),
    st.lists(st.tuples(st.sampled_from(STATES), st.integers(1, 4)), max_size=4),
)
def test_done_means_enough_healthy_copies_of_the_wanted_revision(
    wanted: int, there: int, replicas: int, copies: list[tuple[str, int]]
) -> None:
    seen = judge(Wanted("web", wanted), view(revision=there, wanted=replicas), told(*copies, revision=there))
    if seen.state is State.DONE:
        assert there == wanted
        assert copies.count(("healthy", wanted)) >= replicas
        assert all(state == "healthy" for state, of in copies if of == wanted)


def on_silent(why: Why, *numbers: int) -> Why:
    copies = tuple(msgspec.structs.replace(copy, silent=copy.number in numbers) for copy in why.copies)
    return msgspec.structs.replace(why, copies=copies)


@pytest.mark.parametrize(
    ("why", "state", "resting"),
    [
        # One for each node, and a node is away: nothing here would end the wait for it.
        (on_silent(told(("healthy", 3), ("waiting", 3)), 2), State.PENDING, True),
        (on_silent(told(("healthy", 3), ("held", 3)), 2), State.PENDING, True),
        (on_silent(told(("waiting", 3), ("waiting", 3)), 1, 2), State.PENDING, True),
        # The others are on their way, or have failed, or what stands in for it is there.
        (on_silent(told(("running", 3), ("waiting", 3)), 2), State.PENDING, False),
        (on_silent(told(("failed", 3), ("waiting", 3)), 2), State.FAILED, False),
        (on_silent(told(("held", 2), ("healthy", 3), ("healthy", 3)), 1), State.DONE, False),
    ],
)
def test_nobody_waits_for_a_silent_node(why: Why, state: State, resting: bool) -> None:
    seen = judge(Wanted("web", 3), WEB, why)
    assert (seen.state, seen.resting) == (state, resting)


def test_news_are_said_once() -> None:
    wanted = (Wanted("web", 3), Wanted("longer", 1))
    first = judge_all(wanted, {"web": WEB}, {"web": told(("healthy", 3), ("running", 3))})
    then = judge_all(wanted, {"web": WEB}, {"web": GOOD})
    assert list(news({}, first)) == [
        "  web     1 of 2 healthy: so it is",
        "  longer  somebody removed it meanwhile",
    ]
    assert list(news(first, then)) == ["  web     2 of 2 healthy"]
    assert list(news(then, then)) == []


@given(st.lists(st.sampled_from(State), max_size=5))
def test_the_exit_code_follows_from_the_worst(states: list[State]) -> None:
    seen = {str(at): Seen(state, "") for at, state in enumerate(states)}
    code = exit_code(seen)
    assert (code == EXIT_FAILED) == (State.FAILED in states)
    assert (code == EXIT_PENDING) == (State.PENDING in states and State.FAILED not in states)
    assert ended(seen, {}) == (State.PENDING not in states)
    assert len(list(ending(seen, ()))) == len([state for state in states if state is not State.DONE])


@pytest.mark.parametrize(("state", "rests"), [("waiting", True), ("running", False)])
def test_an_app_that_did_not_change_is_waited_for_only_while_something_is_under_way(
    state: str, rests: bool
) -> None:
    why = told(("healthy", 3), (state, 3))
    seen = judge(Wanted("web", 3, unchanged=True), WEB, why)
    assert (seen.state, seen.resting) == (State.PENDING, rests)
    assert ended({"web": seen}, {}) is rests
    assert exit_code({"web": seen}) == EXIT_PENDING
    assert not ended({"web": judge(Wanted("web", 3), WEB, why)}, {})
    assert judge(Wanted("web", 3, unchanged=True), WEB, GOOD).state is State.DONE


def test_a_first_revision_has_nothing_to_go_back_to() -> None:
    seen = {"web": Seen(State.FAILED, ""), "api": Seen(State.FAILED, "")}
    first, second = ending(seen, (Wanted("web", 1), Wanted("api", 2)))
    assert "'skerry remove web'" in first
    assert "'skerry rollback api'" in second
