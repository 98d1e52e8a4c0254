"""How the agent tells skerry-fence until when leases last: a small file for each length, and a pipe to wake it.

A record is named by its length and holds the deadline (CLOCK_BOOTTIME), both in milliseconds. It lies under /run: it
belongs to one boot. It is written before systemd hears of the grant, so that the fence is never stricter than systemd.
"""

from __future__ import annotations

import os

from .verdict import number

FOLDER = "/run/skerry/fence"
WAKE = "wake"
MOST_BYTES = 64


def text(deadline_ms: int) -> bytes:
    """The content of a record."""
    return f"{deadline_ms}\n".encode()


def read(folder: str) -> dict[int, int]:
    """Length → deadline of every record that can be read; the others are left out. Never raises."""
    found: dict[int, int] = {}
    for name in listed(folder):
        length_ms = number(name)
        deadline_ms = None if length_ms is None else _deadline(f"{folder}/{name}")
        if length_ms is not None and deadline_ms is not None:
            found[length_ms] = deadline_ms
    return found


def _deadline(path: str) -> int | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib is not worth its memory here
            content = file.read(MOST_BYTES + 1)
        return number(content.removesuffix(b"\n").decode("ascii"))
    except (OSError, ValueError):
        return None


def listed(folder: str) -> list[str]:
    """The names in a folder; none where it cannot be read."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - as above
    except OSError:
        return []


def wake(folder: str) -> bool:
    """Let the fence look again. Whether there is one."""
    try:
        pipe = os.open(f"{folder}/{WAKE}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # ENXIO: nobody reads it; ENOENT: nobody ever did
        return False
    try:
        os.write(pipe, b"!")
    except BlockingIOError:
        return False  # it has not read for 65,536 grants
    except OSError:
        return False
    finally:
        os.close(pipe)
    return True
