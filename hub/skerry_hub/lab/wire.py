"""What goes over the lab's control socket: one JSON line asks, one JSON line answers, then the connection ends."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .addresses import NORMAL_MTU, Nat
from .layout import Direction

Verb = Literal[
    "status", "add", "boot", "reboot", "poweroff", "cut", "heal", "nat", "mtu", "move", "pause", "resume", "wait",
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
    nat: Nat = "cone"
    udp_timeout: int | None = None
    """Of a nat: how many seconds a UDP mapping lives; without, as the kernel has it."""
    mtu: int = NORMAL_MTU
    silent: bool = False
    """Of an mtu: who sends packets that are too big is not told."""
    options: tuple[str, ...] = ()
    """Of a hub-start: what that run of the hub is told beside what every run is."""
    seconds: float = 60.0


class Host(Struct, frozen=True):
    """A machine as it is now."""

    name: str
    state: str
    address: str
    cut: Direction | None = None
    boots: int = 0
    nat: Nat | None = None
    """None is no router at all: the hub."""
    outside: str | None = None
    """The address that others see."""
    udp_timeout: int | None = None
    mtu: int | None = None
    """Of the path from its router; None is the normal one."""
    silent: bool = False


class Status(Struct, frozen=True):
    nodes: tuple[Host, ...]
    hub: Host


class Reply(Struct, frozen=True, omit_defaults=True):
    error: str | None = None
    status: Status | None = None
