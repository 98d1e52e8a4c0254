"""journalctl's JSON, whatever is in it, and a journalctl that is not there."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.view.journal import JournalError, LogLine, parse, read

pytestmark = pytest.mark.anyio
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5)


def test_an_entry() -> None:
    raw = {"MESSAGE": "hello", "PRIORITY": "4", "_PID": "77", "__REALTIME_TIMESTAMP": "1700000000000000"}
    assert parse(json.dumps(raw).encode()) == LogLine(1_700_000_000_000_000, "hello", 4, 77)


def test_bytes_that_are_no_text() -> None:
    line = parse(json.dumps({"MESSAGE": [104, 105, 255]}).encode())
    assert line is not None
    assert line.text == "hi\N{REPLACEMENT CHARACTER}"


def test_a_long_message_is_cut() -> None:
    line = parse(json.dumps({"MESSAGE": "x" * 100_000}).encode())
    assert line is not None
    assert len(line.text) < 17_000


@given(st.binary(max_size=100))
def test_any_bytes(raw: bytes) -> None:
    assert parse(raw) is None or isinstance(parse(raw), LogLine)


@given(st.dictionaries(st.sampled_from(["MESSAGE", "PRIORITY", "_PID", "__REALTIME_TIMESTAMP"]), JSON))
def test_any_fields(fields: dict[str, object]) -> None:
    line = parse(json.dumps(fields).encode())
    assert line is None or (0 <= line.priority <= 7 and line.pid >= 0 and line.at_us >= 0)


@pytest.mark.parametrize(
    ("unit", "program"), [("--help", "journalctl"), ("a b", "journalctl"), ("x.service", "nothing-here")]
)
async def test_what_cannot_be_read_is_said(unit: str, program: str) -> None:
    with pytest.raises(JournalError, match="cannot read the journal"):
        async for _ in read(unit, 1, program=program):
            pass
