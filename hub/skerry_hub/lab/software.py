"""Where the software under test is: what runs this very process. Nodes see the same files at the same paths."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

_CHECKOUT = Path(__file__).parents[3]


def bindir() -> Path:
    """Where the console scripts are; a link to the interpreter is not followed, it is the environment that counts."""
    return Path(sys.executable).parent


def hub_argv() -> tuple[str, ...]:
    return (str(bindir() / "skerry-hub"), "run", "--data", "{data}", "--listen", "{listen}")


def units() -> Path | None:
    """The checkout's unit files; an installed Skerry has put its own where systemd looks, and nodes see them there."""
    folder = _CHECKOUT / "packaging/units"
    return folder if folder.is_dir() else None


def visible(more: Iterable[Path] = ()) -> tuple[Path, ...]:
    """The checkout, the virtual environment and its interpreter, unless they are a part of the system."""
    checkout = [_CHECKOUT] if (_CHECKOUT / "pyproject.toml").exists() else []
    found = [Path(sys.prefix), Path(sys.base_prefix), *checkout, *more]
    return outermost(path for path in found if not path.is_relative_to("/usr"))


def outermost(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Without those that lie in another one."""
    kept: list[Path] = []
    for path in sorted(set(paths)):
        if not any(path.is_relative_to(other) for other in kept):
            kept.append(path)
    return tuple(kept)
