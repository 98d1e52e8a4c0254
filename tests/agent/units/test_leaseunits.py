from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.units.leaseunits import (
    after_startup_ms,
    end_name,
    grant,
    length_of,
    shared,
    target_name,
    timer_name,
    timer_pattern,
)


def test_ending_a_lease_runs_no_program() -> None:
    texts = shared(46_400)
    assert set(texts) == {"skerry-lease-46400.target", "skerry-lease-46400-end.target"}
    assert "Conflicts=skerry-lease-46400.target\n" in texts[end_name(46_400)]
    assert "Conflicts=sleep.target\nBefore=sleep.target\n" in texts[target_name(46_400)]
    assert not any("Exec" in text or "Service" in text for text in texts.values())


def test_the_timer_that_opens_pulls_in_the_lease_after_itself() -> None:
    text = grant(46_400, 12_345, opens=True)
    assert "Wants=skerry-lease-46400.target\nBefore=skerry-lease-46400.target\n" in text
    assert "AccuracySec=10ms\nUnit=skerry-lease-46400-end.target\n" in text


def test_a_lease_is_ended_at_its_deadline_and_again_and_again_after_it() -> None:
    """What is started by hand in between takes the place of the first stop."""
    moments = [line for line in grant(46_400, 12_345, opens=False).splitlines() if "OnStartupSec" in line]
    assert moments[:3] == ["OnStartupSec=12345ms", "OnStartupSec=12845ms", "OnStartupSec=13345ms"]
    assert moments[-1] == "OnStartupSec=268345ms"
    assert "StopWhenUnneeded=yes" in shared(46_400)[end_name(46_400)], "an active target is not started again"


def test_the_timer_that_keeps_starts_nothing_but_the_end() -> None:
    assert "Wants=" not in grant(46_400, 1, opens=False)


def test_a_deadline_before_the_manager_started_fires_at_once() -> None:
    assert "OnStartupSec=1ms\n" in grant(46_400, -5, opens=True)


@given(st.integers(1, 10**9), st.integers(0, 10**12), st.booleans())
def test_names_cannot_be_those_of_an_instance(length_ms: int, deadline_ms: int, opens: bool) -> None:
    """An instance's unit ends in `-<number>.service` or `-<number>.timer`."""
    name = timer_name(length_ms, deadline_ms, opens)
    assert not name.removesuffix(".timer").rpartition("-")[2].isdigit()
    assert length_of(target_name(length_ms)) == length_of(end_name(length_ms)) == length_ms
    assert length_of(name) is None
    assert length_of("skerry-lease-5.service") is None
    prefix, _, rest = timer_pattern(length_ms).partition("[")
    assert name.startswith(prefix)
    assert rest


def test_the_deadline_is_counted_from_the_managers_start() -> None:
    assert (
        after_startup_ms(deadline_ms=100_000, boottime_ms=60_000, monotonic_ms=50_000, startup_ms=2_000)
        == 88_000
    )
