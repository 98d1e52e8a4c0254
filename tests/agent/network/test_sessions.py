"""A session lives three minutes from its handshake, however the machine's clock is set meanwhile."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.network.sessions import LIVES_MS, Sessions

KEY, WALL = b"k" * 32, 1_800_000_000.0
WALLS = st.floats(0, 1e11)


def test_without_a_handshake_there_is_none() -> None:
    assert not Sessions().lives(KEY, None, WALL, 0)


@given(WALLS, WALLS)
def test_it_lives_for_its_time_whatever_the_clock_says_and_then_no_longer(
    before: float, after: float
) -> None:
    sessions = Sessions()
    assert not sessions.lives(KEY, None, before, 0)
    assert sessions.lives(KEY, WALL, WALL, 1000)
    assert sessions.lives(KEY, WALL, after, 1000 + LIVES_MS - 1)
    assert not sessions.lives(KEY, WALL, before, 1000 + LIVES_MS)


@given(WALLS, WALLS)
def test_another_handshake_is_a_new_one(handshake: float, wall: float) -> None:
    sessions = Sessions()
    sessions.lives(KEY, WALL, WALL, 0)
    assert sessions.lives(KEY, handshake, wall, 10 * LIVES_MS) == (handshake != WALL)


def test_one_that_was_there_before_anybody_looked_is_as_old_as_the_clock_says() -> None:
    assert Sessions().lives(KEY, WALL, WALL + 179, 10**9)
    assert not Sessions().lives(KEY, WALL, WALL + 181, 10**9)
    assert Sessions().lives(KEY, WALL, WALL - 10**6, 10**9), "a clock that was set back ends none"


def test_a_tunnel_that_is_gone_is_forgotten() -> None:
    sessions = Sessions()
    sessions.lives(KEY, WALL, WALL, 0)
    sessions.forget(set())
    assert sessions.lives(KEY, WALL, WALL, LIVES_MS)
