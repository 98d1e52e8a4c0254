"""The words of the sandbox: what is one, what an app asks for, what a policy permits."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_protocol.app import App, Availability
from skerry_protocol.ids import AppName
from skerry_protocol.sandbox import (
    ABOUT,
    VALUES,
    BadWord,
    Kind,
    Word,
    asked,
    examples,
    parse,
    pattern,
    permits,
)

WORDS = [
    "host-network", "host-path:/srv/media", "host-path-write:/srv/a.b", "home", "devices", "device:/dev/ttyS0",
    "capability:CAP_NET_BIND_SERVICE", "user:www-data", "exec-memory", "namespaces", "system-calls",
]  # fmt: skip


@pytest.mark.parametrize("text", WORDS)
def test_words(text: str) -> None:
    word = parse(text)
    assert isinstance(word, Word)
    assert str(word) == text
    assert re.search(pattern(), text)


@pytest.mark.parametrize(
    "text",
    ["", "everything", "host-network:", "host-network:x", "device", "device:", "device:/etc/passwd", "device:/dev",
     "device:/dev/../etc", "host-path:/", "host-path:srv", "host-path:/srv/", "host-path:/srv/../etc",
     "host-path:/srv x", "host-path:/etc", "host-path:/etc/skerry/policy.toml", "host-path:/proc/1",
     "host-path:/var/lib", "host-path:/run",
     "host-path:/dev/sda", "host-path:/srv%i", "host-path:/srv$X", "host-path:/a:/b", "capability:SYS_ADMIN",
     "capability:CAP_X\n", "user:Root", "user:a b", "user:-x", "host-path:/" + "a" * 300, "HOME", "home "],
)  # fmt: skip
def test_what_is_no_word(text: str) -> None:
    assert isinstance(parse(text), BadWord)


def test_every_kind_is_explained_and_shown() -> None:
    assert set(ABOUT) == set(Kind)
    assert len(examples()) == len(Kind)
    assert {kind for kind in Kind if any(text.startswith(f"{kind}:") for text in examples())} == set(VALUES)


@given(st.text(max_size=40) | st.builds("{}:{}".format, st.sampled_from(list(Kind)), st.text(max_size=20)))
def test_any_text_is_a_plain_word_or_none(text: str) -> None:
    word = parse(text)
    if isinstance(word, Word):
        assert str(word) == text
        assert not set(text) & set(" \t\r\n\0\"'\\%$;")
        assert re.search(pattern(), text)


def app(*allow: str, user: str | None = None) -> App:
    return App(AppName("x"), ("/bin/x",), Availability.BEST_EFFORT, sandbox_allow=allow, user=user)


def test_an_app_asks_by_words_and_by_its_user() -> None:
    assert asked(app("home", "devices", user="bob")) == tuple(
        sorted([Word(Kind.HOME), Word(Kind.DEVICES), Word(Kind.USER, "bob")])
    )
    assert asked(app("user:bob", user="bob")) == (Word(Kind.USER, "bob"),)


def test_an_unknown_word_is_never_dropped() -> None:
    with pytest.raises(ValueError, match="'all' is not a word"):
        asked(app("home", "all"))


@pytest.mark.parametrize(
    ("permitted", "text", "so"),
    [
        ([], "home", False),
        (["home"], "home", True),
        (["home"], "devices", False),
        (["device"], "device:/dev/a", True),
        (["device:*"], "device:/dev/a", True),
        (["device:/dev/a"], "device:/dev/a", True),
        (["device:/dev/a"], "device:/dev/ab", False),
        (["device:/dev/a"], "device:/dev/a/b", True),
        (["devices"], "device:/dev/a", False),
        (["host-path:/srv"], "host-path:/srv/a", True),
        (["host-path:/srv"], "host-path:/srvx", False),
        (["host-path:/srv/a"], "host-path:/srv", False),
        (["host-path:/srv"], "host-path-write:/srv", False),
        (["host-path-write:/srv"], "host-path:/srv/a", True),
        (["capability:CAP_CHOWN"], "capability:CAP_KILL", False),
        (["user:bob"], "user:bo", False),
        (["user:bob", "user:bo"], "user:bo", True),
    ],
)
def test_what_a_policy_permits(permitted: list[str], text: str, so: bool) -> None:
    word = parse(text)
    assert isinstance(word, Word)
    assert permits(permitted, word) is so
