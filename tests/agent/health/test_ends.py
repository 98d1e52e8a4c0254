"""Each end of a unit counts once, whatever is seen of it and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from skerry_agent.health.ends import Ends, how_it_ended
from skerry_agent.systemd import LoadState, UnitState

# What happens to a unit: it ends by itself, is started again after that, is started by somebody, is looked at.
EVENTS = st.lists(st.sampled_from(["end", "again", "start", "look"]), max_size=40)


class Unit:
    """A service as systemd counts it (NRestarts grows as an automatic restart begins)."""

    def __init__(self) -> None:
        self.up, self.restarts, self.run = True, 0, 1

    def state(self) -> UnitState:
        active, sub = ("active", "running") if self.up else ("activating", "auto-restart")
        invocation = f"run-{self.run}"
        return UnitState("u", LoadState.LOADED, active, sub, invocation=invocation, restarts=self.restarts)

    def happen(self, event: str) -> bool:
        """Whether that was an end."""
        if event == "end" and self.up:
            self.up = False
            return True
        if event == "again" and not self.up:
            self.up, self.restarts, self.run = True, self.restarts + 1, self.run + 1
        if event == "start":
            self.up, self.restarts, self.run = True, 0, self.run + 1
        return False


@given(EVENTS)
def test_no_end_is_counted_twice_and_none_is_lost_in_a_row_of_restarts(events: list[str]) -> None:
    """Where somebody started it by hand between two looks, systemd no longer tells of all ends before that."""
    unit = Unit()
    seen, _ = Ends().seen(unit.state())
    ends, by_hand = 0, False
    for event in [*events, "look"]:
        if event == "look":
            seen, more = seen.seen(unit.state())
            assert more <= ends
            assert by_hand or more == ends
            ends, by_hand = 0, False
        else:
            ends += unit.happen(event)
            by_hand = by_hand or event == "start"


def test_what_a_unit_that_failed_at_once_says() -> None:
    failed = UnitState("u", LoadState.LOADED, "failed", "failed", exit_code=1, exit_status=3, invocation="a")
    assert Ends().seen(failed)[1] == 1
    assert how_it_ended(failed) == "exit status 3"
    absent = structs.replace(failed, exit_status=203)
    assert how_it_ended(absent) == "exit status 203 (its program cannot be run: is it there, and executable?)"


def test_ends_before_anybody_looked_are_not_held_against_it() -> None:
    up = UnitState("u", LoadState.LOADED, "active", "running", restarts=7, invocation="a")
    assert Ends().seen(up)[1] == 0
