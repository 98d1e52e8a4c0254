from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from skerry_agent.leases.grants import (
    BEAT_IDLE_MS,
    BEAT_METERED_MS,
    ArmLease,
    BeatNow,
    CloseLease,
    Grants,
    Outcome,
    assigned,
    beat_every_ms,
    beat_sent,
    booted,
    holdings,
    lease_ended,
    pace,
    replied,
    stopped,
    ticked,
)
from skerry_protocol.app import Availability, Ha
from skerry_protocol.ids import AppName, Claim, InstanceId, NodeId
from skerry_protocol.messages import BeatReply, Holding

from ..builders import an_app, an_instance, fenced

LENGTH = 46_400


def held(number: int = 0, length_ms: int = LENGTH) -> Holding:
    return Holding(InstanceId(f"web-{number}-aaaaaaaaaa"), AppName("web"), number, Claim(1), length_ms)


def started(*claims: Holding) -> Grants:
    return assigned(booted(None, "boot-1"), claims, claims)[0]


def answered(
    state: Grants, sent_ms: int, at_ms: int, term: int = 1, number: int = 1, length_ms: int = LENGTH
) -> Outcome:
    state, beat = beat_sent(state, sent_ms)
    return replied(state, beat, BeatReply(term, number, (length_ms,)), at_ms)


def test_a_grant_counts_from_when_the_beat_was_sent() -> None:
    state, actions = answered(started(held()), 1_000, 9_000)
    assert actions == (ArmLease(LENGTH, 1_000 + LENGTH, opens=True),)
    assert state.deadline(LENGTH) == 1_000 + LENGTH
    assert state.reply == 1


def test_a_renewal_moves_the_end_and_opens_nothing() -> None:
    state, _ = answered(started(held()), 1_000, 1_100)
    _, actions = answered(state, 20_000, 20_100, number=2)
    assert actions == (ArmLease(LENGTH, 20_000 + LENGTH, opens=False),)


def test_a_grant_whose_deadline_has_passed_is_dropped() -> None:
    state, actions = answered(started(held()), 1_000, 1_000 + LENGTH)
    assert actions == ()
    assert state.deadline(LENGTH) is None


def test_after_its_end_a_lease_is_opened_anew() -> None:
    state, _ = answered(started(held()), 1_000, 1_100)
    _, actions = answered(state, 100_000, 100_100, number=2)
    assert actions == (ArmLease(LENGTH, 100_000 + LENGTH, opens=True),)
    _, actions = answered(lease_ended(state, LENGTH), 20_000, 20_100, number=2)
    assert actions == (ArmLease(LENGTH, 20_000 + LENGTH, opens=True),)


def test_a_lower_term_is_ignored_whole() -> None:
    state, _ = answered(started(held()), 0, 10, term=5, number=7)
    later, actions = answered(state, 100, 110, term=4, number=8)
    assert actions == ()
    assert (later.term, later.reply) == (5, 7)


def test_an_answer_to_an_older_beat_changes_nothing() -> None:
    state, first = beat_sent(started(held()), 0)
    state, second = beat_sent(state, 5_000)
    state, _ = replied(state, second, BeatReply(1, 2, (LENGTH,)), 5_100)
    assert replied(state, first, BeatReply(1, 1, (LENGTH,)), 5_200) == (state, ())
    assert replied(state, second, BeatReply(1, 2, (LENGTH,)), 5_200) == (state, ())


def test_what_was_not_asked_for_is_not_armed() -> None:
    assert answered(started(), 0, 10)[1] == ()
    assert answered(started(held()), 0, 10, length_ms=LENGTH + 1)[1] == ()


def test_a_new_claim_is_asked_for_at_once() -> None:
    state = booted(None, "boot-1")
    state, actions = assigned(state, (held(),), ())
    assert actions == (BeatNow(),)
    assert assigned(state, (held(),), (held(),))[1] == ()


def test_a_claim_is_named_until_its_unit_is_down_and_then_its_lease_is_closed() -> None:
    state, _ = answered(started(held()), 0, 10)
    state, actions = assigned(state, (), ())
    assert actions == ()
    assert state.claims() == (held(),)
    state, actions = stopped(state, held().instance)
    assert actions == (CloseLease(LENGTH), BeatNow())
    assert state.claims() == ()


def test_another_length_of_the_same_claim_replaces_the_old_one_once_it_is_applied() -> None:
    old, new = held(), held(length_ms=LENGTH + 30_000)
    state, _ = answered(started(old), 0, 10)
    state, actions = assigned(state, (new,), (old,))
    assert actions == (BeatNow(),)
    assert set(state.claims()) == {old, new}
    state, actions = assigned(state, (new,), (new,))
    assert actions == (CloseLease(LENGTH),)
    assert state.claims() == (new,)


def test_another_boot_has_no_grants_but_remembers_the_term() -> None:
    state, _ = answered(started(held()), 0, 10, term=3)
    assert booted(state, "boot-1") == state
    assert booted(state, "boot-2") == Grants("boot-2", term=3)


def test_how_often_to_beat_follows_from_what_the_node_holds() -> None:
    ha = an_app("db", availability=Availability.HA, ha=Ha(30_000))
    assert beat_every_ms([an_app()], []) == BEAT_IDLE_MS
    assert beat_every_ms([an_app()], [], metered=True) == BEAT_METERED_MS
    assert beat_every_ms([an_app(), ha], [], metered=True) == 10_000
    assert beat_every_ms([an_app(), ha], []) == 10_000
    assert beat_every_ms([fenced()], [held()]) == LENGTH // 3
    assert beat_every_ms([], [held(length_ms=2)]) == 1_000


def test_nodes_that_beat_together_drift_apart_and_never_beat_later_than_they_should() -> None:
    paces = [pace(NodeId(f"n{number:016}")) for number in range(1_000)]
    assert all(0.9 <= one <= 1 for one in paces)
    second = Counter(int(one * BEAT_IDLE_MS / 1000) for one in paces)
    assert len(second) >= 29  # the seconds of half a minute
    assert max(second.values()) < 100


def test_holdings_are_the_fenced_instances() -> None:
    lone = an_instance(fenced())
    assert holdings([an_instance(an_app("db")), lone]) == (held(),)


@dataclass
class Here:
    """The clock, the state, and what beats were sent when."""

    now: int = 0
    state: Grants = field(default_factory=lambda: started(held(), held(1, 20_000)))
    sent: dict[int, int] = field(default_factory=dict)


EVENTS = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 40_000)),
    st.tuples(st.just("beat"), st.just(0)),
    st.tuples(st.just("reply"), st.integers(0, 30)),
    st.tuples(st.just("tick"), st.just(0)),
    st.tuples(st.just("end"), st.just(0)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(EVENTS, st.integers(1, 2)), max_size=40))
def test_no_lease_outlives_the_sending_of_an_answered_beat(events: list[tuple[tuple[str, int], int]]) -> None:
    here, term = Here(), 0
    for (what, value), new_term in events:
        if what == "wait":
            here.now += value
        elif what == "beat":
            here.state, beat = beat_sent(here.state, here.now)
            here.sent[beat] = here.now
        elif what == "tick":
            here.state = ticked(here.state, here.now)
        elif what == "end":
            here.state = lease_ended(here.state, LENGTH)
        elif value in here.sent:
            here.state, actions = replied(
                here.state, value, BeatReply(new_term, value, (LENGTH, 20_000)), here.now
            )
            for action in actions:
                assert isinstance(action, ArmLease)
                assert new_term >= term
                assert here.now < action.deadline_ms <= here.sent[value] + action.length_ms
            term = max(term, here.state.term)
        assert all(one.deadline_ms <= here.now + one.length_ms for one in here.state.live)
        assert len(here.state.claims()) == 2
