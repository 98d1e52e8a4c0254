"""Cold boot without a hub: systemd's start → the last instance active, beside the same units enabled by hand.

Two machines with the same disk, booted by turns: one is a node that joined, the other never heard of Skerry but for
copies of the same unit files, wanted by multi-user.target, and of what they read. Where an instance has a network that
skerry-net made, the copy has one of its own by systemd, without a way out.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.lab.system.world import World

from .figures import Effort
from .measures import Goal, Of, Row, median
from .meshes import all_up, meshed, sleepers

NODE, PLAIN = "n1", "plain"
UNITS = Path("etc/systemd/system")
WANTS = "multi-user.target.wants"
SPACE = re.compile(r"^NetworkNamespacePath=.*$", re.MULTILINE)


def measure(effort: Effort) -> Iterator[Row]:
    with meshed("boot", (NODE,), (PLAIN,)) as world:
        for count in (1, 50, 200):
            world.begin(sleepers(count))
            all_up(world, NODE, count, seconds=300)
            world.settled("still", seconds=300)
            world.lab.hub_stop()
            yield _beside(world, count, effort.count(9, 1 if count > 50 else 3))
            world.lab.boot(NODE, PLAIN)
            world.lab.hub_start()


def _beside(world: World, count: int, repeats: int) -> Row:
    """By turns, so that both meet the same machine. The first pair warms the disk's cache and is not counted."""
    world.lab.poweroff(NODE, PLAIN)
    by_hand(world)
    ours, plain = [], []
    for _ in range(repeats + 1):
        ours.append(_boot(world, NODE, count))
        plain.append(_boot(world, PLAIN, count))
    spans = [f"{min(found[1:]):.0f} to {max(found[1:]):.0f} ms" for found in (ours, plain)]
    note = f"median of {repeats}; from {spans[0]}, by hand {spans[1]}"
    return Row(
        f"cold boot, {count} instances", median(ours[1:]), "ms", median(plain[1:]), "enabled by hand",
        Goal(1.05, Of.RATIO), note,
    )  # fmt: skip


def by_hand(world: World, plain_network: str = "") -> None:
    """The node's unit files and what they read, onto the machine that has no Skerry. `plain_network`: an app whose
    copies have the machine's own network there."""
    node, plain = world.lab.root(NODE), world.lab.root(PLAIN)
    units, folder = plain / UNITS, node / UNITS
    shutil.rmtree(plain / "var/lib/skerry", ignore_errors=True)
    shutil.copytree(node / "var/lib/skerry", plain / "var/lib/skerry", symlinks=True)
    shutil.rmtree(plain / "var/lib/skerry/identity")
    (units / WANTS).mkdir(exist_ok=True)
    for link in (units / WANTS).glob("skerry*"):  # of Skerry's own units too: nothing starts them then
        link.unlink()
    for app in dict.fromkeys(("still", plain_network or "still")):
        network = "" if app == plain_network else "PrivateNetwork=yes"
        for unit in sorted(folder.glob(f"skerry-{app}-*.service")):
            (units / unit.name).write_text(SPACE.sub(network, unit.read_text()))
            (units / WANTS / unit.name).symlink_to(f"../{unit.name}")


def _boot(world: World, node: str, count: int) -> float:
    """Milliseconds; the other machine is off."""
    world.lab.boot(node, seconds=120)
    all_up(world, node, count)
    began = int(world.text(node, "systemctl", "show", "--property=UserspaceTimestampMonotonic", "--value"))
    last = max(unit.up_since for unit in world.units(node).values())
    world.lab.poweroff(node)
    return last * 1000 - began / 1000
