"""When a machine's clock is put to the newest time that it is known to have seen, and when that is kept. Pure.

A peer of WireGuard refuses handshakes that are older than the last one (its TAI64N rule), so a machine without a clock
battery that boots in 1970 would be shut out until somebody tells it the time. Moments are seconds since 1970.
"""

from __future__ import annotations

EVERY_S = 3600.0


def put_to(saved: float | None, now: float) -> float | None:
    """What a clock that says `now` at boot is put to; None: it stays."""
    return saved if saved is not None and now < saved else None


def to_keep(saved: float | None, now: float, right: bool = False) -> float | None:
    """What is to be written; None: what is there is as new. An earlier one only where the clock is known to be `right`:
    one that ran ahead once would else be put ahead at every boot."""
    return now if saved is None or saved < now or (right and saved > now) else None
