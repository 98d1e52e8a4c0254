"""What is written is read back by a small reader of systemd's own rules: one value in, the same one value out."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry_agent.units.unitfile import (
    UnitTextError,
    calendar,
    command,
    environment,
    plain_path,
    quoted,
    text,
)

PRINTABLE = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
LINE_END = re.compile("[\n\r\0]")


def unquoted(word: str) -> str:
    """A double-quoted word of a command line as systemd reads it, specifiers included."""
    assert word[0] == word[-1] == '"'
    out, rest = "", word[1:-1]
    while rest:
        if rest.startswith("%%"):
            out, rest = out + "%", rest[2:]
        elif match := re.match(r"\\x([0-9a-f]{2})", rest):
            out, rest = out + chr(int(match[1], 16)), rest[4:]
        elif rest[0] == "\\":
            out, rest = out + {"n": "\n", "t": "\t", "\\": "\\", '"': '"'}[rest[1]], rest[2:]
        else:
            assert rest[0] not in '%"'
            out, rest = out + rest[0], rest[1:]
    return out


def variables(data: str) -> dict[str, str]:
    """An environment file as systemd reads it, for double-quoted values."""
    found = {}
    pattern = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^\\"$`]|\\[\\"$`])*)"\n')
    place = 0
    while place < len(data):
        match = pattern.match(data, place)
        assert match, data[place:]
        found[match[1]] = re.sub(r"\\(.)", r"\1", match[2])
        place = match.end()
    return found


@settings(max_examples=300, deadline=None)
@given(PRINTABLE)
def test_any_argument_comes_back_as_it_was_on_one_line(argument: str) -> None:
    word = quoted(argument)
    assert not LINE_END.search(word)
    assert unquoted(word) == argument


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True), PRINTABLE, max_size=4))
def test_any_variable_comes_back_as_it_was(values: dict[str, str]) -> None:
    assert variables(environment(values).decode()) == values


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("a =[]#;\\\n\r\0%"), max_size=8) | st.text(max_size=20))
def test_no_value_ends_its_line(value: str) -> None:
    try:
        written = text((("Unit", (("Description", value),)),))
    except UnitTextError:
        return
    assert written == f"[Unit]\nDescription={value}\n"
    assert not LINE_END.search(value)
    assert not value.endswith("\\")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=12))
def test_no_program_smuggles_in_a_prefix(program: str) -> None:
    try:
        line = command(program, ())
    except UnitTextError:
        return
    assert line == f":{program}"
    assert program[0] not in "-@:+!|"
    assert re.fullmatch(r"[\w/.@+,=~-]+", program, re.ASCII)


@pytest.mark.parametrize("bad", ["a\0b", "\ud800"])
def test_what_no_program_can_be_given_is_refused(bad: str) -> None:
    with pytest.raises(UnitTextError):
        quoted(bad)
    with pytest.raises(UnitTextError):
        environment({"A": bad})


@pytest.mark.parametrize(
    "bad", ["", "relative", "/a/../b", "/a b", "/a\\", "/a:b", "/%n", "/a\n", "/", "/a/"]
)
def test_paths_are_plain(bad: str) -> None:
    with pytest.raises(UnitTextError):
        plain_path(bad)


@pytest.mark.parametrize("bad", ["", "daily\n", "%n", "a;b", " x"])
def test_calendars_are_plain(bad: str) -> None:
    with pytest.raises(UnitTextError):
        calendar(bad)


@pytest.mark.parametrize("bad", ["1A", "A-B", "", "A=B"])
def test_variables_have_plain_names(bad: str) -> None:
    with pytest.raises(UnitTextError):
        environment({bad: ""})


# Takes a moment: it asks the systemd that is installed here.
def test_systemd_itself_reads_back_what_is_written(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is missing (apt install systemd)")
    argument = "a \"b' \\ $HOME %n ;\n[Install]\nWantedBy=evil.target\r#"
    unit = tmp_path / "skerry-probe-0.service"
    line = ("ExecStart", command("/bin/true", (argument, ";", "")))
    unit.write_text(text((("Service", (line,)),)))
    done = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert "skerry-probe" not in done.stderr
