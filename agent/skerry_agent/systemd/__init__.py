"""systemd as a port: `port` is what the agent may ask of it, `dbus` does it, `fake` stands in for tests."""

from .port import (
    OURS,
    Change,
    JobResult,
    LoadState,
    Outcome,
    Resync,
    StopRules,
    Systemd,
    UnitChanged,
    UnitState,
)

__all__ = [
    "OURS",
    "Change",
    "JobResult",
    "LoadState",
    "Outcome",
    "Resync",
    "StopRules",
    "Systemd",
    "UnitChanged",
    "UnitState",
]
