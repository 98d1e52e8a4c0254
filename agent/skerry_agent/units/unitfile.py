"""The text of unit files and environment files, from values that may be hostile. Pure.

Owns systemd's quoting rules (systemd.syntax(7), systemd.service(5) "Command lines", systemd.exec(5) EnvironmentFile=).
Every value goes through one of the functions here; `text` is the last line of defence and refuses any value that could
end a line. Must never write a value that systemd would read as two.
"""

from __future__ import annotations

import re

from skerry_protocol.sandbox import PATH

Line = tuple[str, str]
Section = tuple[str, tuple[Line, ...]]

ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
PROGRAM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}")
CALENDAR = re.compile(r"[A-Za-z0-9*][A-Za-z0-9 *.,:/~_+-]{0,199}")
KEY = re.compile(r"[A-Za-z][A-Za-z0-9]*")
NAMED_ESCAPES = {"\n": "\\n", "\t": "\\t", "\\": "\\\\", '"': '\\"'}
# What systemd takes for the end of a line: \n, \r and the zero byte.
LINE_ENDS = frozenset("\n\r\0")


class UnitTextError(ValueError):
    """A value that cannot stand in a unit or environment file."""


def quoted(argument: str) -> str:
    """One word of a command line (with the ':' prefix, so that '$' stands for itself). Raises UnitTextError."""
    _no_zero(argument)
    return '"' + "".join(_escaped(char) for char in argument) + '"'


def _escaped(char: str) -> str:
    if char == "%":
        return "%%"  # systemd expands specifiers inside quotes too
    if char in NAMED_ESCAPES:
        return NAMED_ESCAPES[char]
    return f"\\x{ord(char):02x}" if ord(char) < 0x20 or ord(char) == 0x7F else char


def command(path: str, arguments: tuple[str, ...]) -> str:
    """The value of ExecStart=: no variables are expanded, no prefix of systemd's can be smuggled in.

    `path` is an absolute path of plain characters, or a program's bare name, which systemd looks up in its own fixed
    folders. Raises UnitTextError.
    """
    if PATH.fullmatch(path) is None and PROGRAM.fullmatch(path) is None:
        raise UnitTextError(f"{path!r} is neither an absolute path of plain characters nor a program's name")
    return " ".join([f":{path}", *(quoted(argument) for argument in arguments)])


def plain_path(path: str) -> str:
    """`path` if it is absolute, of plain characters and without '..'. Raises UnitTextError."""
    if PATH.fullmatch(path) is None or any(part in {".", ".."} for part in path.split("/")):
        raise UnitTextError(f"{path!r} is not an absolute path of plain characters without '..'")
    return path


def calendar(expression: str) -> str:
    """A calendar expression of plain characters (systemd.time(7)); its meaning is systemd's to judge."""
    if CALENDAR.fullmatch(expression) is None:
        raise UnitTextError(f"{expression!r} is not a calendar expression")
    return expression


def text(sections: tuple[Section, ...]) -> str:
    """The unit file. Raises UnitTextError for a key or value that could be read as more than itself."""
    return "\n".join(_section(name, lines) for name, lines in sections if lines)


def _section(name: str, lines: tuple[Line, ...]) -> str:
    for key, value in lines:
        if (
            KEY.fullmatch(key) is None
            or LINE_ENDS & set(value)
            or value.endswith("\\")
            or value != value.strip()
        ):
            raise UnitTextError(f"{key}= cannot have the value {value!r}")
    return "\n".join([f"[{name}]", *(f"{key}={value}" for key, value in lines)]) + "\n"


def environment(values: dict[str, str]) -> bytes:
    """An environment file with these variables, sorted. Raises UnitTextError."""
    return "".join(_assignment(name, values[name]) for name in sorted(values)).encode()


def _assignment(name: str, value: str) -> str:
    """In double quotes only backslash, quote, dollar and backtick are special, and a line may end."""
    _no_zero(value)
    if ENV_NAME.fullmatch(name) is None:
        raise UnitTextError(f"{name!r} is not a variable's name")
    return f'{name}="' + re.sub(r'([\\"$`])', r"\\\1", value) + '"\n'


def _no_zero(value: str) -> None:
    if "\0" in value:
        raise UnitTextError("a zero byte cannot be passed to a program")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UnitTextError(f"{value!r} is not Unicode text") from error
