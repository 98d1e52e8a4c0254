"""Which revisions an instance can go back to on this node, without a download. Pure.

Owns the choice of what is kept: what runs, and one other. That is the revision that was healthy last; where none ever
was, whichever ran before, for an admin's word alone: the node by itself goes back only to what it saw healthy.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from skerry_protocol.ids import InstanceId
from skerry_protocol.messages import AppRevision

from ..assignments.records import Revisions
from .target import Running


def switched(known: Revisions, running: Mapping[InstanceId, Running]) -> Revisions:
    """What is to be kept once `running` is what runs."""
    kept = {}
    for name, one in running.items():
        others = [entry for entry in known.kept.get(name, ()) if entry.revision != one.entry.revision]
        best = sorted(others, key=lambda entry: entry.revision != known.healthy.get(name))
        kept[name] = (one.entry, *best[:1])
    healthy = {name: number for name, number in known.healthy.items() if _has(kept.get(name, ()), number)}
    return Revisions(kept, healthy)


def healthy(known: Revisions, instance: InstanceId, revision: int) -> Revisions:
    """The instance was healthy on the revision that it runs."""
    return structs.replace(known, healthy={**known.healthy, instance: revision})


def way_back(known: Revisions, instance: InstanceId, revision: int) -> int | None:
    """The revision to put back where `revision` turns out bad: the last healthy one. None: there is no other."""
    last = known.healthy.get(instance)
    return last if last != revision and _has(known.kept.get(instance, ()), last) else None


def _has(entries: tuple[AppRevision, ...], revision: int | None) -> bool:
    return any(entry.revision == revision for entry in entries)
