"""Bytes per day at rest, as the node's tunnel to its hub counts them (IP), beside a bare connection.

The bare connection is a process of the same login and TLS that does nothing with it, as nats-py has it by default:
both sides ping every two minutes. A node's day is made of the server's pings and of beats, which take the place of its
own pings. A quick run measures one ping and a few beats and computes the day; a full one measures and scales windows.
What the tunnel itself costs is in the figure `tunnels`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from skerry_netplan.state import LINK
from tests.lab.system.world import World

from .figures import Effort
from .measures import Basis, Goal, Row
from .meshes import AGENT, PYTHON, all_up, meshed, sleepers

DAY_S = 86_400
PINGS = 10
BARE_PINGS = 2 * DAY_S / 120
OUR_PINGS = DAY_S / 180
BEATS_A_DAY = DAY_S / 300
HA_BEAT_S = 20
QUICK_S = 6 * HA_BEAT_S
HA = """
[app.watched]
run = ["sleep", "inf"]
availability = "ha"
[app.watched.ha]
lost_after = "60s"
overlap = "allow"
"""
# An interface of wireguard-go; the kernel's own counts what its packets are wrapped in.
COUNT = f"""
def count():
    for line in open("/proc/net/dev"):
        if line.strip().startswith("{LINK}:"):
            n = [int(word) for word in line.split(":")[1].split()]
            return n[0] + n[8]
"""
BARE = f"""
import asyncio, json
from pathlib import Path
from skerry_agent.hublink import buslink, pinned
from skerry_agent.joining.identity import load, machine_key
{COUNT}
async def main():
    state = Path("/var/lib/skerry")
    who = load(state)
    login = buslink.Login(who.node, who.credentials, machine_key(state))
    tls = pinned.context(pinned.only(lambda: {{who.word.tls_key}}))
    at = count()
    client = await buslink.connect(who.nats, tls, login, lambda: None, print)
    await client.flush()
    await asyncio.sleep(1)
    login_cost, at = count() - at, count()
    for _ in range({PINGS}):
        await client.flush()
        await asyncio.sleep(0.2)
    print(json.dumps([login_cost, (count() - at) / {PINGS}]))
    await client.close()
asyncio.run(main())
"""


def measure(effort: Effort) -> Iterator[Row]:
    window = effort.pick(900, 0)
    with meshed("wire") as world:
        world.apply(sleepers(1))
        all_up(world, "n1", 1)
        login, ping = _parts(world)
        idle = _measured(world, window) if window else None
        world.apply(HA)
        all_up(world, "n1", 2)
        busy = _measured(world, window or QUICK_S)
    beat = busy / (DAY_S / HA_BEAT_S)
    computed = OUR_PINGS * ping + BEATS_A_DAY * beat
    basis = Basis.COMPUTED if idle is None else Basis.MEASURED
    parts = f"a ping and its answer {ping:.0f} B, a beat and its answer {beat:.0f} B, a login {login:.0f} B"
    yield from _rows("best-effort alone", computed if idle is None else idle, ping, Goal(0.4), parts, basis)
    yield from _rows("with a 60 s ha app", busy, ping, Goal(5), "a beat every 20 s", Basis.MEASURED)


def _rows(what: str, day: float, ping: float, goal: Goal, note: str, basis: Basis) -> Iterator[Row]:
    bare = BARE_PINGS * ping / 1e6
    yield Row(f"a day, {what}", day / 1e6, "MB", bare, "a bare connection", goal, note, basis, Basis.COMPUTED)


def _parts(world: World) -> tuple[float, float]:
    """Bytes of a login and of one ping. The agent is away meanwhile: a node has one connection."""
    world.systemctl("n1", "stop", AGENT)
    said = world.run("n1", PYTHON, "-c", BARE, timeout=60).stdout
    world.systemctl("n1", "start", AGENT)
    world.settled("still")
    login, ping = json.loads(said)
    return login, ping


def _measured(world: World, seconds: float) -> float:
    """Bytes of a day, from a window that begins when what a change brings is over."""
    time.sleep(10)
    before = _count(world)
    time.sleep(seconds)
    return (_count(world) - before) * DAY_S / seconds


def _count(world: World) -> int:
    return int(world.text("n1", PYTHON, "-c", f"{COUNT}print(count())"))
