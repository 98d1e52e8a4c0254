"""The harness's own pure parts: statistics, verdicts, the table of figures, what is shown."""

import importlib.util
import json
import math

import pytest

from .figures import FIGURES, Effort, UnknownFigure, chosen
from .measures import Basis, Goal, Of, Row, Verdict, median, number, percentile
from .showing import as_json, table


def test_the_median_is_the_middle() -> None:
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 2, 3]) == 2.5


def test_a_percentile_is_a_value_that_was_seen() -> None:
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 99) == 99
    assert percentile(values, 50) == 50
    assert percentile([5.0, 7.0], 99) == 7
    assert percentile([5.0, 7.0], 0) == 5


def test_nothing_has_no_statistics() -> None:
    with pytest.raises(ValueError, match="nothing"):
        median([])
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 99)


@pytest.mark.parametrize(
    ("goal", "value", "verdict"),
    [
        (Goal(40), 40, Verdict.MET),
        (Goal(40), 40.1, Verdict.NOT_MET),
        (Goal(3000, least=True), 3000, Verdict.MET),
        (Goal(3000, least=True), 2999, Verdict.NOT_MET),
        (Goal(40), None, Verdict.NONE),
        (Goal(40), math.nan, Verdict.NONE),
    ],
)
def test_a_goal_is_met_at_its_limit(goal: Goal, value: float | None, verdict: Verdict) -> None:
    assert goal.verdict(value) is verdict


def test_a_goal_of_a_ratio_looks_at_the_ratio() -> None:
    row = Row("apply", 90, "ms", 30, "systemctl restart", Goal(3, Of.RATIO))
    assert row.ratio == 3
    assert row.verdict is Verdict.MET
    assert Row("apply", 91, "ms", 30, "systemctl restart", Goal(3, Of.RATIO)).verdict is Verdict.NOT_MET


def test_without_a_reference_there_is_no_ratio_to_judge() -> None:
    assert Row("apply", 90, "ms", goal=Goal(3, Of.RATIO)).verdict is Verdict.NONE
    assert Row("apply", 90, "ms", 0.0).ratio is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (1.5, "1.5"),
        (40, "40"),
        (99.95, "100"),
        (3456.7, "3,457"),
        (math.nan, "?"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_the_table_has_ours_the_reference_the_ratio_the_goal_and_the_verdict() -> None:
    rows = [
        Row("resident", 52, "MiB", 19, "bare asyncio", Goal(40), "of which 12 are shared"),
        Row("placements", 4000, "/s", 700, "kube-scheduler", reference_basis=Basis.PUBLISHED),
        Row("a day", 0.5, "MB", basis=Basis.COMPUTED),
    ]
    shown = table(rows).splitlines()
    assert " ".join(shown[1].split()) == "resident 52 MiB bare asyncio 19 MiB 2.74 <= 40 MiB NOT MET"
    assert shown[2] == "    of which 12 are shared"
    assert "kube-scheduler (published)" in shown[3]
    assert "0.5 MB (computed)" in shown[4]


def test_json_has_what_the_table_has() -> None:
    row = Row("apply", 90, "ms", 30, "systemctl restart", Goal(2, Of.RATIO))
    whole = json.loads(as_json({"cores": 2}, {"apply": [row]}))
    assert whole["machine"] == {"cores": 2}
    (said,) = whole["figures"]["apply"]
    assert (said["ours"], said["reference"], said["ratio"], said["verdict"]) == (90, 30, 3, "NOT MET")
    assert said["goal"] == {"limit": 2, "of": "ratio", "least": False}


def test_figures_are_chosen_by_name_in_the_order_of_the_table() -> None:
    assert chosen([]) == FIGURES
    last, first = FIGURES[-1], FIGURES[0]
    assert chosen([last.name, first.name]) == (first, last)


def test_an_unknown_figure_is_named_beside_those_there_are() -> None:
    with pytest.raises(UnknownFigure, match=r"cannot measure speed: no such figure \(there are .*apply"):
        chosen(["speed", FIGURES[0].name])


def test_every_figure_has_its_own_name_and_a_module() -> None:
    assert len({figure.name for figure in FIGURES}) == len(FIGURES)
    assert all(importlib.util.find_spec(f"{__package__}.{figure.module}") for figure in FIGURES)


def test_an_effort_is_quick_or_full() -> None:
    assert (Effort().pick(600, 20), Effort(quick=True).pick(600, 20)) == (600, 20)
    assert (Effort().count(30, 5), Effort(quick=True).count(30, 5)) == (30, 5)
