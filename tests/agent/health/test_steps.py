from skerry_agent.health.steps import Book, forget, note, reached
from skerry_protocol.messages import StepName, StepState, Version

from ..builders import an_app, an_instance

WEB = an_instance(an_app())
V1, V2 = Version(1, 1, 1), Version(1, 1, 2)


def test_a_step_is_reported_once() -> None:
    book, step = note(Book(), WEB, 1, V1, StepName.FETCHED, StepState.WAITING, 10, "not here")
    assert step is not None
    assert (step.seq, step.since_ms, step.reason) == (1, 10, "not here")
    assert note(book, WEB, 1, V2, StepName.FETCHED, StepState.WAITING, 99, "not here") == (book, None)


def test_another_reason_keeps_the_age_and_another_state_does_not() -> None:
    book, _ = note(Book(), WEB, 1, V1, StepName.FETCHED, StepState.WAITING, 10, "3 %")
    book, step = note(book, WEB, 1, V1, StepName.FETCHED, StepState.WAITING, 20, "50 %")
    assert step is not None
    assert (step.seq, step.since_ms) == (2, 10)
    book, step = note(book, WEB, 1, V1, StepName.FETCHED, StepState.DONE, 30)
    assert step is not None
    assert (step.seq, step.since_ms, step.reason) == (3, 30, "")
    _, step = note(book, WEB, 2, V2, StepName.FETCHED, StepState.DONE, 40)
    assert step is not None
    assert step.since_ms == 40


def test_how_far_an_instance_got() -> None:
    assert reached(Book(), WEB.id) is None
    book, _ = note(Book(), WEB, 1, V1, StepName.STARTED, StepState.FAILED, 10)
    book, _ = note(book, WEB, 1, V1, StepName.FETCHED, StepState.DONE, 10)
    found = reached(book, WEB.id)
    assert found is not None
    assert found.step is StepName.STARTED
    book, _ = note(book, WEB, 1, V1, StepName.STARTED, StepState.DONE, 20)
    found = reached(book, WEB.id)
    assert found is not None
    assert (found.step, found.state) == (StepName.STARTED, StepState.DONE)


def test_what_is_gone_is_forgotten_but_numbers_go_on() -> None:
    book, _ = note(Book(), WEB, 1, V1, StepName.STARTED, StepState.DONE, 10)
    assert forget(book, []) == Book(1, {})
    assert forget(book, [WEB.id]) == book
