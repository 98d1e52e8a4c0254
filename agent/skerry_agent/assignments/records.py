"""The records that a node keeps beside its assignments, each by a name in its state folder."""

from __future__ import annotations

from msgspec import Struct, field

from skerry_protocol.ids import InstanceId
from skerry_protocol.messages import AppRevision, Override
from skerry_protocol.signing import Delegation

OVERRIDES_RECORD = "overrides"
REVISIONS_RECORD = "revisions"
SEEN_RECORD = "delegation"


def damaged(record: str) -> str:
    """The condition that says so of a record."""
    return f"damaged-{record}"


class Words(Struct, frozen=True, omit_defaults=True):
    """The record of this node's overrides."""

    overrides: tuple[Override, ...] = ()


class Revisions(Struct, frozen=True, omit_defaults=True):
    """The record of what each instance can go back to here: what runs, first, and at most one other revision.

    `healthy`: the revision on which each was healthy last, where it is one of those.
    """

    kept: dict[InstanceId, tuple[AppRevision, ...]] = field(default_factory=dict)
    healthy: dict[InstanceId, int] = field(default_factory=dict)


class Seen(Struct, frozen=True, omit_defaults=True):
    """The record of the newest delegation seen."""

    delegation: Delegation | None = None
