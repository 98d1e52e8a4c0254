"""All mates at once: each has its path, what one does is no other's business, and who is gone is forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.network.paths import TRY_MS, Counted
from skerry_agent.network.ways import LOOK_MS, Near, Ways
from skerry_protocol.ids import NodeName

A, B = NodeName("a"), NodeName("b")
LAN, OUTSIDE, OTHER = "192.168.1.7:4000", "203.0.113.9:5000", "198.51.100.4:6000"
ALIVE = Counted(92, 148, True)


def near(name: NodeName, *endpoints: str) -> Near:
    return Near(name.encode() * 32, endpoints)


def test_each_mate_is_tried_where_it_may_be_and_led_to_directly_once_it_answers() -> None:
    ways = Ways()
    assert ways.due_ms() is None
    assert ways.know({A: near(A, LAN, OUTSIDE), B: near(B, OTHER)}, 0) == {
        near(A).key: LAN,
        near(B).key: OTHER,
    }
    assert ways.direct == frozenset()
    assert ways.looked({near(B).key: ALIVE}, 1000) == {}
    assert ways.direct == {B}
    assert ways.looked({near(B).key: ALIVE}, TRY_MS) == {near(A).key: OUTSIDE}
    assert ways.endpoints == {near(A).key: OUTSIDE, near(B).key: OTHER}
    assert ways.due_ms() == min(LOOK_MS.values())


def test_who_is_no_mate_any_more_or_is_nowhere_is_not_led_to() -> None:
    ways = Ways()
    ways.know({A: near(A, LAN), B: near(B, OTHER)}, 0)
    ways.looked({near(A).key: ALIVE, near(B).key: ALIVE}, 1000)
    assert ways.direct == {A, B}
    assert ways.know({A: near(A)}, 2000) == {}
    assert ways.direct == frozenset()
    assert ways.due_ms() is None


def test_a_new_key_is_a_new_tunnel() -> None:
    ways = Ways()
    ways.know({A: near(A, LAN)}, 0)
    ways.looked({near(A).key: ALIVE}, 1000)
    assert ways.know({A: Near(b"n" * 32, (LAN,))}, 2000) == {b"n" * 32: LAN}
    assert ways.direct == frozenset()


MATES = st.dictionaries(
    st.sampled_from([A, B]),
    st.lists(st.sampled_from([LAN, OUTSIDE, OTHER]), unique=True).map(tuple),
)
SEEN = st.dictionaries(
    st.sampled_from([A, B]), st.tuples(st.integers(0, 999), st.integers(0, 999), st.booleans())
)


@given(st.lists(st.tuples(MATES | st.none(), SEEN, st.integers(0, 90_000)), max_size=12))
def test_whatever_tunnels_show_only_mates_that_may_be_somewhere_are_led_to(
    turns: list[tuple[dict[NodeName, tuple[str, ...]] | None, dict[NodeName, tuple[int, int, bool]], int]],
) -> None:
    ways, known, now = Ways(), dict[NodeName, tuple[str, ...]](), 0
    for mates, seen, later in turns:
        now += later
        begun = {}
        if mates is not None:
            known = mates
            begun = ways.know({name: near(name, *ends) for name, ends in mates.items()}, now)
        begun |= ways.looked({near(name).key: Counted(*counted) for name, counted in seen.items()}, now)
        there = {name for name, ends in known.items() if ends}
        assert ways.direct <= there
        assert all(at in known[name] for name in there for at in [ways.endpoints[near(name).key]])
        assert begun.keys() <= {near(name).key for name in there}
        assert (ways.due_ms() is None) == (not there)
