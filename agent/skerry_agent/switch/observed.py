"""What of Skerry's own is on disk and in systemd, as a plan is made by. Plain frozen data, pure.

All of it is looked at briefly; `Closer` says of what a plan has to know more, so that a change of one instance costs
the same beside many others as beside none.
"""

from __future__ import annotations

from msgspec import Struct, field

from skerry_protocol.ids import InstanceId

from .target import Running, State, Target


class Observed(Struct, frozen=True):
    """What is on disk and in systemd, of Skerry's own.

    `files`: unit file → text. `links`: (target, unit) of each wants link. `active` includes units that are starting,
    stopping or waiting to restart. Of what Closer names alone: `trees` and `current`, content folders and where each
    instance's link leads; `stale`, loaded in an older form than the file (NeedDaemonReload); `stop_ms`, effective stop
    timeouts.
    """

    files: dict[str, str] = field(default_factory=dict)
    links: frozenset[tuple[str, str]] = frozenset()
    trees: frozenset[tuple[InstanceId, str]] = frozenset()
    current: dict[InstanceId, str] = field(default_factory=dict)
    active: frozenset[str] = frozenset()
    loaded: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()
    stop_ms: dict[str, int] = field(default_factory=dict)


class Closer(Struct, frozen=True):
    """What is looked at more closely.

    The content of `instances`; how systemd has loaded `units`; and how it would stop `fenced`, whether or not they are
    loaded: a drop-in must be seen before their lease opens.
    """

    instances: tuple[Running, ...] = ()
    units: frozenset[str] = frozenset()
    fenced: frozenset[str] = frozenset()


def for_switch(applied: State, target: Target) -> Closer:
    """What changes or goes, and everything fenced."""
    changing = tuple(
        one
        for name, one in target.instances.items()
        if name in applied.pending or applied.instances.get(name) != one
    )
    names = {one.instance.id for one in changing} | (applied.names() - set(target.instances))
    former = [one for name in names for one in applied.of(name)]
    units = frozenset(unit for one in (*changing, *former) for unit in one.rendered.units)
    every = [*target.instances.values(), *(one for name in applied.names() for one in applied.of(name))]
    return Closer(changing, units, frozenset(one.rendered.service for one in every if one.rendered.lease))
