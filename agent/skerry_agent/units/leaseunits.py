"""The text of the units that hold and end leases: systemd enforces them, whether or not the agent lives. Pure.

Owns the lease target of a length, the target that ends it, and the timer of one grant. A lease is live while its target
is; the end target conflicts with it, so ending a lease runs no program. A grant is one timer with a new name, and
starting that timer is the only call there is: the timer that opens a lease wants the lease target itself, in the same
transaction. Must never need two calls: an agent stopped between "arm the end" and "open" would open without an end.
"""

from __future__ import annotations

import re

from .unitfile import text

ACCURACY = "10ms"  # the default, one minute, would let copies overlap
# So much later the lease is ended again. Whoever starts a fenced unit by hand while its lease ends takes the place of
# the lease's stop, and without another it would have no end. Further and further apart: what stops slowly is down then.
AGAIN_MS = tuple(500 << power for power in range(10))
PREFIX = "skerry-lease-"
TARGET = re.compile(r"skerry-lease-([0-9]+)(?:-end)?\.target")


def target_name(length_ms: int) -> str:
    """The target that is active while claims of this length may live here."""
    return f"{PREFIX}{length_ms}.target"


def length_of(unit: str) -> int | None:
    """The length (ms) whose target or end target this is; None for any other unit."""
    match = TARGET.fullmatch(unit)
    return int(match[1]) if match else None


def end_name(length_ms: int) -> str:
    """The target whose start ends the lease."""
    return f"{PREFIX}{length_ms}-end.target"


def timer_name(length_ms: int, deadline_ms: int, opens: bool) -> str:
    """The timer of one grant. The deadline is in the name, so that no two grants share a file.

    The last part is no plain number, so that it can't be the timer of an app called `lease-<length>`.
    """
    return f"{timer_prefix(length_ms)}{'open' if opens else 'keep'}{deadline_ms}.timer"


def timer_prefix(length_ms: int) -> str:
    """How the names of this length's grant timers begin; other units' may, too."""
    return f"{PREFIX}{length_ms}-"


def timer_pattern(length_ms: int) -> str:
    """A glob for the grant timers of this length, and nothing else."""
    return f"{timer_prefix(length_ms)}[ok][pe]e[np]*.timer"


def shared(length_ms: int) -> dict[str, str]:
    """File name → text of the two targets of a length; they lie beside the instances' units."""
    lease, end = target_name(length_ms), end_name(length_ms)
    seconds = f"{length_ms / 1000:g} s"
    return {
        lease: text(
            (
                (
                    "Unit",
                    (
                        ("Description", f"Skerry: lease of {seconds}"),
                        # A lease that is opened by hand would have no end. The timer of a grant pulls it in.
                        ("RefuseManualStart", "yes"),
                        # Fenced copies are down before the machine sleeps: no timer counts the time of sleep.
                        ("Conflicts", "sleep.target"),
                        ("Before", "sleep.target"),
                        # At a shutdown fenced copies are down before the agent goes, so that it can say so. It opens
                        # leases only after it has told systemd that it is ready: this never waits at a start.
                        # And the fence stays until they are down.
                        ("After", "skerry-agent.service skerry-fence.service"),
                    ),
                ),
            )
        ),
        end: text(
            (
                (
                    "Unit",
                    (
                        ("Description", f"Skerry: end of the lease of {seconds}"),
                        ("Conflicts", lease),
                        ("After", lease),
                        # Down again at once, so that the timer can start it again (see AGAIN_MS).
                        ("StopWhenUnneeded", "yes"),
                    ),
                ),
            )
        ),
    }


def grant(length_ms: int, after_startup_ms: int, opens: bool) -> str:
    """The timer file of one grant, for /run/systemd/system.

    `after_startup_ms` is the deadline by CLOCK_MONOTONIC less the manager's UserspaceTimestampMonotonic; a moment that
    is over fires at once. With `opens` the timer pulls in the lease target, ordered after itself; without, it only
    moves the end of a lease that is open, and starts nothing that ended meanwhile. It ends the lease more than once.
    """
    lease, end = target_name(length_ms), end_name(length_ms)
    opening = (("Wants", lease), ("Before", lease)) if opens else ()
    return text(
        (
            ("Unit", (("Description", f"Skerry: a grant of {length_ms / 1000:g} s"), *opening)),
            (
                "Timer",
                (
                    *(("OnStartupSec", f"{max(after_startup_ms, 1) + later}ms") for later in (0, *AGAIN_MS)),
                    ("AccuracySec", ACCURACY),
                    ("Unit", end),
                ),
            ),
        )
    )


def after_startup_ms(deadline_ms: int, boottime_ms: int, monotonic_ms: int, startup_ms: int) -> int:
    """The deadline (CLOCK_BOOTTIME) for `grant`: `boottime_ms` and `monotonic_ms` are read now, together.

    `startup_ms` is the manager's UserspaceTimestampMonotonic. Fenced units are down before sleep, so the two clocks run
    alike until the deadline.
    """
    return deadline_ms - boottime_ms + monotonic_ms - startup_ms
