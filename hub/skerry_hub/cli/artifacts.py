"""Archives that an app file names: found, measured, and pushed to the hub where it has not got them yet.

Each file is read twice, by streaming: once for its sha256 and to see whether a node would unpack it, once to send it.
The hub computes the digest again, so that a file that changes between the two is refused there.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import click

from skerry_protocol.app import App, Artifact
from skerry_protocol.ids import AppName

from ..appfile import Fault
from ..artifacts.artifacts import BadArtifact, describe
from .client import Client, Readable, api
from .errors import EXIT_REFUSED, CliError
from .show import count


@dataclass(frozen=True)
class Found:
    """An archive on this machine."""

    path: Path
    artifact: Artifact


def find(
    folder: Path, named: Mapping[AppName, Mapping[str, str]], text: str
) -> dict[str, dict[str, Found]] | list[Fault]:
    """The archives that the file's apps name (by app, by architecture), or every fault with its line in `text`."""
    faults: list[Fault] = []
    found: dict[str, dict[str, Found]] = {}
    seen: dict[Path, Found | str] = {}
    for app, by_arch in named.items():
        for arch, name in by_arch.items():
            path = folder / name
            one = seen.setdefault(path, measure(path))
            if isinstance(one, str):
                faults.append(
                    Fault(
                        line_of(text, app, name),
                        f"app.{app}.artifact",
                        f'"{name}": {one}',
                        "a tar archive of safe members",
                    )
                )
            else:
                found.setdefault(app, {})[arch] = one
    return faults or found


def line_of(text: str, app: str, name: str) -> int | None:
    """The line on which `name` stands, in the part of the file that is about `app` where that can be told."""
    lines = text.splitlines()
    start = next((at for at, line in enumerate(lines) if line.strip() == f"[app.{app}]"), 0)
    order = [*range(start, len(lines)), *range(start)]
    return next((at + 1 for at in order if name in lines[at]), None)


def measure(path: Path) -> Found | str:
    """The archive at `path`, or the reason why it cannot be one."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "it is not a file"
        return Found(path, describe(path))
    except BadArtifact as bad:
        return f"no node would unpack it: {str(bad).removeprefix(f'{path}: ')}"
    except OSError as error:
        return error.strerror or str(error)


def push(hub: Client, wanted: list[Found], quiet: bool) -> int:
    """Sends what the hub has not got yet, each once; how many were sent. Raises CliError."""
    by_digest = {one.artifact.sha256: one for one in wanted}
    missing = [one for digest, one in by_digest.items() if not hub.has(api("artifacts", digest))]
    for one in missing:
        with one.path.open("rb") as opened:
            hub.upload(api("artifacts", one.artifact.sha256), _shown(opened, one, quiet), one.artifact.size)
    return len(missing)


def check_others(hub: Client, apps: Iterable[App], pushed: Iterable[Found], doing: str) -> None:
    """Raises CliError where an archive that is named by its digest, and so not pushed, is not at the hub either."""
    here = {one.artifact.sha256 for one in pushed}
    named = {
        (app.name, arch): one.sha256
        for app in apps
        for arch, one in app.artifacts.items()
        if one.sha256 not in here
    }
    there = {digest for digest in set(named.values()) if hub.has(api("artifacts", digest))}
    missing = [
        f"  app.{app}.artifact.{arch}: {digest[:12]}"
        for (app, arch), digest in named.items()
        if digest not in there
    ]
    if missing:
        raise CliError(
            "\n".join(
                [f"cannot {doing}: the hub has not got an archive that is named by its sha256", *missing]
            ),
            "name it by its path, so that it is pushed",
            EXIT_REFUSED,
        )


class Watched:
    """A file whose reading moves a bar."""

    def __init__(self, source: IO[bytes], size: int, label: str) -> None:
        self._source = source
        self._size = size
        self._label = label
        self._sent = 0

    def read(self, amount: int = -1) -> bytes:
        """As the file's own read."""
        chunk = self._source.read(amount)
        self._sent += len(chunk)
        percent = 100 if not self._size else self._sent * 100 // self._size
        end = "\n" if not chunk else ""
        click.echo(f"\r{self._label} {percent} %{end}", nl=False, err=True)
        return chunk


def _shown(opened: IO[bytes], one: Found, quiet: bool) -> Readable:
    label = f"pushing {one.path.name} ({count(one.artifact.size, 'byte')})"
    if quiet or not sys.stderr.isatty():
        if not quiet:
            click.echo(label, err=True)
        return opened
    return Watched(opened, one.artifact.size, label)


def folder_of(file: str) -> Path:
    """Where relative paths of an app file begin: its own folder; for standard input, this one."""
    return Path(os.curdir) if file == "-" else Path(file).parent
