"""Bytes per day at rest with the tunnels: what a node's outside interface counts over a window, as IP.

Two nodes in one window: one that has a tunnel to its hub alone, and one whose app talks to another node's, which has a
direct tunnel to that one and shows the hub where it is. Beside them a bare WireGuard tunnel that is kept open in the
same way (a packet every 25 s from one side) and carries nothing. A beat comes every five minutes, so that a window that
is not many of those is of the tunnels more than of the day: what a beat adds to it is in the figure `wire`.

A third node is metered, and sends nothing between two beats: it is counted until its next, a quarter of an hour.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from skerry_agent.leases.grants import BEAT_METERED_MS
from skerry_netplan.lower import KEEPALIVE
from tests.lab.system.test_direct_ways import way
from tests.lab.system.test_network import SERVE, app
from tests.lab.system.world import World

from .figures import Effort
from .measures import Goal, Row
from .meshes import meshed
from .nettraffic import bare, wireguard_go
from .talking import End
from .wire import DAY_S

TALKS, HEARS, ALONE, METERED = "n1", "n2", "n3", "n4"
BEATS_S = BEAT_METERED_MS / 1000
ANSWERED_S = 10.0
OUTSIDE, ETHERNET = "eth0", 14
SETTLES_S = 30.0


def measure(effort: Effort) -> Iterator[Row]:
    seconds = effort.pick(900, 250)
    with (
        meshed("netwire", (TALKS, HEARS, ALONE, METERED)) as world,
        bare(wireguard_go, KEEPALIVE) as (one, _),
    ):
        world.text(METERED, "sh", "-c", "mkdir -p /etc/skerry; echo metered = true > /etc/skerry/policy.toml")
        served = app("db", HEARS, "ports = { http = 8080 }", run=SERVE)
        world.apply(
            served + app("web", TALKS, 'reaches = ["db"]') + app("still", ALONE) + app("costs", METERED)
        )
        world.until("the way is direct", lambda: way(world, TALKS, HEARS) and way(world, HEARS, TALKS), 60)
        time.sleep(SETTLES_S)
        since = _metered(world)
        before = _counts(world, one)
        time.sleep(seconds)
        after = _counts(world, one)
        until = _after_the_next_beat(world, since)
    alone, talks, idle = (
        (now - then) * DAY_S / seconds / 1e6 for then, now in zip(before, after, strict=True)
    )
    beside, note, goal = "a bare tunnel, kept open", f"a window of {seconds:.0f} s, scaled", Goal(1.5)
    yield Row("a day, a tunnel to the hub", alone, "MB", idle, beside, goal, note)
    yield Row("a day, with a direct tunnel too", talks, "MB", idle, beside, goal, "three peers are kept open")
    costs = (until.bytes - since.bytes) * DAY_S / BEATS_S / 1e6
    says = f"{until.bytes - since.bytes} bytes until its next beat, which comes every {BEATS_S:.0f} s"
    yield Row("a day, on a metered link", costs, "MB", idle, beside, Goal(0.4), says)


class Metered(NamedTuple):
    """Bytes of both directions until now, and when the hub heard the node last."""

    bytes: int
    heard_at_ms: int | None


def _metered(world: World) -> Metered:
    return Metered(counted(world.text(METERED, "cat", "/proc/net/dev")), world.hub_node(METERED).heard_at_ms)


def _after_the_next_beat(world: World, since: Metered) -> Metered:
    def heard_anew() -> bool:
        """The hub says how long ago it heard it, so that the moment is not the same to the millisecond."""
        now = world.hub_node(METERED).heard_at_ms
        return now is not None and now - (since.heard_at_ms or 0) > ANSWERED_S * 1000

    world.until("it beats", heard_anew, BEATS_S * 1.2)
    time.sleep(ANSWERED_S)
    return _metered(world)


def _counts(world: World, one: End) -> tuple[int, ...]:
    """Bytes of both directions."""
    alone, talks = (counted(world.text(node, "cat", "/proc/net/dev")) for node in (ALONE, TALKS))
    return alone, talks, counted(one.host.run(_here()))


async def _here() -> str:
    return _read()


def _read() -> str:
    """Of the network of the thread that asks."""
    return Path("/proc/thread-self/net/dev").read_text(encoding="ascii")


def counted(text: str) -> int:
    """Of /proc/net/dev."""
    for line in text.splitlines():
        name, _, numbers = line.strip().partition(":")
        if name == OUTSIDE:
            found = [int(word) for word in numbers.split()]
            return found[0] + found[8] - ETHERNET * (found[1] + found[9])
    raise ValueError(f"there is no {OUTSIDE}")
