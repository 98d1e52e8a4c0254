"""What of the fenced copies is to be killed now, and when to look again. Pure.

A slice holds all copies whose lease has one length and whose stop timeout is one (docs/availability.md), and says both
in its name: so a record is one deadline for each length, and what a killer must know of a copy can't be out of date.
Every moment is CLOCK_BOOTTIME in milliseconds. Must never call for a kill before systemd, if it works, has done it.

Loaded by `skerry-fence`, which stays in memory: builtin types alone, no imports.
"""

from __future__ import annotations

# What systemd may take longer than S on a busy machine. Together with AGAIN_MS well within the 3 s that the hub adds.
SLACK_MS = 1_000
# How often what does not die is killed again.
AGAIN_MS = 100
# How often a lease that is over is looked at: only a systemd that was asked before, and hung since, can bring a copy.
GUARD_MS = 1_000

PREFIX = "skerry-lease_"
SUFFIX = ".slice"

Slice = tuple[int, int]
"""A lease's length and a stop timeout, in milliseconds."""

Verdict = tuple[tuple[Slice, ...], int | None, dict[int, int]]
"""The slices to be killed now; when to look again (None: not before a record changes); the deadlines to remember."""


def slice_name(length_ms: int, stop_ms: int) -> str:
    """The slice of the copies with this lease and stop timeout. One `_` and no further `-`: a child of skerry.slice."""
    return f"{PREFIX}{length_ms}_{stop_ms}{SUFFIX}"


def slice_of(name: str) -> Slice | None:
    """What a slice's name says; None for what is no lease's slice."""
    if not (name.startswith(PREFIX) and name.endswith(SUFFIX)):
        return None
    length, _, stop = name[len(PREFIX) : -len(SUFFIX)].partition("_")
    length_ms, stop_ms = number(length), number(stop)
    return None if length_ms is None or stop_ms is None else (length_ms, stop_ms)


def number(text: str) -> int | None:
    """A plain whole number of at most 15 digits; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None


def due(deadline_ms: int, stop_ms: int) -> int:
    """When nothing of a slice may be alive any more."""
    return deadline_ms + stop_ms + SLACK_MS


def judge(now_ms: int, records: dict[int, int], remembered: dict[int, int], alive: set[Slice]) -> Verdict:
    """`records`: length → deadline, as they can be read now. `alive`: the slices in which there are processes.

    `alive` must have been looked at before `records`: then a lease that was opened meanwhile has its record. One whose
    record is gone or cannot be read counts as it was last known, and if it never was, as granted now: no grant is worth
    more than its length.
    """
    deadlines = dict(records)
    for length_ms, _ in alive:
        if length_ms not in deadlines:
            deadlines[length_ms] = remembered.get(length_ms, now_ms + length_ms)
    dues = {one: due(deadlines[one[0]], one[1]) for one in alive}
    kill = tuple(sorted(one for one, at_ms in dues.items() if at_ms <= now_ms))
    looks = [at_ms if at_ms > now_ms else now_ms + AGAIN_MS for at_ms in dues.values()]
    looks += [max(deadline_ms, now_ms + GUARD_MS) for deadline_ms in deadlines.values()]
    return kill, min(looks, default=None), deadlines
