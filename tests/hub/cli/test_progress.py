from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_hub.api.views import AppView
from skerry_hub.cli.errors import EXIT_FAILED, EXIT_PENDING
from skerry_hub.cli.progress import Seen, State, Wanted, ended, ending, exit_code, judge, judge_all, news

STATES = ("healthy", "starting", "waiting", "failed", "removed")
WEB = AppView("web", 3, "ha", 2, 2, 2, "healthy", "all is well", "ann", 0)


def view(**changes: object) -> AppView:
    return msgspec.structs.replace(WEB, **changes)


@pytest.mark.parametrize(
    ("wanted", "app", "state", "text"),
    [
        (Wanted("web", 3), WEB, State.DONE, "2 of 2 healthy"),
        (
            Wanted("web", 3),
            view(state="starting", healthy=1, headline="web-2 waits for its archive"),
            State.PENDING,
            "1 of 2 healthy: web-2 waits for its archive",
        ),
        (
            Wanted("web", 3),
            view(state="failed", healthy=0, headline="web-1 was put back"),
            State.FAILED,
            "0 of 2 healthy: web-1 was put back",
        ),
        (Wanted("web", 4), WEB, State.PENDING, "revision 3, revision 4 is to come"),
        (Wanted("web", 2), WEB, State.FAILED, "revision 3 by ann took its place"),
        (Wanted("web", 3), None, State.FAILED, "somebody removed it meanwhile"),
        (Wanted("web", 3), view(state="removed"), State.FAILED, "somebody removed it meanwhile"),
        (Wanted("web", 3, removed=True), view(state="removed"), State.DONE, "removed"),
        (Wanted("web", 3, removed=True), None, State.DONE, "removed"),
        (Wanted("web", 3, removed=True), view(state="starting"), State.PENDING, "2 still there"),
    ],
)
def test_a_verdict(wanted: Wanted, app: AppView | None, state: State, text: str) -> None:
    assert judge(wanted, app) == Seen(state, text)


@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from(STATES),
    st.booleans(),
)
def test_only_the_wanted_revision_is_ever_done(wanted: int, there: int, state: str, removed: bool) -> None:
    seen = judge(Wanted("web", wanted, removed), view(revision=there, state=state))
    if seen.state is State.DONE:
        assert (removed and state == "removed") or (there == wanted and state == "healthy" and not removed)


def test_news_are_said_once() -> None:
    wanted = (Wanted("web", 3), Wanted("longer", 1))
    first = judge_all(wanted, {"web": view(state="starting", healthy=0)})
    then = judge_all(wanted, {"web": WEB})
    assert list(news({}, first)) == [
        "  web     0 of 2 healthy: all is well",
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
    assert ended(seen) == (State.PENDING not in states)
    assert len(list(ending(seen))) == len([state for state in states if state is not State.DONE])
