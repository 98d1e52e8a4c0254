"""`python -m tests.sim.scenario FILE...` plays scenarios and shows where something else happened than the file says.

A scenario is a text: lines with `> ` are commands, what follows each is what it prints, `#` begins a comment. So a bug
report becomes a test. `--update` writes what was printed into the file, for a person to read before it is kept;
`--without RULE` takes away a safety rule. `--commands` lists what can be said. Exit code 1 where anything differs.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from dataclasses import dataclass, field
from pathlib import Path

from .start import start

PROMPT = "> "


class Fault(ValueError):
    """What cannot be read or done, with its place, for people."""


@dataclass
class Line:
    """A command (None: a comment or an empty line, kept as it is), and what it is to print."""

    number: int
    text: str
    words: tuple[str, ...] | None = None
    expected: list[str] = field(default_factory=list)


def parse(text: str, name: str) -> list[Line]:
    """The lines of a scenario. Raises Fault."""
    lines: list[Line] = []
    last: Line | None = None
    for number, one in enumerate(text.splitlines(), 1):
        if one.startswith(PROMPT):
            last = Line(number, one, tuple(one.removeprefix(PROMPT).partition("#")[0].split()))
            if not last.words:
                raise Fault(f"{name}:{number}: a command is missing after '>'")
            lines.append(last)
        elif not one.strip() or one.startswith("#"):
            lines.append(Line(number, one))
        elif last is None:
            raise Fault(f"{name}:{number}: {one!r} is neither a command ('> ...') nor a comment ('# ...')")
        else:
            last.expected.append(one)
    return lines


def rendered(lines: list[Line], printed: dict[int, list[str]]) -> str:
    """The file as it would be with this output; `printed` by the line of each command."""
    found = []
    for line in lines:
        found += [line.text, *printed.get(line.number, [])]
    return "\n".join(found) + "\n"


def main() -> int:
    """An exit code."""
    asked = _asked()
    start("tests.sim.scenario", asked.verbose)
    from . import commands, rules  # noqa: F401, PLC0415 - all that touches Skerry comes after the stand-ins
    from .player import COMMANDS, play  # noqa: PLC0415

    if asked.commands:
        print(*sorted(one.usage for one in COMMANDS.values()), sep="\n")
        return 0
    for rule in asked.without:
        rules.take_away(rule)
    differs = False
    for file in asked.files:
        text = file.read_text(encoding="utf-8")
        try:
            lines = parse(text, file.name)
            printed, history = play(lines, file.name)
        except Fault as error:
            print(error)
            return 1
        if asked.history:
            print(*history, sep="\n")
        differs |= _show(file, text, rendered(lines, printed), asked.update)
    return 1 if differs else 0


def _show(file: Path, before: str, after: str, update: bool) -> bool:
    if before == after:
        return False
    if update:
        file.write_text(after, encoding="utf-8")
    diff = difflib.unified_diff(before.splitlines(), after.splitlines(), file.name, "played", lineterm="")
    print(*diff, sep="\n")
    return not update


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.scenario")
    parser.add_argument("files", type=Path, nargs="*")
    for flag in ("--update", "--history", "--verbose", "--commands"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--without", metavar="RULE", action="append", default=[])
    return parser.parse_args()


if __name__ == "__main__":
    # Not this copy of the module: whoever imports it by its name raises another Fault.
    from tests.sim import scenario  # noqa: PLW0406 - on purpose, as said

    sys.exit(scenario.main())
