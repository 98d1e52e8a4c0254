"""How big a packet the way to a peer takes, by which pings it answers. Pure: the moment is an argument.

A path that drops what is too big, and tells nobody, is seen by nothing else (RFC 8899 is about that). One look that
finds less is not believed, because packets are lost anyway; the next, with every size, is. Never under what IPv6
promises, nor over what the tunnel takes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from skerry_netplan.lower import MTU, MTU_LEAST

STEP = 20
SIZES = tuple(range(MTU, MTU_LEAST - 1, -STEP))
ALIVE = 64
"""Bytes of a ping that any way takes: without an answer to it the others say nothing."""
REST_MS = 3600_000
SURE_MS = 1_000
SILENT_MS, SILENT_MOST_MS = 60_000, 4 * 3600_000
"""How soon to look again: at what is known; at a way that answered less than before; at one that did not answer, and
twice as long after each time, because such a look costs most."""


@dataclass(frozen=True)
class PathMtu:
    """`mtu`: bytes of a packet inside of the tunnel; `due_ms`: when to look; `doubted`: less was answered last time.

    `silences`: how often in a row nothing was.
    """

    mtu: int = MTU
    due_ms: int = 0
    doubted: bool = False
    silences: int = 0

    @property
    def sizes(self) -> tuple[int, ...]:
        """What to send."""
        return (ALIVE, *SIZES) if self.doubted else tuple(dict.fromkeys((ALIVE, self.mtu, MTU)))


def looked(path: PathMtu, answered: Collection[int], now_ms: int) -> PathMtu:
    """What is known after `answered` of `path.sizes` were."""
    if not answered:
        rest_ms = min(SILENT_MS << min(path.silences, 10), SILENT_MOST_MS)
        return PathMtu(path.mtu, now_ms + rest_ms, silences=path.silences + 1)
    most = max(MTU_LEAST, *answered)
    if most < path.mtu and not path.doubted:
        return PathMtu(path.mtu, now_ms + SURE_MS, doubted=True)
    return PathMtu(most, now_ms + REST_MS)
