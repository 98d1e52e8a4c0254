"""What this machine is, as a hub is told of it."""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path

from msgspec import Struct

from skerry_protocol.ids import machine_mark

MACHINE_ID = Path("/etc/machine-id")


class Machine(Struct, frozen=True):
    """What the machine says of itself."""

    hostname: str
    arch: str
    memory_bytes: int
    cpu_milli: int
    mark: str = ""


def this_machine() -> Machine:
    """What this machine is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        mark = machine_mark(MACHINE_ID.read_text())
    except (OSError, UnicodeDecodeError):
        mark = ""
    return Machine(socket.gethostname(), platform.machine(), memory, (os.cpu_count() or 1) * 1000, mark)
