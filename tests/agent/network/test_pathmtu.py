"""How much a way takes is found with few pings, believed when it is seen twice, and never under what IPv6 promises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.network.pathmtu import (
    ALIVE,
    REST_MS,
    SILENT_MOST_MS,
    SIZES,
    STEP,
    SURE_MS,
    PathMtu,
    looked,
)
from skerry_netplan.lower import MTU, MTU_LEAST


def look(path: PathMtu, takes: int, now_ms: int = 0) -> PathMtu:
    """At a way that takes packets of so many bytes."""
    return looked(path, [size for size in path.sizes if size <= takes], now_ms)


def found(path: PathMtu, takes: int) -> PathMtu:
    """After as many looks as follow each other at once."""
    now, path = path.due_ms, look(path, takes, path.due_ms)
    while path.due_ms - now <= SURE_MS:
        now, path = path.due_ms, look(path, takes, path.due_ms)
    return path


@pytest.mark.parametrize("takes", [MTU, 9000])
def test_a_wide_way_costs_two_pings_and_then_rests(takes: int) -> None:
    path = PathMtu()
    assert path.sizes == (ALIVE, MTU)
    assert look(path, takes) == PathMtu(MTU, REST_MS)


@given(before=st.sampled_from(SIZES), takes=st.integers(ALIVE, 2000))
def test_what_is_found_passes_and_little_more_would(before: int, takes: int) -> None:
    path = found(PathMtu(before), takes)
    assert MTU_LEAST <= path.mtu <= MTU
    assert path.mtu <= max(takes, MTU_LEAST)
    wider = path.mtu >= before or path.mtu + STEP > min(takes, MTU)
    assert wider, "what was known to pass before is looked at no closer, until it does not"


def test_one_look_that_finds_less_is_not_believed() -> None:
    doubtful = looked(PathMtu(), [ALIVE], 5)
    assert doubtful == PathMtu(MTU, 5 + SURE_MS, doubted=True)
    assert doubtful.sizes == (ALIVE, *SIZES)
    assert look(doubtful, MTU, 9) == PathMtu(MTU, 9 + REST_MS)


def test_a_way_that_widens_is_used_whole_again() -> None:
    narrow = found(PathMtu(), 1310)
    assert narrow.mtu == 1300
    assert narrow.sizes == (ALIVE, 1300, MTU)
    assert look(narrow, MTU, 7) == PathMtu(MTU, 7 + REST_MS)


def test_silence_says_nothing_of_it_and_is_listened_to_less_and_less() -> None:
    path, now, pauses = PathMtu(1300), 0, []
    for _ in range(12):
        path = looked(path, [], now)
        pauses.append(path.due_ms - now)
        now = path.due_ms
        assert (path.mtu, path.doubted) == (1300, False)
    assert pauses[:3] == [60_000, 120_000, 240_000]
    assert pauses[-1] == SILENT_MOST_MS
    assert look(path, 1300, now) == PathMtu(1300, now + REST_MS)


def test_a_day_at_rest_costs_little() -> None:
    """Of 0.4 MB that a metered node may use."""
    day = 24 * 3600_000
    for takes, most in ((MTU, 80_000), (1300, 150_000)):
        path, sent = found(PathMtu(), takes), 0
        begun = path.due_ms
        while path.due_ms < begun + day:
            sent += sum(size + (size if size <= takes else 0) for size in path.sizes)
            path = look(path, takes, path.due_ms)
        assert sent < most
