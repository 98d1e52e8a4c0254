from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from skerry_agent.network.confirm import (
    AGAIN_MS,
    TRIAL_MS,
    TRIES,
    Failed,
    Standing,
    Trial,
    confirmed,
    due_ms,
    looked_at,
    offered,
)

BOOT = "boot1"
OLD = Standing("old")


def test_the_first_plan_is_simply_taken() -> None:
    assert offered(Standing(), "new", False, BOOT, 5) == Standing("new")
    assert offered(Standing(), "new", True, BOOT, 5) == Standing("new")


def test_a_change_is_on_trial_until_the_hub_answers() -> None:
    tried = offered(OLD, "new", True, BOOT, 5)
    assert tried == Standing("old", Trial("new", BOOT, 5 + TRIAL_MS))
    assert tried.in_use == "new"
    assert due_ms(tried) == 5 + TRIAL_MS
    assert confirmed(tried) == Standing("new")


def test_without_a_hub_before_it_a_change_cannot_cost_it() -> None:
    assert offered(OLD, "new", False, BOOT, 5) == Standing("new")


def test_what_costs_the_hub_is_taken_back_after_a_minute() -> None:
    tried = offered(OLD, "new", True, BOOT, 5)
    assert looked_at(tried, BOOT, 4 + TRIAL_MS) == tried
    back = looked_at(tried, BOOT, 5 + TRIAL_MS)
    assert (back.in_use, back.trial) == ("old", None)
    assert back.failed == Failed(
        "new", 1, "the hub did not answer by it within 60 s", BOOT, 5 + TRIAL_MS + AGAIN_MS
    )


def test_a_boot_in_the_middle_of_a_trial_takes_it_back() -> None:
    back = looked_at(offered(OLD, "new", True, BOOT, 5), "boot2", 1)
    assert back.in_use == "old"
    assert back.failed is not None
    assert back.failed.reason == "the machine booted before the hub was reached under it"


def test_it_is_tried_again_later_and_then_held() -> None:
    back = looked_at(offered(OLD, "new", True, BOOT, 0), BOOT, TRIAL_MS)
    assert offered(back, "new", True, BOOT, TRIAL_MS + AGAIN_MS - 1) == back
    again = offered(back, "new", True, BOOT, TRIAL_MS + AGAIN_MS)
    assert again.in_use == "new"
    held = looked_at(again, BOOT, 2 * TRIAL_MS + AGAIN_MS)
    assert held.failed is not None
    assert held.failed.held
    assert offered(held, "new", True, BOOT, 1 << 50) == held


def test_what_failed_is_not_taken_just_because_the_hub_is_away() -> None:
    back = looked_at(offered(OLD, "new", True, BOOT, 0), BOOT, TRIAL_MS)
    assert offered(back, "new", False, BOOT, 1 << 50).in_use == "old"


def test_another_plan_is_tried_although_one_is_held() -> None:
    held = Standing("old", None, Failed("new", TRIES, "", BOOT, 0))
    assert offered(held, "newer", True, BOOT, 7) == Standing("old", Trial("newer", BOOT, 7 + TRIAL_MS))


def test_a_plan_that_comes_during_a_trial_has_what_is_left_of_its_time() -> None:
    tried = offered(OLD, "a", True, BOOT, 5)
    assert offered(tried, "b", False, BOOT, 50) == Standing("old", Trial("b", BOOT, 5 + TRIAL_MS))
    assert offered(tried, "b", True, BOOT, 50) == Standing("a", Trial("b", BOOT, 50 + TRIAL_MS))


def test_back_to_the_confirmed_one_during_a_trial_is_a_trial_no_more() -> None:
    tried = offered(OLD, "new", True, BOOT, 5)
    assert offered(tried, "old", True, BOOT, 6).in_use == "old"


@dataclass
class Played:
    """A node whose hub answers only under plans that are good, and a hub that offers any."""

    bad: frozenset[str | None]
    standing: Standing = OLD
    now: int = 0
    boot: int = 0
    reached: bool = True
    bad_since: int | None = field(default=None)

    def do(self, what: str, waits: int) -> None:
        self.now += waits
        self.standing = looked_at(self.standing, str(self.boot), self.now)
        self.reached = self.standing.in_use not in self.bad
        match what:
            case "boot":
                self.boot, self.now = self.boot + 1, 0
                self.standing = looked_at(self.standing, str(self.boot), self.now)
            case "beat":
                if self.reached:
                    self.standing = confirmed(self.standing)
            case plan:
                self.standing = offered(self.standing, plan, self.reached, str(self.boot), self.now)


STEPS = st.tuples(
    st.sampled_from(["boot", "beat", "old", "a", "b", "c"]), st.sampled_from([0, 1000, TRIAL_MS, AGAIN_MS])
)


@settings(max_examples=500)
@given(st.sampled_from(["", "a", "ab", "abc"]), st.lists(STEPS, min_size=5, max_size=30))
def test_a_node_is_never_without_its_hub_for_longer_than_a_trial(
    bad: str, steps: list[tuple[str, int]]
) -> None:
    played = Played(frozenset(bad))
    for what, waits in steps:
        played.do(what, waits)
        assert played.standing.confirmed not in played.bad
    played.do("beat", TRIAL_MS)
    assert played.standing.in_use not in played.bad
