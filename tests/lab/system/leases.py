"""What a node's leases are, read from its systemd, its fence's records and its kernel: never from the agent.

A lease lives while its target is active, and a timer ends it. What must hold at every moment, with an agent or without:
a fenced copy that is up has an open lease, an open lease has an armed timer that ends it, and no timer is armed for
later than a grant can reach, nor for later than the fence knows.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from skerry_agent.fence.kernel import boottime_ms
from skerry_agent.units.leaseunits import TARGET, length_of
from tests.lab.system.world import World

RUN_UNITS = "/run/systemd/system"
RECORDS = "/run/skerry/fence"
PAUSE_MS = 1000
TIMER = re.compile(r"skerry-lease-(\d+)-(?:open|keep)(\d+)\.timer")


class Armed(NamedTuple):
    """A timer that systemd has armed: what its name says, and when systemd fires it (CLOCK_BOOTTIME, ms)."""

    length_ms: int
    named_ms: int
    fires_ms: int


class Leases(NamedTuple):
    """`copies`: each fenced copy that is up, and its lease's length."""

    copies: dict[str, int]
    open: set[int]
    timers: list[Armed]
    records: dict[int, int]

    def check(self) -> None:
        """What must hold at every moment."""
        for name, length_ms in self.copies.items():
            assert length_ms in self.open, f"{name} is up and has no lease: {self}"
        for length_ms in self.open:
            ends = [one.fires_ms for one in self.timers if one.length_ms == length_ms]
            assert ends, f"a lease of {length_ms} ms is open without an end: {self}"
            assert min(ends) <= boottime_ms() + length_ms, f"no grant reaches that far: {self}"
            assert min(ends) <= self.records.get(length_ms, 0) + 1, (
                f"the fence would kill what systemd lets live: {self}"
            )
        for one in self.timers:
            # An agent that had to pause between its looks at two clocks arms it sooner by that, see `Leases.arm`.
            assert -PAUSE_MS <= one.fires_ms - one.named_ms <= 2, f"not the deadline of its grant: {self}"

    def end_ms(self, length_ms: int) -> int:
        """When systemd ends it, CLOCK_BOOTTIME."""
        return min(one.fires_ms for one in self.timers if one.length_ms == length_ms)


# systemctl finds the units of a pattern first and asks for each after that: a grant that takes the place of another
# meanwhile is missed, and the other shown as stopped. No two have one name: a look counts when none has changed.
LOOK = f"""
timers() {{ systemctl list-units --no-legend --plain --state=active 'skerry-lease-*.timer' | cut -d' ' -f1; }}
for look in 1 2 3 4 5 6 7 8; do
    before=$(timers)
    shown=$(systemctl show -p Id,ActiveState,Requisite,NextElapseUSecMonotonic \\
        'skerry-*.service' 'skerry-lease-*.target' 'skerry-lease-*.timer'
        echo; cd {RECORDS} 2>/dev/null && grep -H . [0-9]*)
    if [ "$before" = "$(timers)" ]; then echo "$shown"; exit; fi
done
echo "the grants change faster than one can look" >&2; exit 1
"""


def leases(world: World, node: str) -> Leases:
    """One look, in which no grant took another's place."""
    shown = world.text(node, "sh", "-c", LOOK)
    blocks, _, records = shown.rpartition("\n\n") if ":" in shown.rpartition("\n\n")[2] else (shown, "", "")
    units = [dict(line.partition("=")[::2] for line in part.splitlines()) for part in blocks.split("\n\n")]
    up = [unit for unit in units if unit.get("ActiveState") == "active"]
    return Leases(
        {unit["Id"]: length for unit in up if (length := _fenced(unit)) is not None},
        {length for unit in up if TARGET.fullmatch(unit["Id"]) and (length := length_of(unit["Id"])) is not None
         and not unit["Id"].endswith("-end.target")},
        [_armed(unit) for unit in up if TIMER.fullmatch(unit["Id"])],
        {int(length): int(at) for length, _, at in (line.partition(":") for line in records.split())},
    )  # fmt: skip


def _fenced(unit: dict[str, str]) -> int | None:
    words = unit.get("Requisite", "").split()
    return next((length for word in words if (length := length_of(word)) is not None), None)


def _armed(unit: dict[str, str]) -> Armed:
    match = TIMER.fullmatch(unit["Id"])
    assert match is not None
    return Armed(int(match[1]), int(match[2]), _ms(unit["NextElapseUSecMonotonic"]))


UNITS_MS = {"y": 31_557_600_000, "month": 2_629_800_000, "w": 604_800_000, "d": 86_400_000, "h": 3_600_000,
            "min": 60_000, "s": 1000, "ms": 1, "us": 0.001}  # fmt: skip


def _ms(text: str) -> int:
    """systemd's span. The nodes of a lab have a kernel that never slept: CLOCK_MONOTONIC is CLOCK_BOOTTIME."""
    words = re.findall(r"([0-9.]+)(y|month|w|d|h|min|ms|us|s)\b", text)
    return round(sum(float(number) * UNITS_MS[unit] for number, unit in words))


def left_lying(world: World, node: str) -> set[str]:
    """Timers that nothing has started, what was half written, and records of what is not there."""
    look = leases(world, node)
    text = world.text(node, "sh", "-c", f"ls -A {RUN_UNITS} {RECORDS} /run/skerry")
    names = set(text.split())
    timers = {name for name in names if TIMER.fullmatch(name)}
    armed = {str(one.named_ms) for one in look.timers}
    lying = {name for name in timers if not any(name.endswith(f"{at}.timer") for at in armed)}
    return (
        lying
        | {name for name in names if name.startswith(".tmp-")}
        | {str(length) for length in set(look.records) - set(look.copies.values())}
    )
