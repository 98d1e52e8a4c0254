from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_hub.cli import places
from skerry_hub.cli.errors import CliError
from skerry_hub.cli.places import candidates
from skerry_hub.cli.settings import Settings, load, parse
from skerry_hub.lab.layout import Paths

PIN = "ab" * 32
WHOLE = f'hub = "https://hub.example:8443"\npin = "{PIN}"\ntoken = "secret"\n'


def test_a_whole_file() -> None:
    assert parse(WHOLE, "f") == Settings(("https://hub.example:8443",), PIN, "secret", None, "f")


def test_several_hubs_and_a_socket() -> None:
    text = (
        WHOLE.replace('"https://hub.example:8443"', '["https://a:1", "https://[::1]:2"]') + 'socket = "/s"\n'
    )
    assert parse(text, "f") == Settings(("https://a:1", "https://[::1]:2"), PIN, "secret", "/s", "f")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot use f: it has no hub and no pin and no token"),
        ("hub =", "cannot read f: "),
        (WHOLE.replace("https", "http"), "cannot use f: hub is to be an address"),
        (WHOLE.replace(":8443", ":port"), "cannot use f: hub is to be an address"),
        (WHOLE.replace('"https://hub.example:8443"', "[1]"), "cannot use f: hub is to be an address"),
        (WHOLE.replace(PIN, PIN[:-1]), "cannot use f: pin is to be 64 hexadecimal digits"),
        (WHOLE.replace('"secret"', "5"), "cannot use f: token is to be plain text"),
        (WHOLE.replace("secret", "a\\nb"), "cannot use f: token is to be plain text"),
        (WHOLE + "socket = 1\n", "cannot use f: socket is to be a path"),
    ],
)
def test_what_does_not_fit_is_said(text: str, said: str) -> None:
    with pytest.raises(CliError) as caught:
        parse(text, "f")
    assert caught.value.what.startswith(said)


@given(
    st.dictionaries(
        st.sampled_from(["hub", "pin", "token", "socket"]),
        st.one_of(
            st.integers(), st.booleans(), st.floats(allow_nan=False), st.just('"https://a"'), st.just("[]")
        ),
    )
)
def test_whatever_does_not_fit_is_a_line(values: dict[str, object]) -> None:
    text = "".join(f"{key} = {str(value).lower()}\n" for key, value in values.items())
    assert said(text).startswith("cannot ")


def said(text: str) -> str:
    """What is said of a file; of one that is right, nothing can be said here: no example has a token that is text."""
    with pytest.raises(CliError) as caught:
        parse(text, "f")
    return caught.value.what


def test_the_first_file_that_is_there_counts(tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.write_text(WHOLE)
    assert load((tmp_path / "first", second)).source == str(second)


def test_no_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CliError) as caught:
        load((tmp_path / "first", tmp_path / "second"))
    assert caught.value.what == f"cannot reach a hub: there is no {tmp_path / 'first'}"
    assert "SKERRY_CONFIG" in caught.value.then


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(CliError, match=r"cannot read .*latin"):
        load((tmp_path / "latin",))
    with pytest.raises(CliError, match="Is a directory"):
        load((tmp_path,))


def test_the_named_file_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKERRY_CONFIG", "/there/op.toml")
    assert candidates() == ("/there/op.toml",)


def test_the_lab_is_found_after_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SKERRY_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert candidates() == (
        str(tmp_path / ".config/skerry/operator.toml"),
        "/var/lib/skerry-lab/lab/hub/operator.toml",
    )
    assert str(Paths("lab").hub_data / places.FILE) == places.LAB
    assert str(Paths("lab").api) == places.LAB_SOCKET


def test_the_labs_hub_is_reached_by_the_labs_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = tmp_path / "operator.toml"
    written.write_text(WHOLE)
    monkeypatch.setattr(places, "LAB", str(written))
    assert load((written,)).socket == "/run/skerry-lab/lab/api.sock"
