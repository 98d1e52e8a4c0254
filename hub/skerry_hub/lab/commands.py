"""One thin function per outside command, and one error for all of them. Nothing else in the lab starts a program to
ask or tell the system something; machines and the hub are started by their own modules."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from .errors import LabError


def call(argv: Sequence[str], text: str = "") -> str:
    """Runs to the end and gives its output; not meant for what may wait."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split()) or "it said nothing"
        raise LabError(f"cannot run '{' '.join(argv)}': exit code {done.returncode}, {said}")
    return done.stdout


def ip(lines: Iterable[str], netns: str | None = None) -> None:
    """`ip -batch`: one process for many lines; it stops at the first that fails."""
    inside = ["-netns", netns] if netns else []
    call(["ip", *inside, "-batch", "-"], "\n".join(lines) + "\n")


def nft(rules: str) -> None:
    """One transaction."""
    call(["nft", "-f", "-"], rules)


def enable_units(root: Path, units: Sequence[str]) -> None:
    call(["systemctl", f"--root={root}", "--quiet", "enable", *units])


def copy_tree(source: Path, target: Path) -> None:
    """With everything that the overlay keeps beside a file: owners, devices, extended attributes."""
    call(["cp", "--archive", "--preserve=xattr", str(source), str(target)])
