"""The words by which an app asks for a looser sandbox, and by which a node's policy permits it.

Owns the one list of both. The app asks in `sandbox.allow` (and, for `user:NAME`, by its field `user`); the machine's
own /etc/skerry/policy.toml permits. What is not asked for stays shut, what is not permitted is not rendered: the
renderer must refuse the instance, never drop the word. A word is `KIND` or `KIND:VALUE`; each value is bounded and free
of white space, quotes, `%`, `$`, `\\` and `:`, so that it can stand in a unit file after the renderer's own escaping.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from .app import App

WORD_MAX = 200
WORDS_MAX = 64
PATH = re.compile(r"(?:/[A-Za-z0-9_.@+,=~-]+)+")
DEVICE = re.compile(r"/dev(?:/[A-Za-z0-9_.@+,=~-]+)+")
USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
CAPABILITY = re.compile(r"CAP_[A-Z][A-Z_]{1,30}")

# What holds the machine itself, and Skerry's word with it, no path word may name, nor a folder above it.
FORBIDDEN_ROOTS = ("/proc", "/sys", "/dev", "/run/systemd", "/etc/skerry", "/var/lib/skerry")


class Kind(StrEnum):
    """What each word loosens, as systemd settings. See `ABOUT` for the words that people read."""

    HOST_NETWORK = "host-network"  # PrivateNetwork=no; AF_NETLINK and AF_PACKET are still refused
    HOST_PATH = "host-path"  # BindReadOnlyPaths=VALUE
    HOST_PATH_WRITE = "host-path-write"  # BindPaths=VALUE
    HOME = "home"  # ProtectHome=read-only
    DEVICES = "devices"  # PrivateDevices=no, DevicePolicy=auto
    DEVICE = "device"  # PrivateDevices=no, DevicePolicy=closed, DeviceAllow=VALUE rw
    CAPABILITY = "capability"  # AmbientCapabilities= and CapabilityBoundingSet=VALUE, PrivateUsers=no
    USER = "user"  # DynamicUser=no, User=VALUE, PrivateUsers=no
    EXEC_MEMORY = "exec-memory"  # MemoryDenyWriteExecute=no
    NAMESPACES = (
        "namespaces"  # RestrictNamespaces=no, and the calls mount, unshare, clone with new namespaces
    )
    SYSTEM_CALLS = "system-calls"  # no SystemCallFilter=


ABOUT: dict[Kind, str] = {
    Kind.HOST_NETWORK: "the machine's own network: its addresses, ports and 127.0.0.1",
    Kind.HOST_PATH: "a file or folder of the machine, read-only",
    Kind.HOST_PATH_WRITE: "a file or folder of the machine, writable as far as its permissions go",
    Kind.HOME: "/home, /root and /run/user, read-only as far as permissions go",
    Kind.DEVICES: "all devices of the machine",
    Kind.DEVICE: "one device, for reading and writing",
    Kind.CAPABILITY: "one Linux capability (see capabilities(7))",
    Kind.USER: "to run as a user that the machine has, instead of one made for the instance alone",
    Kind.EXEC_MEMORY: "memory that is both writable and executable, as just-in-time compilers want it",
    Kind.NAMESPACES: "namespaces of its own, as container runtimes and browsers want them",
    Kind.SYSTEM_CALLS: "every system call, not those of @system-service alone",
}

VALUES: dict[Kind, tuple[re.Pattern[str], str]] = {
    Kind.HOST_PATH: (PATH, "an absolute path"),
    Kind.HOST_PATH_WRITE: (PATH, "an absolute path"),
    Kind.DEVICE: (DEVICE, "a path under /dev"),
    Kind.CAPABILITY: (CAPABILITY, "a capability such as CAP_NET_BIND_SERVICE"),
    Kind.USER: (USER, "a user's name"),
}
PATHS = frozenset({Kind.HOST_PATH, Kind.HOST_PATH_WRITE, Kind.DEVICE})


class Word(Struct, frozen=True, order=True):
    """One word, taken apart. `value` is empty for kinds that take none."""

    kind: Kind
    value: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}" if self.value else str(self.kind)


class BadWord(Struct, frozen=True):
    """Text that is no word, with the reason: what was expected instead."""

    text: str
    expected: str


def examples() -> tuple[str, ...]:
    """Every word as people write it, values in capitals: for help, errors and the schema."""
    shown = {Kind.HOST_PATH: "PATH", Kind.HOST_PATH_WRITE: "PATH", Kind.DEVICE: "/dev/PATH"}
    shown |= {Kind.CAPABILITY: "CAP_NAME", Kind.USER: "NAME"}
    return tuple(f"{kind}:{shown[kind]}" if kind in shown else str(kind) for kind in Kind)


def pattern() -> str:
    """One anchored regular expression that every word matches (for JSON Schema). `parse` is stricter on paths."""
    words = (f"{kind}:{VALUES[kind][0].pattern}" if kind in VALUES else str(kind) for kind in Kind)
    return "^(?:" + "|".join(words) + ")$"


def parse(text: str) -> Word | BadWord:
    """`text` as a word of an app or of a policy."""
    name, colon, value = text.partition(":")
    try:
        kind = Kind(name)
    except ValueError:
        return BadWord(text, "one of " + ", ".join(examples()))
    if kind not in VALUES:
        return Word(kind) if not colon else BadWord(text, f"{kind} without a value")
    form, expected = VALUES[kind]
    if len(text) > WORD_MAX or form.fullmatch(value) is None:
        return BadWord(text, f"{kind}: and {expected}, plain characters, {WORD_MAX} at most")
    if kind in PATHS and not _path_is_safe(kind, value):
        return BadWord(
            text, f"{kind}: and {expected} without '..', not in or above {', '.join(FORBIDDEN_ROOTS)}"
        )
    return Word(kind, value)


def _path_is_safe(kind: Kind, path: str) -> bool:
    if any(part in {".", ".."} for part in path.split("/")):
        return False
    return kind is Kind.DEVICE or not any(
        _within(path, root) or _within(root, path) for root in FORBIDDEN_ROOTS
    )


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def asked(app: App) -> tuple[Word, ...]:
    """All that `app` asks for, sorted, without repeats: `sandbox.allow` and what the field `user` stands for.

    Raises ValueError for a word that `parse` refuses: a node must not run an app that asks for what it doesn't know.
    """
    texts = list(app.sandbox_allow) + ([f"{Kind.USER}:{app.user}"] if app.user else [])
    words = set()
    for text in texts:
        word = parse(text)
        if isinstance(word, BadWord):
            raise ValueError(f"{word.text!r} is not a word of the sandbox: expected {word.expected}")
        words.add(word)
    return tuple(sorted(words))


def shares_network(app: App) -> bool:
    """Whether a copy has its node's network, and none of its own."""
    return Kind.HOST_NETWORK in app.sandbox_allow


def permits(permitted: Iterable[str], word: Word) -> bool:
    """Whether a policy that lists `permitted` lets an app have `word`.

    A listed word permits itself; a kind alone (`device`, `capability`) or with `:*` permits every value of it; a path
    permits what lies beneath it; host-path-write permits host-path too.
    """
    return any(_covers(text, word) for text in permitted)


def _covers(text: str, word: Word) -> bool:
    name, _, value = text.partition(":")
    if name == word.kind and (value in {"", "*"} or value == word.value):
        return True
    wider = name == Kind.HOST_PATH_WRITE and word.kind is Kind.HOST_PATH
    same = name == word.kind and word.kind in PATHS
    return (wider or same) and (value in {"", "*"} or _within(word.value, value))
