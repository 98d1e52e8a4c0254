"""The resolv.conf(5) of instances: the node's own resolver; how names are looked for is as the machine says."""

from __future__ import annotations

import os
from pathlib import Path

from . import upstream

MODE = 0o644


def text(address: str, machines: str) -> str:
    """`address`: where the node answers. `machines`: the text of the machine's own."""
    found = {"search": " ".join(upstream.search(machines)), "options": " ".join(upstream.options(machines))}
    kept = [f"{word} {value}" for word, value in found.items() if value]
    return "\n".join(
        ["# Made by Skerry: names of the mesh, and all others.", f"nameserver {address}", *kept, ""]
    )


def write(path: Path, text: str) -> None:
    """Into the file that is there: units that run have that very file in the place of their own. Raises OSError."""
    data = text.encode()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
    try:
        if os.pread(fd, len(data) + 1, 0) != data:
            os.pwrite(fd, data, 0)
            os.ftruncate(fd, len(data))
        os.fchmod(fd, MODE)
    finally:
        os.close(fd)
