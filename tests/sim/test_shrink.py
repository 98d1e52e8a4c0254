"""What is left of a plan is needed, all of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from .shrink import shrunk


@given(st.integers(1, 30).flatmap(lambda many: st.tuples(st.just(many), st.sets(st.integers(0, many - 1)))))
def test_only_what_is_needed_is_kept(drawn: tuple[int, set[int]]) -> None:
    many, needed = drawn
    assert shrunk(range(many), lambda fewer: needed <= set(fewer)) == sorted(needed)
