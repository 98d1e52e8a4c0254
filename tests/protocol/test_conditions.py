"""Conditions of a node in words."""

from pathlib import Path

from skerry_protocol.conditions import HINDERS, WORDS, hinders, told

OPERATIONS = (Path(__file__).parents[2] / "docs/operations.md").read_text()


def test_what_is_documented_has_words_and_what_has_words_is_documented() -> None:
    table = OPERATIONS.split("## Conditions of a node")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {code.strip("`") for row in rows for code in row.split()} == set(WORDS)


def test_a_condition_is_told_also_where_it_is_unknown() -> None:
    assert told("disk").startswith("disk: the node's disk")
    assert told("newer") == "newer: ('skerry-agent status' there says more)"


def test_only_what_keeps_a_node_from_switching_is_told_of_a_copy_that_waits() -> None:
    assert set(HINDERS) <= set(WORDS)
    assert hinders({"policy": 1, "switch": 1, "disk": 1}) == told("disk")
    assert hinders({"policy": 1}) is None
