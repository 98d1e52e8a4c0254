"""What goes over the lab's control socket: one JSON line asks, one JSON line answers, then the connection ends."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .layout import Direction

Verb = Literal[
    "status", "add", "boot", "reboot", "poweroff", "cut", "heal", "pause", "resume", "wait",
    "hub-start", "hub-stop", "hub-kill", "hub-wipe",
]  # fmt: skip


class Request(Struct, frozen=True, omit_defaults=True):
    do: Verb
    hosts: tuple[str, ...] = ()
    direction: Direction = "both"
    clean: bool = False
    """Of a poweroff: by systemd's own way instead of a power cut."""
    boots: int = 0
    """Of a wait: the least number of boots."""
    copy_of: str | None = None
    """Of an add: the disk to copy."""
    seconds: float = 60.0


class Host(Struct, frozen=True):
    """A machine as it is now."""

    name: str
    state: str
    address: str
    cut: Direction | None = None
    boots: int = 0


class Status(Struct, frozen=True):
    nodes: tuple[Host, ...]
    hub: Host


class Reply(Struct, frozen=True, omit_defaults=True):
    error: str | None = None
    status: Status | None = None
