"""The kinds of text in an app file: names, paths, labels, URLs, environment, words of the sandbox.

Each says what it takes in words, and holds it to a pattern; what a pattern cannot say is a function beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from skerry_protocol import sandbox
from skerry_protocol.ids import NAME, NAME_EXPECTED, NAME_MAX

from ..units import Wrong
from .calendar import EXPECTED as CALENDAR_EXPECTED
from .calendar import LENGTH_MAX, is_calendar
from .kinds import Leaf, Schema, text

PATH_MAX = 1024
ARCHES = (
    "any", "x86_64", "aarch64", "armv7l", "armv6l", "i686", "riscv64", "ppc64le", "s390x", "loongarch64",
)  # fmt: skip
# What others call them (Docker, Go, Debian).
OTHER_ARCHES = {"amd64": "x86_64", "arm64": "aarch64", "armhf": "armv7l", "i386": "i686", "386": "i686"}
LABEL_KEY = r"[A-Za-z](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?"
LABEL_VALUE = r"[A-Za-z0-9](?:[A-Za-z0-9._:/+-]{0,61}[A-Za-z0-9])?"
LABEL_KEY_EXPECTED = "a label's name: letters, digits and inner . _ / -"
LABEL_VALUE_EXPECTED = "a label's value: letters, digits and inner . _ : / + -"
# What every node has as a label without anybody's doing.
BUILT_IN_LABELS = ("arch", "node", "region")
SHA256 = r"[0-9a-f]{64}"
# An agent writes these into unit files, and takes plain characters only.
FILE_PART = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*"
PROGRAM = r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}"
# Where a volume would hide what the instance's system, systemd or Skerry needs.
SYSTEM_PATHS = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr",
    "/tmp", "/var/tmp",  # noqa: S108  # systemd gives each instance its own
)  # fmt: skip


def name() -> Leaf[str]:
    """The name of an app, a node or a volume."""
    return text(NAME_EXPECTED, longest=NAME_MAX, pattern=NAME.pattern)


def label_key() -> Leaf[str]:
    return text(LABEL_KEY_EXPECTED, longest=63, pattern=LABEL_KEY)


def label_value() -> Leaf[str]:
    return text(LABEL_VALUE_EXPECTED, longest=63, pattern=LABEL_VALUE)


def label_faults(labels: Mapping[str, str]) -> list[str]:
    """Why a node may not get these labels: what an app file cannot name would be of no use."""
    faults = []
    for key, value in labels.items():
        if key in BUILT_IN_LABELS:
            faults.append(f"{key}: every node has this label by itself, and no other value of it")
        elif re.fullmatch(LABEL_KEY, key) is None:
            faults.append(f"{key[:60]!r}: expected {LABEL_KEY_EXPECTED}")
        elif re.fullmatch(LABEL_VALUE, value) is None:
            faults.append(f"{key}={value[:60]!r}: expected {LABEL_VALUE_EXPECTED}")
    return faults


def argument() -> Leaf[str]:
    return text("a string without NUL", longest=16 << 10)


def plain_fault(value: str) -> str | None:
    """What is wrong with a path that has to stand in a unit file, absolute or not; None if nothing."""
    if ".." in value.split("/"):
        return "no '..'"
    if sandbox.PATH.fullmatch("/" + value.removeprefix("./").removeprefix("/")) is None:
        return "names of letters, digits and _ . @ + , = ~ -, single slashes between them"
    return "no '.' but at the start" if "." in value.removeprefix("./").split("/") else None


def program_fault(program: str, has_artifact: bool) -> tuple[str, str] | None:
    """What is expected of a program's path instead, and a hint; None if it will do.

    A bare name is a program of the machine, which systemd looks up in its own fixed folders; a relative path with a
    slash is inside the artifact.
    """
    if "/" not in program:
        good = re.fullmatch(PROGRAM, program)
        return None if good else ("a program's name or path", "plain characters, no space, no shell")
    fault = plain_fault(program)
    if fault is not None:
        return "the path of a program", fault
    if not program.startswith("/") and not has_artifact:
        hint = "a relative path is inside the artifact, and this app has none"
        return 'an absolute path, or a bare name such as "python3"', hint
    return None


def artifact_path() -> Leaf[str]:
    """Where an archive lies, beside the app file or absolute. `..` may well be in it: the operator's own disk."""

    def refuse(value: str) -> str | None:
        if value.startswith("sha256:"):
            return 'write { sha256 = "...", size = BYTES } for an archive that the hub has'
        return None if value.isprintable() else "no control characters"

    return text(
        "the path of a tar archive, relative to this file", longest=PATH_MAX, pattern=".+", refuse=refuse
    )


def file_name() -> Leaf[str]:
    """The name of a file that is put beside the instance."""
    expected = "a relative name without '..', of plain characters, no part of which begins with a dot"
    return text(expected, longest=200, pattern=f"{FILE_PART}(?:/{FILE_PART})*")


def volume_path() -> Leaf[str]:
    """Where a volume shows in the instance: absolute, plain, not over the system."""

    def refuse(value: str) -> str | None:
        if any(value == root or value.startswith(root + "/") for root in SYSTEM_PATHS):
            return "not over a part of the system"
        return plain_fault(value)

    return text('an absolute path such as "/data"', longest=PATH_MAX, pattern="/.*", refuse=refuse)


def work_folder() -> Leaf[str]:
    return text("a path without '..'", longest=PATH_MAX, pattern=".+", refuse=plain_fault)


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
    return text(
        "an architecture: " + ", ".join(ARCHES), longest=20, pattern="|".join(ARCHES), meant=OTHER_ARCHES
    )


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
