"""Where a hub is sought: which of its endpoints is looked up and tried, and when the next one.

While it answers, WireGuard follows it by itself. Once its last handshake is old, the endpoint is looked up again, and
each of the others by turns, because a name may lead somewhere else by now. Pure: the moment is an argument
(milliseconds that never go back). A handshake is only compared with the one seen before: clocks may be set.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

TRY_MS = 15_000
"""For so long one endpoint is tried: three handshakes (WireGuard's REKEY_TIMEOUT); twice as long after each round."""
STALE_MS = 180_000
"""A tunnel that is kept open has a handshake every two minutes (REKEY_AFTER_TIME); after three it is dead."""
METERED_STALE_MS = 20 * 60_000
"""One that is not has a handshake with each beat, a quarter of an hour apart."""


@dataclass(frozen=True)
class Sought:
    """`since_ms`: when it was last heard, or sought. `tries`: how many endpoints were looked up since it was heard.

    `stale_ms`: for how long it may be heard nothing of.
    """

    endpoints: tuple[str, ...]
    since_ms: int
    handshake: float | None = None
    answered: bool = False
    tries: int = 0
    stale_ms: int = STALE_MS

    @property
    def due_ms(self) -> int:
        """When it is looked up next, if nothing is heard."""
        patience = min(TRY_MS << min(self.tries // len(self.endpoints), 8), STALE_MS)
        return self.since_ms + (self.stale_ms if self.answered else patience)


def looked(
    before: Sought | None,
    endpoints: tuple[str, ...],
    known: bool,
    handshake: float | None,
    now_ms: int,
    stale_ms: int = STALE_MS,
) -> tuple[Sought, str | None]:
    """What is known now, and the endpoint to look up and use. `known`: there is an address where it was last."""
    if before is None and known:
        return Sought(endpoints, now_ms, handshake), None
    if before is None or before.endpoints != endpoints:
        return Sought(endpoints, now_ms, handshake, tries=1), endpoints[0]
    if handshake is not None and handshake != before.handshake:
        return Sought(endpoints, now_ms, handshake, answered=True, stale_ms=stale_ms), None
    if now_ms < before.due_ms:
        return before, None
    following = replace(before, since_ms=now_ms, answered=False, tries=before.tries + 1)
    return following, endpoints[before.tries % len(endpoints)]
