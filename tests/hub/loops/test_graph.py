"""The graph of control loops: order, what each step sees, and what is refused at start."""

from __future__ import annotations

import pytest

from skerry_hub.loops.graph import BadGraph, Fields, Graph, Step


def step(name: str, reads: str, writes: str, previous: str = "", run: object = None) -> Step:
    def nothing(view: Fields, context: object) -> Fields:
        return {}

    words = [frozenset(text.split()) for text in (reads, writes, previous)]
    return Step(name, words[0], words[1], words[2], run or nothing)  # type: ignore[arg-type]


def test_steps_follow_what_they_read() -> None:
    graph = Graph([step("c", "y", "z"), step("a", "w", "x"), step("b", "x", "y", "z")])
    assert [one.name for one in graph.steps] == ["a", "b", "c"]


def test_a_second_owner_is_refused_by_name() -> None:
    with pytest.raises(BadGraph, match="'x' has two owners: 'a' and 'b'"):
        Graph([step("a", "", "x"), step("b", "", "x")])


def test_a_cycle_is_refused_and_previous_is_no_edge() -> None:
    with pytest.raises(BadGraph, match=r"cycle.*→"):
        Graph([step("a", "y", "x"), step("b", "x", "y")])
    with pytest.raises(BadGraph, match="writes itself"):
        Graph([step("a", "x", "x")])
    Graph([step("a", "", "x", "y x"), step("b", "x", "y")])


def test_a_step_sees_only_what_it_declared() -> None:
    seen: list[dict[str, object]] = []

    def first(view: Fields, context: object) -> Fields:
        seen.append(dict(view))
        return {"x": 2}

    def second(view: Fields, context: object) -> Fields:
        seen.append(dict(view))
        assert context == "now"
        return {"y": 3}

    graph = Graph([step("b", "x", "y", "y", second), step("a", "w", "x", "", first)])
    assert graph.run({"w": 0, "x": 1, "y": 0, "secret": 9}, "now") == {"x": 2, "y": 3}
    assert seen == [{"w": 0}, {"x": 2, "y": 0}]


def test_an_undeclared_write_and_a_missing_field_are_refused() -> None:
    graph = Graph([step("a", "", "x", "", lambda view, context: {"y": 1})])
    with pytest.raises(BadGraph, match="'a' wrote 'y'"):
        graph.run({}, None)
    with pytest.raises(BadGraph, match="reads 'w', which nobody gives"):
        Graph([step("a", "w", "x")]).run({}, None)
