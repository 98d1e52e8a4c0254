"""Lines that a node repeats when it is asked again: dropped once each, whatever came of which copy."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skerry_hub.api.replay import Replay
from skerry_hub.api.views import LogLine


def line(moment: int, text: str, copy: str = "web-1", node: str = "n1") -> LogLine:
    return LogLine(node, f"2026-01-01T00:00:{moment:02d}.000Z {text}", copy)


def shown(replay: Replay, *lines: LogLine) -> list[str]:
    return [one.line.partition(" ")[2] for one in lines if replay.is_new(one)]


def test_what_was_seen_is_not_shown_again_and_nothing_is_lost() -> None:
    replay = Replay()
    assert shown(replay, line(1, "a"), line(2, "b"), line(2, "b")) == ["a", "b", "b"]
    replay.restart("n1", 200)
    again = (line(1, "a"), line(2, "b"), line(2, "b"), line(2, "c"), line(3, "d"), line(3, "d"))
    assert shown(replay, *again) == ["c", "d", "d"]


def test_another_copy_and_another_node_are_told_apart() -> None:
    replay = Replay()
    assert shown(replay, line(5, "a")) == ["a"]
    replay.restart("n1", 200)
    assert shown(replay, line(1, "a", "web-2"), line(1, "a", node="n2"), line(5, "a")) == ["a", "a"]


def test_without_a_new_question_nothing_is_dropped() -> None:
    """A node's clock may be set back: what it writes then is new all the same."""
    replay = Replay()
    assert shown(replay, line(9, "a"), line(1, "b"), line(1, "b")) == ["a", "b", "b"]


def test_a_clock_that_was_set_back_hides_no_more_than_what_was_asked_for() -> None:
    replay = Replay()
    assert shown(replay, line(50, "a")) == ["a"]
    replay.restart("n1", 2)
    assert shown(replay, *(line(at, str(at)) for at in range(5))) == ["2", "3", "4"]


LINES = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab")), max_size=12)


@given(LINES, st.integers(0, 12))
def test_wherever_a_node_is_lost_every_line_is_shown_once(written: list[tuple[int, str]], cut: int) -> None:
    """It is asked again for all, after any number of lines came."""
    journal = [line(moment, text) for moment, text in sorted(written, key=lambda one: one[0])]
    replay = Replay()
    before = [one for one in journal[:cut] if replay.is_new(one)]
    replay.restart("n1", len(journal) + 1)
    after = [one for one in journal if replay.is_new(one)]
    assert sorted(one.line for one in before + after) == sorted(one.line for one in journal)
