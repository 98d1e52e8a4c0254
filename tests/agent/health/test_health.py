from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.health.health import (
    BACKOFF_FIRST_MS,
    SETTLED_MS,
    Action,
    Life,
    Restart,
    RollBack,
    Rules,
    State,
    began,
    checked,
    next_tick_ms,
    rules_for,
    ticked,
    unit_active,
    unit_down,
)
from skerry_protocol.app import App, Availability, Health
from skerry_protocol.ids import AppName

CHECKED = Rules(checked=True, grace_ms=5_000, failures=3, may_roll_back=True)
UNCHECKED = Rules(checked=False, grace_ms=10_000, failures=3, may_roll_back=True)
STUCK = Rules(checked=True, grace_ms=5_000, failures=3, may_roll_back=False)


def failed(life: Life, times: int, now_ms: int) -> tuple[Life, list[Action | None]]:
    actions: list[Action | None] = []
    for _ in range(times):
        life, action = checked(life, now_ms, ok=False, reason="refused")
        actions.append(action)
    return life, actions


def test_healthy_at_the_first_check_that_holds() -> None:
    life, action = checked(began(CHECKED, 0, changed=True), 100, ok=True, reason="")
    assert (life.state, action) == (State.HEALTHY, None)


def test_failures_before_the_first_success_wait_for_the_end_of_grace() -> None:
    life, actions = failed(began(CHECKED, 0, changed=True), 10, now_ms=4_999)
    assert actions == [None] * 10
    assert next_tick_ms(life) == 5_000
    life, action = ticked(life, 5_000)
    assert action == RollBack("it was not healthy within 5 s of the change: refused")
    assert life.state is State.ROLLED_BACK


def test_healthy_once_then_failing_within_grace_rolls_back_at_once() -> None:
    life, _ = checked(began(CHECKED, 0, changed=True), 100, ok=True, reason="")
    life, actions = failed(life, 3, now_ms=1_000)
    assert actions == [None, None, RollBack("3 checks failed within 5 s of the change: refused")]


def test_exits_within_grace_roll_back() -> None:
    life = began(UNCHECKED, 0, changed=True)
    actions = []
    for now_ms in (100, 200, 300):
        life, action = unit_down(life, now_ms, exited=True, reason="exit status 1")
        actions.append(action)
    assert actions == [None, None, RollBack("it ended 3 times within 10 s of the change: exit status 1")]


def test_our_own_stop_is_not_an_exit() -> None:
    life = began(UNCHECKED, 0, changed=True)
    for now_ms in (100, 200, 300, 400):
        life, action = unit_down(life, now_ms, exited=False, reason="stopped")
        assert action is None


def test_without_a_check_it_is_healthy_once_it_has_stayed_up() -> None:
    life, _ = unit_active(began(UNCHECKED, 0, changed=True), 500)
    assert (life.state, next_tick_ms(life)) == (State.STARTING, 500 + SETTLED_MS)
    life, action = ticked(life, 500 + SETTLED_MS)
    assert (life.state, action) == (State.HEALTHY, None)


def test_nothing_to_put_back_means_restarts_with_growing_pauses() -> None:
    life, actions = failed(began(STUCK, 0, changed=True), 3, now_ms=5_000)
    assert actions[-1] == Restart("3 checks failed in a row: refused")
    life, actions = failed(life, 5, now_ms=5_000 + BACKOFF_FIRST_MS - 1)
    assert actions == [None] * 5
    life, actions = failed(life, 1, now_ms=5_000 + BACKOFF_FIRST_MS)
    assert isinstance(actions[0], Restart)
    assert life.restart_after_ms == 5_000 + 3 * BACKOFF_FIRST_MS


def test_health_ends_the_pauses() -> None:
    life, _ = failed(began(STUCK, 0, changed=True), 3, now_ms=5_000)
    life, _ = checked(life, 6_000, ok=True, reason="")
    life, actions = failed(life, 3, now_ms=7_000)
    assert isinstance(actions[-1], Restart)


def test_an_app_may_switch_putting_back_off() -> None:
    app = App(AppName("web"), ("/bin/true",), Availability.BEST_EFFORT, health=Health(tcp=80))
    assert rules_for(app, has_previous=True, changed=True).may_roll_back
    assert not rules_for(app, has_previous=False, changed=True).may_roll_back
    assert not rules_for(app, has_previous=True, changed=False).may_roll_back
    off = App(AppName("web"), ("/bin/true",), Availability.BEST_EFFORT, rollback=False)
    assert not rules_for(off, has_previous=True, changed=True).may_roll_back


EVENTS = st.lists(
    st.tuples(st.sampled_from(["ok", "bad", "up", "down", "tick"]), st.integers(0, 4_000)), max_size=50
)


@given(EVENTS, st.sampled_from([CHECKED, UNCHECKED, STUCK]))
def test_it_is_put_back_at_most_once_and_never_after_grace_when_it_was_healthy(
    events: list[tuple[str, int]], rules: Rules
) -> None:
    life, now_ms, put_back = began(rules, 0, changed=True), 0, 0
    for what, later in events:
        now_ms += later
        before = life
        if what in {"ok", "bad"}:
            life, action = checked(life, now_ms, ok=what == "ok", reason="r")
        elif what == "up":
            life, action = unit_active(life, now_ms)
        elif what == "down":
            life, action = unit_down(life, now_ms, exited=True, reason="r")
        else:
            life, action = ticked(life, now_ms)
        if isinstance(action, RollBack):
            put_back += 1
            assert rules.may_roll_back
            assert now_ms <= rules.grace_ms or not before.was_healthy
    assert put_back <= 1


def test_what_was_rolled_back_is_not_rolled_back_again() -> None:
    life = began(UNCHECKED, 0, changed=True)
    for now_ms in (1, 2, 3):
        life, _ = unit_down(life, now_ms, exited=True, reason="exit status 1")
    assert life.state is State.ROLLED_BACK
    life, _ = checked(life, 4, ok=True, reason="")
    for now_ms in (5, 6, 7):
        life, action = checked(life, now_ms, ok=False, reason="refused")
        assert action is None
