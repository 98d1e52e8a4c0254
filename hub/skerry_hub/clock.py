"""The one place where the hub asks what time it is; everything else is told."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Wall-clock milliseconds since 1970: for people and expiry of tokens, never to compare with another machine."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """Milliseconds that never run backwards, for silence, lead and age within one run of the hub."""
    return time.monotonic_ns() // 1_000_000
