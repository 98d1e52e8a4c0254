"""Whether a tunnel's session lives, by its last handshake, whatever the machine's clock does meanwhile. Pure.

Handshakes are told by a clock that may be set. So only the first one seen is compared with it; from then on a session
begins when the handshake is another. `now_ms` never goes back.
"""

from __future__ import annotations

LIVES_MS = 180_000
"""WireGuard's REJECT_AFTER_TIME."""


class Sessions:
    """Of all peers of a tunnel, by key."""

    def __init__(self) -> None:
        self._seen: dict[bytes, tuple[float, int]] = {}

    def lives(self, key: bytes, handshake: float | None, wall: float, now_ms: int) -> bool:
        """`handshake`: when the last one was, by the clock that says `wall` now; None: there was none."""
        if handshake is None:
            self._seen.pop(key, None)
            return False
        before = self._seen.get(key)
        if before is None:
            age_ms = max(0, round((wall - handshake) * 1000))
            self._seen[key] = before = handshake, now_ms - age_ms
        elif before[0] != handshake:
            self._seen[key] = before = handshake, now_ms
        return now_ms - before[1] < LIVES_MS

    def forget(self, others: set[bytes]) -> None:
        """Only `others` are left."""
        self._seen = {key: one for key, one in self._seen.items() if key in others}
