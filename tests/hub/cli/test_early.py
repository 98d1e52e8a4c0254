"""What is sent before the rest is loaded means what the verb would mean by it, or is not sent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skerry_hub.cli import early
from skerry_hub.cli import settings as full
from skerry_hub.cli.apply import apply
from skerry_hub.cli.errors import CliError
from skerry_hub.cli.places import Known

PIN = "ab" * 32
WORDS = st.one_of(
    st.sampled_from(
        ["--wait", "--no-wait", "--json", "--confirm", "--yes", "-y", "--leave-data", "--reason", "--plan",
         "--timeout", "5s", "40m", "007h", "1.5h", "--reason=x", "-yy", "--", "-", "", "--help", "--conf",
         "apps.toml", "a b/ü.toml"]
    ),
    st.text(max_size=5),
)  # fmt: skip
LINES = st.one_of(
    st.sampled_from(
        ['hub = "https://hub:8443"', 'hub="https://[::1]:1"', 'hub = "https://hub"', 'hub = ["https://a:1"]',
         'hub = "https://hub:99999"', 'hub = "http://hub:1"', 'hub = "https://a@b:1"', f'pin = "{PIN}"',
         'token = "secret"', 'token = "a b"', 'token = "a" # why', "token = 'x'", 'token = "\\u0041"',
         'socket = "/s"', "# why", "", " ", "[table]", '"hub" = "https://x:1"', 'other = "x"', "token = 5",
         'token = """x"""', 'token = ""']
    ),
    st.text(max_size=20),
)  # fmt: skip


def test_it_imports_nothing_but_sockets_and_tls() -> None:
    assert modules("skerry_hub.cli") - modules("socket, ssl, __future__") == {
        "skerry_hub", "skerry_hub.cli", "skerry_hub.cli.early", "skerry_hub.cli.places", "collections.abc",
    } - modules("socket, ssl, __future__")  # fmt: skip


def modules(wanted: str) -> set[str]:
    script = f"import sys, {wanted}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@given(st.lists(WORDS, max_size=6))
@example(["a.toml"])
@example(["a.toml", "--reason", "why & = ü", "-y"])
@example(["--reason", "--json", "a.toml"])
@example(["a.toml", "--timeout", "007h"])
@example(["a.toml", "--timeout", "99999h"])
@example(["a.toml", "--timeout", "0s"])
def test_words_mean_what_the_verb_takes_them_for(argv: list[str]) -> None:
    found = early.words(["apply", *argv])
    if found is None:
        return
    with apply.make_context("apply", list(argv)) as ctx:
        given_ = ctx.params
    file, target = found
    query = {key: values[0] for key, values in parse_qs(urlsplit(target).query, True).items()}
    assert not given_["plan_only"]
    assert file == given_["file"] == query["name"] != "-"
    assert query["reason"] == given_["reason"]
    assert (query.get("confirm") == "true") is given_["confirm"]
    assert (query.get("leave_data") == "true") is given_["leave_data"]


def test_the_plain_words_are_understood() -> None:
    for argv in (
        ["a.toml"],
        ["--no-wait", "a.toml", "--json"],
        ["a.toml", "--timeout", "40s", "-y", "--reason", "x"],
    ):
        assert early.words(["apply", *argv]) is not None
    for argv in ([], ["-"], ["a.toml", "--plan"], ["a.toml", "b.toml"], ["a.toml", "--timeout", "soon"]):
        assert early.words(["apply", *argv]) is None
    assert early.words(["plan", "a.toml"]) is None


def test_a_verb_that_is_asked_wrongly_is_not_for_it() -> None:
    with pytest.raises(click.UsageError):
        apply.make_context("apply", ["a.toml", "--conf"])
    assert early.words(["apply", "a.toml", "--conf"]) is None


@given(st.lists(LINES, max_size=6).map("\n".join))
@example(f'hub = "https://hub:8443"\npin = "{PIN}"\ntoken = "t"\n')
@example(f'# by init\nhub = "https://1.2.3.4:1"\npin = "{PIN}"\ntoken = "t"\nsocket = "/s"\n')
def test_settings_are_what_toml_takes_them_for(text: str) -> None:
    found = early.settings(text, "f")
    if found is None:
        return
    whole = full.parse(text, "f")
    assert whole.hubs == (found.address,)
    assert (whole.pin, whole.token, whole.socket) == (found.pin, found.token, found.unix_socket)
    parts = urlsplit(found.address)
    assert early.where(found.address) == ((parts.hostname or "").lower(), parts.port)


def test_settings_as_a_hub_writes_them_are_understood() -> None:
    found = early.settings(f'hub = "https://hub.example:8443"\npin = "{PIN}"\ntoken = "t"\n', "f")
    assert found is not None
    assert early.where(found.address) == ("hub.example", 8443)
    with pytest.raises(CliError):
        full.parse('hub = "https://hub:1"', "f")
    assert early.settings('hub = "https://hub:1"', "f") is None


@pytest.mark.parametrize("content", [b"", b"[app.a]\nartifact = 5\n", b"#" * (early.FILE_MAX + 1)])
def test_what_is_no_plain_file_is_not_sent(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKERRY_CONFIG", str(tmp_path / "nowhere"))
    (tmp_path / "apps.toml").write_bytes(content)
    assert early.send(["apply", str(tmp_path / "apps.toml")]) is None
    assert early.send(["apply", str(tmp_path)]) is None
    assert early.send(["apply", str(tmp_path / "none.toml")]) is None


def test_a_certificate_counts_for_the_hub_and_the_root_that_it_was_kept_for(tmp_path: Path) -> None:
    known = Known(str(tmp_path / "operator.toml"))
    known.keep("https://a:1", PIN, b"certificate")
    assert known.holds("https://a:1", PIN, b"certificate")
    assert not known.holds("https://a:1", PIN, b"another")
    assert not known.holds("https://a:1", "cd" * 32, b"certificate")
    assert not known.holds("https://b:1", PIN, b"certificate")
    assert not known.holds("https://a:1", PIN, b"")
    assert [path.name for path in tmp_path.iterdir()] == ["operator.toml.known"]


def test_a_certificate_that_others_could_have_put_there_counts_for_nothing(tmp_path: Path) -> None:
    known, file = Known(str(tmp_path / "operator.toml")), tmp_path / "operator.toml.known"
    known.keep("https://a:1", PIN, b"certificate")
    file.chmod(0o620)
    assert not known.holds("https://a:1", PIN, b"certificate")
    known.keep("https://a:1", PIN, b"certificate")
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert not known.holds("https://a:1", PIN, b"certificate")
    Known("/nowhere/operator.toml").keep("https://a:1", PIN, b"certificate")  # and it is no error
