"""How the lab's commands speak: tables and one line per thing done for people, JSON for programs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import click
import msgspec

from . import Host, Lab, Status


@dataclass(frozen=True)
class Choice:
    """Which lab, and how to speak."""

    lab: Lab
    as_json: bool

    def show(self, status: Status) -> None:
        click.echo(msgspec.json.encode(status).decode() if self.as_json else table(status))

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """One line when it is done, for people."""
        began = time.monotonic()
        yield
        if not self.as_json:
            click.echo(f"{what} ({time.monotonic() - began:.2f} s)")


def table(status: Status) -> str:
    """Columns for people."""
    rows = [("NAME", "STATE", "ADDRESS", "NAT", "OUTSIDE", "LINK", "STARTS")]
    rows += [
        (
            host.name,
            host.state,
            host.address,
            host.nat or "-",
            host.outside or host.address,
            link(host),
            str(host.boots),
        )
        for host in (status.hub, *status.nodes)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def link(host: Host) -> str:
    cut = {None: (), "both": ("cut",), "up": ("cut (up)",), "down": ("cut (down)",)}[host.cut]
    mtu = (f"mtu {host.mtu}{' (silent)' if host.silent else ''}",) if host.mtu else ()
    return ", ".join((*cut, *mtu)) or "ok"


def command(argv: Sequence[str]) -> list[str]:
    """Without the -- that may stand before it."""
    words = list(argv[1:] if argv[0] == "--" else argv)
    if not words:
        raise click.UsageError("say what to run: -- CMD...")
    return words


def become(argv: list[str]) -> None:
    sys.stdout.flush()
    os.execvp(argv[0], argv)  # noqa: S606 - argv is a list; no shell reads it
