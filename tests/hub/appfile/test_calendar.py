"""Calendar events: the grammar of systemd.time(7), and nothing that systemd refuses."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from skerry_hub.appfile.calendar import is_calendar

GOOD = [
    "minutely", "hourly", "daily", "monthly", "weekly", "yearly", "quarterly", "semiannually", "annually",
    "Daily", "daily UTC", "Mon", "Mon..Fri", "mon,Wed..fri", "Saturday", "*-*-* 00:00:00", "*-*-01 04:00",
    "Mon..Sun", "*-*~28", "*-*~10/9", "0/23:00", "2026-12-24", "12-24", "*-*-* *:00/15:00", "*:0/15",
    "08:30", "08:30:30.5", "Mon..Fri *-*-* 08:30", "Sun *-*-1..7", "*-*~1", "*-02~03..05 10:00",
    "*-1,4,7,10-1 00:00:00", "1..5:0", "*:*:0/10", "Mon 10:00 Europe/Berlin",
    "*-*-* 02:00:00 America/Argentina/Buenos_Aires", "2026..2030-*-*", "*-*-1/2",
]  # fmt: skip
BAD = [
    "", " ", "dayly", "daily daily", "Mun", "Mon..", "..Fri", "Mon..Fri..Sun", "*", "*-*-*-*", "25:00",
    "12:60", "12:30:61", "13-01", "00-10", "12-32", "*-*-0", "*:*/0", "*:*/15", "Sat..Mon", "*-*~29",
    "*-*~10/10", "*:0..0/1", "*:*:0..0.5", "*:0/0", "*:0/", "5..1:00", "1..2..3:00", "10:00 Mon",
    "10:00 *-*-*", "10:00 10:00", "*-*-* 00:00:00 Nowhere Else", "08:30\n", "08:30;", "0x8:30",
    "daily  UTC", "-1:00", "1969-01-01", "x" * 300, "²:00", "Mon,,Fri", "10:00,", "UTC", "%i",
    "*-*-* 0:0:0.1234567",
]  # fmt: skip

_NUMBERS = st.integers(0, 30).map(str)
_COMPONENTS = st.one_of(
    st.just("*"),
    _NUMBERS,
    *[st.builds(form.format, _NUMBERS, _NUMBERS) for form in ("{}..{}", "{}/{}", "{},{}", "*/{}")],
)
_DAYS = st.sampled_from(["", "Mon ", "Mon..Fri ", "sat,Sun ", "Fri..Mon "])
_DATES = st.one_of(
    st.just(""),
    st.builds("{}-{} ".format, _COMPONENTS, _COMPONENTS),
    st.builds("*-{}~{} ".format, _COMPONENTS, _COMPONENTS),
)
_TIMES = st.one_of(
    st.builds("{}:{}".format, _COMPONENTS, _COMPONENTS),
    st.builds("{}:{}:{}".format, _COMPONENTS, _COMPONENTS, _COMPONENTS),
)
EVENTS = st.builds("{}{}{}{}".format, _DAYS, _DATES, _TIMES, st.sampled_from(["", " UTC"]))


@pytest.mark.parametrize("text", GOOD)
def test_events(text: str) -> None:
    assert is_calendar(text)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_event(text: str) -> None:
    assert not is_calendar(text)


@given(st.text(max_size=30))
def test_any_text_is_judged(text: str) -> None:
    assert is_calendar(text) in {True, False}


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing (apt install systemd)"
)
@given(st.lists(EVENTS, min_size=40, max_size=80))
@settings(max_examples=4, deadline=None, phases=[Phase.generate])
def test_systemd_takes_what_passes(events: list[str]) -> None:
    """One call judges many: it goes on after a bad one, and says so in its exit code."""
    # Few examples, because each asks systemd, which takes its time to find the next elapse.
    passed = [text for text in [*GOOD, *events] if is_calendar(text)]
    done = subprocess.run(
        ["systemd-analyze", "calendar", "--", *passed],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C"},
    )
    assert done.returncode == 0, done.stderr
