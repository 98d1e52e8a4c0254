from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.network.hubs import METERED_STALE_MS, STALE_MS, TRY_MS, Sought, looked

ONE, TWO = "one.example:51820", "two.example:51820"
BOTH = (ONE, TWO)


def test_one_that_was_never_anywhere_is_looked_up_at_once() -> None:
    assert looked(None, BOTH, False, None, 5) == (Sought(BOTH, 5, tries=1), ONE)


def test_one_that_was_somewhere_is_tried_there_first() -> None:
    begun, text = looked(None, BOTH, True, None, 5)
    assert text is None
    assert looked(begun, BOTH, True, None, 4 + TRY_MS) == (begun, None)
    assert looked(begun, BOTH, True, None, 5 + TRY_MS)[1] == ONE


def test_the_next_by_turns_and_less_often_with_each_round() -> None:
    sought, now, tried = looked(None, BOTH, False, None, 0)[0], 0, list[tuple[int, str | None]]()
    for _ in range(7):
        before, now = now, sought.due_ms
        sought, text = looked(sought, BOTH, False, None, now)
        tried.append(((now - before) // TRY_MS, text))
    assert tried == [(1, TWO), (2, ONE), (2, TWO), (4, ONE), (4, TWO), (8, ONE), (8, TWO)]


def test_one_that_answers_is_left_in_peace_until_its_handshake_is_old() -> None:
    sought, _ = looked(None, BOTH, False, None, 0)
    answered, text = looked(sought, BOTH, False, 7.0, TRY_MS)
    assert (answered.answered, text) == (True, None)
    again, text = looked(answered, BOTH, False, 130.0, TRY_MS + 120_000)
    assert text is None
    assert looked(again, BOTH, False, 130.0, again.since_ms + STALE_MS - 1) == (again, None)
    assert looked(again, BOTH, False, 130.0, again.since_ms + STALE_MS)[1] == ONE


def test_one_that_is_not_held_open_is_heard_with_each_beat_and_sought_where_that_is_long_ago() -> None:
    sought, _ = looked(None, BOTH, False, None, 0)
    answered, _ = looked(sought, BOTH, False, 7.0, 1, METERED_STALE_MS)
    assert looked(answered, BOTH, False, 7.0, METERED_STALE_MS, METERED_STALE_MS) == (answered, None)
    again, text = looked(answered, BOTH, False, 7.0, 1 + METERED_STALE_MS, METERED_STALE_MS)
    assert text == ONE
    assert again.due_ms == 1 + METERED_STALE_MS + TRY_MS


def test_other_endpoints_are_tried_at_once() -> None:
    """A change of them is on trial: it has to show."""
    sought, _ = looked(None, (ONE,), False, None, 0)
    answered, _ = looked(sought, (ONE,), False, 7.0, 1)
    assert looked(answered, (TWO,), True, 7.0, 2)[1] == TWO


@given(
    st.lists(st.tuples(st.integers(0, 400_000), st.sampled_from([None, 1.0, 2.0, 0.5])), max_size=60),
    st.sampled_from([(ONE,), BOTH]),
)
def test_it_is_always_sought_again_within_three_minutes(
    steps: list[tuple[int, float | None]], endpoints: tuple[str, ...]
) -> None:
    sought, now = None, 0
    for waits, handshake in steps:
        now += waits
        sought, _ = looked(sought, endpoints, False, handshake, now)
        assert now < sought.due_ms <= now + STALE_MS
