"""Streamed answers and the rows of tables: pure."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_hub.api.views import DiffLine, EventView, LogLine, NodeView, Paused, ResumeView, TokenView
from skerry_hub.cli.errors import EXIT_USAGE, CliError
from skerry_hub.cli.events import datas, line
from skerry_hub.cli.history import lines as diff_lines
from skerry_hub.cli.hub import covered
from skerry_hub.cli.logs import text
from skerry_hub.cli.nodes import details, row
from skerry_hub.cli.token import grants

NODE = NodeView("n2222222222222222", "n1", "ready", 2_000, {"site": "a"}, "x86_64", 3, "1.4", "1.4", "1.4")


def test_server_sent_events_are_taken_apart() -> None:
    sent = [
        b": still here",
        b"data: ",
        b"",
        b"id: 1",
        b"event: event",
        b'data: {"a":',
        b"data:1}",
        b"",
        b"data: cut off",
    ]
    assert list(datas(sent)) == [b'{"a":\n1}']


@given(st.lists(st.binary(max_size=20)))
def test_any_stream_gives_only_what_was_data(sent: list[bytes]) -> None:
    whole = b"\n".join(sent)
    assert all(part in whole for data in datas(sent) for part in data.split(b"\n"))


def test_an_event_is_one_line() -> None:
    event = EventView(1, 0, "app-applied", "web was\napplied", app="web", node="n1", changer="ann")
    assert line(event).endswith("  app-applied         web@n1            web was applied [ann]")


def test_a_log_line_says_whose_it_is() -> None:
    assert text(LogLine("n1", "web-1 hello")) == "n1  web-1 hello"
    assert text(LogLine("n1", "hello", "web-1")) == "web-1@n1  hello"


def test_a_node_is_silent_where_the_hub_counts_it_so() -> None:
    assert row(NODE) == ("n1", "ready", "2s ago", "3", "1.4", "site=a", "-")
    lost = msgspec.structs.replace(
        NODE, conditions=("silent: counted as lost",), applied="1.3", silent_ms=None
    )
    assert row(lost) == (
        "n1", "silent", "not since the hub's start", "3", "1.3, newest 1.4", "site=a", "silent: counted as lost",
    )  # fmt: skip
    assert any("silent: counted as lost" in shown for shown in details(lost))


def test_what_a_token_grants_is_said() -> None:
    token = TokenView("t", "one-off", 0, 1, "open", None, "ann")
    assert grants(token) == "-"
    full = msgspec.structs.replace(
        token, labels={"site": "a"}, name_pattern="p-*", approval=True, ephemeral_ms=60_000
    )
    assert grants(full) == "site=a, named p-*, after approval, forgotten after 1m"


def test_a_diff_has_a_line_for_each_side_that_is_there() -> None:
    assert diff_lines(DiffLine("replicas", "1", "2")) == ["- replicas = 1", "+ replicas = 2"]
    assert diff_lines(DiffLine("env.A", "", '"x"')) == ['+ env.A = "x"']
    assert diff_lines(DiffLine("env.A", '"x"', "")) == ['- env.A = "x"']


RESUME = ResumeView(True, (Paused("n1", "1.9", "1.4", ""), Paused("n2", "1.8", "1.4", "")), ("n3",))


def test_a_resume_covers_what_was_named_or_all_that_was_shown() -> None:
    assert covered(RESUME, ()) == ("n1", "n2")
    assert covered(RESUME, ("n2",)) == ("n2",)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("n3", "cannot resume n3: it is not paused (it is away: it will pause when it comes back)"),
        ("n9", "cannot resume n9: it is not paused"),
    ],
)
def test_a_resume_never_covers_what_was_not_shown(name: str, said: str) -> None:
    with pytest.raises(CliError) as caught:
        covered(RESUME, ("n1", name))
    assert (caught.value.what, caught.value.code) == (said, EXIT_USAGE)
