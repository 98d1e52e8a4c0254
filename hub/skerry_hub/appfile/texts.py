"""The kinds of text in an app file: names, paths, labels, URLs, environment, words of the sandbox.

Each says what it takes in words, and holds it to a pattern; what a pattern cannot say is a function beside it.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from skerry_protocol import sandbox
from skerry_protocol.ids import NAME, NAME_EXPECTED, NAME_MAX

from .calendar import EXPECTED as CALENDAR_EXPECTED
from .calendar import LENGTH_MAX, is_calendar
from .kinds import Leaf, Schema, text
from .units import Wrong

PATH_MAX = 1024
NAME_PART_MAX = 255
ARCHES = (
    "any", "x86_64", "aarch64", "armv7l", "armv6l", "i686", "riscv64", "ppc64le", "s390x", "loongarch64",
)  # fmt: skip
LABEL_KEY = r"[A-Za-z](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?"
LABEL_VALUE = r"[A-Za-z0-9](?:[A-Za-z0-9._:/+-]{0,61}[A-Za-z0-9])?"
SHA256 = r"[0-9a-f]{64}"
# Where a volume would hide what the instance's system, systemd or Skerry needs.
SYSTEM_PATHS = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr")


def name() -> Leaf[str]:
    """The name of an app, a node or a volume."""
    return text(NAME_EXPECTED, longest=NAME_MAX, pattern=NAME.pattern)


def label_key() -> Leaf[str]:
    return text("a label's name: letters, digits and inner . _ / -", longest=63, pattern=LABEL_KEY)


def label_value() -> Leaf[str]:
    return text("a label's value: letters, digits and inner . _ : / + -", longest=63, pattern=LABEL_VALUE)


def argument() -> Leaf[str]:
    return text("a string without NUL", longest=16 << 10)


def path_fault(value: str) -> str | None:
    """What is wrong with the parts of a path, absolute or not; None if nothing."""
    parts = value.removeprefix("/").split("/")
    if ".." in parts:
        return "no '..'"
    if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in value):
        return "no control characters"
    if any(len(part.encode()) > NAME_PART_MAX for part in parts):
        return f"each name has {NAME_PART_MAX} bytes at most"
    return None


def artifact_path() -> Leaf[str]:
    """Where an archive lies, beside the app file or absolute. `..` may well be in it: the operator's own disk."""

    def refuse(value: str) -> str | None:
        if value.startswith("sha256:"):
            return 'write { sha256 = "...", size = BYTES } for an archive that the hub has'
        return "no control characters" if path_fault(value) == "no control characters" else None

    return text(
        "the path of a tar archive, relative to this file", longest=PATH_MAX, pattern=".+", refuse=refuse
    )


def file_name() -> Leaf[str]:
    """The name of a file that is put beside the instance."""

    def refuse(value: str) -> str | None:
        if any(part in {"", "."} for part in value.split("/")):
            return "plain names with single slashes between them"
        return path_fault(value)

    return text("a relative name without '..'", longest=PATH_MAX, pattern="[^/].*", refuse=refuse)


def volume_path() -> Leaf[str]:
    """Where a volume shows in the instance: absolute, normal, not over the system."""

    def refuse(value: str) -> str | None:
        parts = value[1:].split("/")
        if value == "/" or any(part in {"", "."} for part in parts):
            return "a normal path below /, without a slash at its end"
        if any(value == root or value.startswith(root + "/") for root in SYSTEM_PATHS):
            return f"not in {parts[0]}: the system lives there"
        return path_fault(value)

    return text('an absolute path such as "/data"', longest=PATH_MAX, pattern="/.*", refuse=refuse)


def work_folder() -> Leaf[str]:
    return text("a path without '..'", longest=PATH_MAX, pattern=".+", refuse=path_fault)


def user() -> Leaf[str]:
    pattern = sandbox.USER.pattern
    return text("the name of a user that the nodes have", longest=31, pattern=pattern)


def env_name() -> Leaf[str]:
    """A variable's name (systemd.exec(5), Environment=). SKERRY_ is ours."""

    def refuse(value: str) -> str | None:
        return "names that begin with SKERRY_ are Skerry's own" if value.startswith("SKERRY_") else None

    expected = "a variable's name: letters, digits and _, no digit first"
    return text(expected, longest=128, pattern="[A-Za-z_][A-Za-z0-9_]*", refuse=refuse)


def env_value() -> Leaf[str]:
    """systemd drops a variable with control characters other than tab and newline, without a word: we refuse it."""
    return text(
        "a string without control characters, but for tab and newline",
        longest=32 << 10,
        pattern=r"[^\x00-\x08\x0b-\x1f\x7f]*",
    )


def sha256() -> Leaf[str]:
    return text("64 lower-case hexadecimal digits", longest=64, pattern=SHA256)


def arch() -> Leaf[str]:
    """What `uname -m` says, or "any"."""
    return text("an architecture: " + ", ".join(ARCHES), longest=20, pattern="|".join(ARCHES))


def web_address() -> Leaf[str]:
    """A URL that an agent can ask for health."""
    expected = 'an address such as "http://127.0.0.1:8080/healthz"'
    return text(expected, longest=2000, pattern=r"https?://[!-~]+", refuse=_web_fault)


def _web_fault(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return "a host, and a port from 1 to 65535"
    if not parts.hostname or port == 0:
        return "a host, and a port from 1 to 65535"
    if parts.username is not None:
        return "without user and password: health checks are no secret"
    return None


def schedule() -> Leaf[str]:
    """A calendar event. The schema cannot tell one: it says only that it is a string."""

    def convert(value: object) -> str | Wrong:
        return value if isinstance(value, str) and is_calendar(value) else Wrong(CALENDAR_EXPECTED)

    return Leaf(convert, {"type": "string", "maxLength": LENGTH_MAX})


def sandbox_word() -> Leaf[str]:
    """One word of sandbox.allow."""

    def convert(value: object) -> str | Wrong:
        if not isinstance(value, str):
            return Wrong("a word: " + ", ".join(sandbox.examples()))
        word = sandbox.parse(value)
        return Wrong(word.expected) if isinstance(word, sandbox.BadWord) else str(word)

    form: Schema = {"type": "string", "maxLength": sandbox.WORD_MAX, "pattern": sandbox.pattern()}
    return Leaf(convert, form)
