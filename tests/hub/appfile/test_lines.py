"""The line scanner, held to tomllib: where tomllib reads a text, every path in it has its line."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry_hub.appfile.lines import DEPTH_MAX, scan

from .documents import any_apps, paths, sound_apps, toml

KEYS = st.one_of(
    st.sampled_from(["a", "b-1", "", "a b", "ü", "a.b", '"', "'", "\\", "\n#"]), st.text(max_size=5)
)
VALUES = st.recursive(
    st.integers(-5, 5) | st.booleans() | st.text(max_size=8) | st.floats(allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
# What TOML is made of, in any order: sometimes TOML.
SHREDS = st.lists(
    st.sampled_from(
        ["a", "b", ".", "=", " = ", "1", '"', "'", '"""', "'''", "[", "]", "[[", "]]", "{", "}", ",", "\n", "\r\n",
         "#", "\\", '\\"', " ", "1979-05-27 07:32:00", "true", "\\u00e9", "a.b = 1\n", "[[t]]\n", "[t.u]\n", "x = [\n",
         "x = '''\n", "\t", "\x00", "é"]
    ),
    max_size=25,
).map("".join)  # fmt: skip

EXAMPLE = '''\
# a comment with a = 1
title = "x"  # 2
[app.web]  # 3
run = [  # 4
  "./serve", # 5 ]
  """
  two lines
  """, '8080', # 6 to 8

]
dotted . "key two".'three' = 1  # 11
inline = { a = 1, b.c = [ {d = 2} ] } # 12
literal = \'\'\'
[not.a.table]
a = 1\'\'\'  # 13 to 15
"quoted \\u00e9" = "=#[" # 16
[[list]]  # 17
x = 1
[[list]]  # 19
x = 2
[list.sub]  # 21
y = 1979-05-27 07:32:00 # 22
quotes = """a""""" # 23
'''


def test_the_lines_of_an_example() -> None:
    lines = scan(EXAMPLE).lines
    expected = {
        ("title",): 2, ("app", "web"): 3, ("app", "web", "run"): 4, ("app", "web", "run", 0): 5,
        ("app", "web", "run", 1): 6, ("app", "web", "run", 2): 8, ("app", "web", "dotted", "key two", "three"): 11,
        ("app", "web", "inline", "b", "c", 0, "d"): 12, ("app", "web", "literal"): 13,
        ("app", "web", "quoted é"): 16, ("list", 0): 17, ("list", 0, "x"): 18, ("list", 1): 19, ("list", 1, "x"): 20,
        ("list", 1, "sub"): 21, ("list", 1, "sub", "y"): 22, ("list", 1, "sub", "quotes"): 23,
    }  # fmt: skip
    assert {path: lines[path] for path in expected} == expected
    assert set(lines) == set(paths(tomllib.loads(EXAMPLE)))


def agrees(text: str) -> None:
    """Whatever tomllib reads has lines for just its paths, all within the text."""
    text = text.replace("\r\n", "\n")
    seen = scan(text)
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError):
        return
    if seen.too_deep:
        return
    assert seen.stopped is None
    assert set(seen.lines) == set(paths(document))
    assert all(1 <= line <= text.count("\n") + 1 for line in seen.lines.values())


@given(st.data(), st.dictionaries(KEYS, VALUES, max_size=4))
@settings(max_examples=150, deadline=None)
def test_every_path_of_any_document_has_a_line(data: st.DataObject, document: dict[str, object]) -> None:
    agrees(data.draw(toml(document)))


@given(st.data(), any_apps())
@settings(max_examples=60, deadline=None)
def test_every_path_of_an_app_file_has_a_line(data: st.DataObject, table: dict[str, object]) -> None:
    agrees(data.draw(toml({"app": {"x": table}})))


@given(SHREDS)
@settings(max_examples=600)
def test_shreds_of_toml_are_scanned_as_tomllib_reads_them(text: str) -> None:
    agrees(text)


@given(
    st.data(),
    sound_apps(),
    st.integers(0, 5000),
    st.sampled_from(['"', "'", "[", "]", "{", "\n", "#", "=", "."]),
)
@settings(max_examples=100, deadline=None)
def test_a_damaged_app_file(data: st.DataObject, table: dict[str, object], at: int, shred: str) -> None:
    text = data.draw(toml({"app": {"x": table}}))
    at %= len(text) + 1
    agrees(text[:at] + shred + text[at:])


@given(st.text())
def test_any_text_is_scanned(text: str) -> None:
    scan(text)


@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * 300_000 + " = 1",
        "[" + "a." * 300_000 + "a]",
        "a = " + "[" * 500_000,
        "a = " + "{a=" * 300_000,
        "a = " + "[" * 20 + "]" * 20,
    ],
)
def test_what_is_too_deep_is_told_at_once(text: str) -> None:
    assert scan(text).too_deep


def test_depth_is_allowed_up_to_its_bound() -> None:
    text = ".".join(["a"] * DEPTH_MAX) + " = 1"
    assert not scan(text).too_deep
