"""What the second line kills, and when: never before systemd would have, always before the next copy may start."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from skerry_agent.fence.verdict import (
    AGAIN_MS,
    GUARD_MS,
    SLACK_MS,
    due,
    judge,
    slice_name,
    slice_of,
)
from skerry_protocol.lease import lease_for

NOW = 1_000_000
L, S = 10_000, 1_000
ONE = (L, S)

moments = st.integers(0, 10**7)
lengths = st.integers(1, 10**6)
records = st.dictionaries(lengths, moments, max_size=4)
slices = st.sets(st.tuples(lengths, st.integers(0, 10**5)), max_size=4)


def test_a_slice_says_its_length_and_its_stop_timeout() -> None:
    assert slice_name(46_400, 10_000) == "skerry-lease_46400_10000.slice"
    assert slice_of("skerry-lease_46400_10000.slice") == (46_400, 10_000)


@given(st.text())
def test_other_names_are_no_slices_of_leases(name: str) -> None:
    found = slice_of(name)
    assert found is None or slice_of(slice_name(*found)) == found
    for strange in (
        "skerry-lease_1.slice",
        "skerry-lease_1_.slice",
        "skerry-lease_1_2_3.slice",
        "skerry-web.slice",
    ):
        assert slice_of(strange) is None


def test_what_is_granted_lives() -> None:
    kill, look_ms, known = judge(NOW, {L: NOW + 5}, {}, {ONE})
    assert kill == ()
    assert known == {L: NOW + 5}
    assert look_ms == NOW + GUARD_MS


def test_a_copy_that_is_stopping_has_its_stop_timeout() -> None:
    late = NOW - S - SLACK_MS
    assert judge(NOW, {L: late + 1}, {}, {ONE})[0] == ()
    kill, look_ms, _ = judge(NOW, {L: late}, {}, {ONE})
    assert kill == (ONE,)
    assert look_ms == NOW + AGAIN_MS, "what does not die is killed again"


def test_each_stop_timeout_counts_for_its_own_copies() -> None:
    quick, slow = (L, S), (L, 60_000)
    assert judge(NOW, {L: NOW - 30_000}, {}, {quick, slow})[0] == (quick,)


def test_with_nothing_to_guard_it_sleeps_until_it_is_told() -> None:
    assert judge(NOW, {}, {L: NOW - 1}, set()) == ((), None, {})


def test_a_lease_that_is_over_is_watched_for_what_comes_late() -> None:
    assert judge(NOW, {L: NOW - 10**6}, {}, set())[1] == NOW + GUARD_MS


def test_a_record_that_vanished_counts_as_it_was_while_a_copy_lives() -> None:
    assert judge(NOW, {}, {L: NOW - S - SLACK_MS}, {ONE})[0] == (ONE,)
    assert judge(NOW, {}, {L: NOW + 7}, {ONE})[2] == {L: NOW + 7}


def test_a_copy_of_which_nothing_is_known_has_as_long_as_any_grant_could_give() -> None:
    kill, _, known = judge(NOW, {}, {}, {ONE})
    assert kill == ()
    assert known == {L: NOW + L}
    assert judge(NOW + L + S + SLACK_MS, {}, known, {ONE})[0] == (ONE,)


@given(moments, records, records, slices)
def test_nothing_is_killed_before_systemd_has_to_have_done_it(
    now_ms: int, told: dict[int, int], before: dict[int, int], alive: set[tuple[int, int]]
) -> None:
    kill, look_ms, known = judge(now_ms, told, before, alive)
    assert set(kill) <= alive
    for length_ms, stop_ms in alive:
        deadline_ms = told.get(length_ms, before.get(length_ms, now_ms + length_ms))
        is_over = now_ms >= deadline_ms + stop_ms + SLACK_MS
        assert ((length_ms, stop_ms) in kill) == is_over
        assert look_ms is not None
        assert look_ms <= (now_ms + AGAIN_MS if is_over else due(deadline_ms, stop_ms))
    assert {name: known[name] for name in told} == told
    assert set(known) == set(told) | {length_ms for length_ms, _ in alive}
    assert look_ms is None or look_ms > now_ms


@given(
    st.integers(14_500, 10**7), st.integers(0, 120_000), st.integers(0, 60_000), st.integers(0, 10**4),
    st.lists(st.integers(0, 10**7), max_size=4),
)  # fmt: skip
def test_whatever_happens_to_a_copy_it_is_dead_before_the_next_may_start(
    lost_after_ms: int, stop_ms: int, answer_ms: int, begins_ms: int, woken_ms: list[int]
) -> None:
    """The fence as it runs: it looks at its own moments, and whenever it is woken. systemd does nothing at all.

    Even a copy that comes up after its lease's end is gone within its guard's interval.
    """
    lease = lease_for(lost_after_ms, stop_ms)
    assume(lease is not None)
    assert lease is not None
    one = (lease.length_ms, stop_ms)
    deadline_ms = NOW + lease.length_ms
    next_copy_ms = NOW + answer_ms + lost_after_ms
    now_ms = NOW + answer_ms
    assume(now_ms < deadline_ms)
    known: dict[int, int] = {}
    wakes = sorted(NOW + answer_ms + one for one in woken_ms)
    while True:
        alive = {one} if now_ms >= NOW + answer_ms + begins_ms else set()
        kill, look_ms, known = judge(now_ms, {lease.length_ms: deadline_ms}, known, alive)
        if kill:
            break
        assert look_ms is not None
        wakes = [at_ms for at_ms in wakes if at_ms > now_ms]
        now_ms = min([look_ms, *wakes[:1]])
    assert now_ms >= deadline_ms + stop_ms
    started_in_time = NOW + answer_ms + begins_ms <= deadline_ms + stop_ms
    assert not started_in_time or now_ms < next_copy_ms
    assert now_ms <= max(due(deadline_ms, stop_ms), NOW + answer_ms + begins_ms) + GUARD_MS
