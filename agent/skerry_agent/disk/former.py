"""What this machine holds when it was another node before: set aside, so that the new node begins with nothing.

A machine that was forgotten joins with a new key, as a new node; what the old one accepted would be unknown to the hub
for ever. Its units run on as strangers (see switch.strangers). Owns the record of whose state this is. Order: nothing
opens a lease for the old units any more, the records move, and only then is the state the new node's: so whatever
breaks off is done again.
"""

from __future__ import annotations

from msgspec import Struct

from skerry_protocol.ids import NodeId, Region

from ..assignments.records import OVERRIDES_RECORD, REVISIONS_RECORD, SEEN_RECORD, Seen
from .disk import ACCEPTED, APPLIED, EVER, GROWING, TOLD, Kept, StateDir
from .growing import files_of
from .sealed import TWIN

OWNER = "owner"
FORMER = "former"


class Owner(Struct, frozen=True):
    """The record of whose state this is."""

    node: NodeId


def former_owner(disk: StateDir, node: NodeId) -> NodeId | None:
    """The node whose state this still is, if it is another one's than `node`'s."""
    owner = disk.saved(OWNER, Owner)
    kept = disk.accepted() if not isinstance(owner, Owner) else None
    was = owner.node if isinstance(owner, Owner) else kept.assignment.node if isinstance(kept, Kept) else node
    return None if was == node else was


def set_aside(disk: StateDir, was: NodeId, region: Region) -> None:
    """Move what `was` held to former/<was>. Raises DiskError. What is rendered and fetched stays: units need it."""
    seen = disk.saved(SEEN_RECORD, Seen)
    ours = isinstance(seen, Seen) and seen.delegation is not None and seen.delegation.region == region
    records = [ACCEPTED, OVERRIDES_RECORD, REVISIONS_RECORD, TOLD, *([] if ours else [SEEN_RECORD]), APPLIED]
    files = [files_of(name) if name in GROWING else (name, name + TWIN) for name in records]
    names = [EVER, "generations", *(file for found in files for file in found)]
    disk.move(names, f"{FORMER}/{was}")


def own(disk: StateDir, node: NodeId) -> None:
    """The state is `node`'s from now on. Raises DiskError."""
    if disk.saved(OWNER, Owner) != Owner(node):
        disk.save(OWNER, Owner(node))
