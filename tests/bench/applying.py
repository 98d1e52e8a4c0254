"""`skerry apply` of a one-line change → the new process runs, beside `systemctl restart` of the same unit.

Both are counted from when a person's command starts to the moment that systemd forked the new process: one kernel, so
one clock. What other units cost is the slope over their number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from msgspec import Struct

from tests.lab.system.world import World

from .figures import Effort
from .measures import Goal, Of, Row, median, percentile
from .meshes import all_up, meshed, sleepers

UNIT = "skerry-changing-1.service"
TOOK_S = 20.0


class Times(Struct, frozen=True):
    """Milliseconds: until the new process, until the command had done its part, and systemctl's."""

    ours: list[float]
    command: list[float]
    systemctl: list[float]


def measure(effort: Effort) -> Iterator[Row]:
    first: float | None = None
    with meshed("apply") as world:
        for others in (0, 50, 200) if effort.quick else (0, 50, 200, 500):
            if others:
                world.begin(sleepers(others, "other"))
                all_up(world, "n1", others + 1, seconds=300)
                world.settled("other", seconds=300)
            times = _times(world, effort.count(30, 8))
            yield from _rows(times, others)
            first = first or median(times.ours)
            if others:
                yield Row(
                    f"apply with {others} beside",
                    median(times.ours),
                    "ms",
                    first,
                    "apply with none",
                    Goal(2, Of.RATIO),
                )


def _rows(times: Times, others: int) -> Iterator[Row]:
    beside = f"systemctl restart, {others} others"
    note = f"of which the command itself {median(times.command):.0f} ms; {len(times.ours)} times"
    ours, theirs = median(times.ours), median(times.systemctl)
    yield Row(f"apply, {others} others: median", ours, "ms", theirs, beside, Goal(3, Of.RATIO), note)
    yield Row(
        f"apply, {others} others: p99",
        percentile(times.ours, 99),
        "ms",
        percentile(times.systemctl, 99),
        beside,
    )


def _app(value: int) -> str:
    return sleepers(1, "changing") + f'[app.changing.env]\nVALUE = "{value}"\n'


def _times(world: World, repeats: int) -> Times:
    """Ours and systemctl's by turns, so that both meet the same machine."""
    world.apply(_app(0))
    times = Times([], [], [])
    for turn in range(1, repeats + 1):
        file = world.file(_app(turn))
        whole, command = _until_forked(world, lambda file=file: world.skerry("apply", file, "--no-wait"))  # type: ignore[misc]
        times.ours.append(whole)
        times.command.append(command)
        world.settled("changing")
        whole, _ = _until_forked(world, lambda: world.systemctl("n1", "restart", UNIT))
        times.systemctl.append(whole)
        world.settled("changing")
    return times


def _until_forked(world: World, act: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds from the act's begin to the new process, and to the act's own end."""
    before = _forked_at(world)
    began = time.monotonic()
    act()
    ended = time.monotonic()
    forked = world.until(
        "a new process", lambda: now if (now := _forked_at(world)) > before else None, TOOK_S
    )
    return (forked - began) * 1000, (ended - began) * 1000


def _forked_at(world: World) -> float:
    return int(world.shown("n1", UNIT, "ExecMainStartTimestampMonotonic") or 0) / 1e6
