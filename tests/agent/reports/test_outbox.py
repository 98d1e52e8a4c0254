from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from skerry_agent.reports.outbox import (
    BATCH_MAX,
    EVENTS_MAX,
    Outbox,
    acknowledged,
    add_event,
    add_step,
    next_batch,
)
from skerry_protocol.codec import decode, encode
from skerry_protocol.ids import AppName, InstanceId
from skerry_protocol.messages import Entry, Event, Step, StepName, StepState, Version

WEB = AppName("web")


def a_step(
    instance: str = "web-1", seq: int = 1, generation: int = 1, name: StepName = StepName.STARTED
) -> Step:
    version = Version(1, 1, generation)
    return Step(InstanceId(instance), WEB, 1, name, StepState.DONE, version, seq, since_ms=seq)


def an_event(code: str = "restarted", instance: str = "web-1", at_ms: int = 0) -> Event:
    return Event(code, f"{code} at {at_ms}", at_ms, WEB, InstanceId(instance))


def test_a_newer_step_takes_the_place_of_an_unsent_one() -> None:
    box = add_step(add_step(Outbox("o"), a_step(seq=1)), a_step(seq=2))
    assert [step.seq for step in box.steps] == [2]


def test_a_batch_of_long_texts_stays_below_what_the_transport_takes() -> None:
    """Characters are not bytes: a batch that is too large would be sent again for ever."""
    box = Outbox("o")
    for number in range(BATCH_MAX):
        event = an_event(instance=f"web-{number}")
        box = add_event(box, structs.replace(event, text="\U0001f30a" * 3_000))
    total = 0
    while not box.empty:
        box, batch = next_batch(box, 0)
        assert batch is not None
        assert 0 < len(encode(batch)) < 700_000
        total += len(batch.entries)
        box = acknowledged(box, batch)
    assert total == BATCH_MAX


def test_an_older_step_changes_nothing() -> None:
    box = add_step(add_step(Outbox("o"), a_step(seq=1, generation=2)), a_step(seq=9, generation=1))
    assert [(step.generation.generation, step.seq) for step in box.steps] == [(2, 1)]


def test_events_alike_are_counted_and_keep_the_last_moment() -> None:
    box = Outbox("o")
    for at_ms in range(5):
        box = add_event(box, an_event(at_ms=at_ms))
    assert [(event.count, event.at_ms) for event in box.events] == [(5, 4)]


def test_what_was_sent_is_never_edited_and_is_sent_again_as_it_was() -> None:
    box, first = next_batch(add_step(add_event(Outbox("o"), an_event()), a_step()), now_ms=0)
    box = add_step(add_event(box, an_event(at_ms=7)), a_step(seq=2))
    box, second = next_batch(box, now_ms=1)
    assert first is not None
    assert second == first


def test_after_the_answer_the_rest_follows_under_new_numbers() -> None:
    box, first = next_batch(add_step(Outbox("o"), a_step(seq=1)), now_ms=0)
    assert first is not None
    box = acknowledged(add_step(box, a_step(seq=2)), first)
    box, second = next_batch(box, now_ms=0)
    assert second is not None
    assert [entry.seq for entry in second.entries] == [first.entries[-1].seq + 1]
    assert acknowledged(box, second).empty


def test_the_bound_drops_the_oldest_events_never_a_step_and_says_so() -> None:
    box = add_step(Outbox("o"), a_step())
    for number in range(EVENTS_MAX + 3):
        box = add_event(box, an_event(instance=f"web-{number}"))
    assert len(box.events) == EVENTS_MAX
    assert box.events[0].instance == "web-3"
    _, batch = next_batch(box, now_ms=5)
    assert batch is not None
    assert batch.entries[0].step == a_step()
    loss = batch.entries[1].event
    assert loss is not None
    assert (loss.code, loss.count) == ("outbox-full", 3)


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("step"), st.integers(1, 4), st.integers(1, 50)),
        st.tuples(st.just("event"), st.integers(1, 4), st.integers(1, 3)),
        st.tuples(st.just("send"), st.booleans(), st.just(0)),
    ),
    max_size=60,
)


@given(ACTS)
def test_every_number_names_one_entry_for_ever_and_the_newest_steps_arrive(
    acts: list[tuple[str, int, int]],
) -> None:
    box = Outbox("o")
    told: dict[int, Entry] = {}
    newest: dict[str, int] = {}
    for what, one, two in [*acts, *[("send", True, 0)] * 3]:
        if what == "step":
            box = add_step(box, a_step(f"web-{one}", seq=two))
            newest[f"web-{one}"] = max(two, newest.get(f"web-{one}", 0))
        elif what == "event":
            box = add_event(box, an_event(f"code-{two}", f"web-{one}"))
        else:
            box, batch = next_batch(box, now_ms=0)
            box = decode(Outbox, encode(box))  # it lives on disk in between
            for entry in batch.entries if batch else ():
                assert told.setdefault(entry.seq, entry) == entry
            assert batch is None or len(batch.entries) <= BATCH_MAX + 1
            if batch and one:
                box = acknowledged(box, batch)
    assert box.empty
    arrived: dict[str, int] = {}
    for entry in told.values():
        if entry.step:
            arrived[entry.step.instance] = max(entry.step.seq, arrived.get(entry.step.instance, 0))
    assert arrived == newest
