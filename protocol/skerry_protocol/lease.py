"""The lease sum (docs/availability.md), shared by the hub (which refuses apps) and the node (which counts).

With stop timeout S and margin M = 3 s + 1 % of lost_after, a lease lasts L = lost_after - S - M. The node counts L from
when it sent the beat, the hub lost_after from when it answered: the node has stopped before the next copy starts.
"""

from __future__ import annotations

from msgspec import Struct

MINIMUM_MS = 10_000


class Lease(Struct, frozen=True, omit_defaults=True):
    """The three lengths of one fenced app, in milliseconds."""

    length_ms: int
    stop_ms: int
    lost_after_ms: int


def margin_ms(lost_after_ms: int) -> int:
    """What is left for timers, signals and drifting clocks: 3 s and one percent, rounded up."""
    return 3_000 + -(-lost_after_ms // 100)


def lease_for(lost_after_ms: int, stop_ms: int) -> Lease | None:
    """The lease of an app with these times; None where less than ten seconds would be left."""
    length = lost_after_ms - stop_ms - margin_ms(lost_after_ms)
    return Lease(length, stop_ms, lost_after_ms) if length >= MINIMUM_MS else None


def least_lost_after_ms(stop_ms: int) -> int:
    """The shortest lost_after that leaves a lease for this stop timeout (for the error message)."""
    guess = (stop_ms + 3_000 + MINIMUM_MS) * 100 // 99
    while lease_for(guess, stop_ms) is None:
        guess += 1
    return guess
