"""What of Skerry's own is on disk and in systemd, as a plan is made by. Plain frozen data."""

from __future__ import annotations

from msgspec import Struct, field

from skerry_protocol.ids import InstanceId


class Observed(Struct, frozen=True):
    """What is on disk and in systemd, of Skerry's own.

    `files`: unit file → text. `links`: (target, unit) of each wants link. `trees` and `current`: content folders, and
    where each instance's link leads. `active` includes units that are starting, stopping or waiting to restart.
    `stale`: loaded in an older form than the file (NeedDaemonReload). `stop_ms`: effective stop timeouts.
    """

    files: dict[str, str] = field(default_factory=dict)
    links: frozenset[tuple[str, str]] = frozenset()
    trees: frozenset[tuple[InstanceId, str]] = frozenset()
    current: dict[InstanceId, str] = field(default_factory=dict)
    active: frozenset[str] = frozenset()
    loaded: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()
    stop_ms: dict[str, int] = field(default_factory=dict)
