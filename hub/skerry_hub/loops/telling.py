"""What changes, and why a copy has no place, as data and as words for people. Light: the command line loads it too."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from skerry_protocol.ids import AppName, NodeName


class Kind(StrEnum):
    """What happens to copies, mildest first."""

    NONE = "none"
    LIVE = "live"
    RESTART = "restart"
    REPLACE = "replace"
    PLACE = "place"
    REMOVE = "remove"


class Change(Struct, frozen=True):
    """One kind of thing that happens to copies of one app. `nodes`: names, sorted; for `replace` where they were."""

    app: AppName
    kind: Kind
    fields: tuple[str, ...] = ()
    nodes: tuple[NodeName, ...] = ()
    text: str = ""

    def __str__(self) -> str:
        return self.text


def turned_text(by: Mapping[str, int]) -> str:
    """ "3 label disk=ssd, 1 memory": the filters with what each turned away, most first."""
    if not by:
        return "there is no node"
    return ", ".join(
        f"{count} {why}" for why, count in sorted(by.items(), key=lambda pair: (-pair[1], pair[0]))
    )
