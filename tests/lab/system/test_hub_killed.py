"""kill -9 of the hub and of nats-server at the steps of a change: it is whole or not there, and asking again mends it.

Tried are the first write of a commit, and the moment where it is written and not yet on disk: of the apply itself, and
of what nodes then say; SKERRY_EVERY_STEP=1 takes every write.
"""

from __future__ import annotations

import json
import os

import pytest

from skerry_hub.cli.errors import EXIT_UNREACHABLE
from tests.lab.steps import Step, killed, process_of, traced
from tests.lab.system.world import World

NODES = 2
APPS = ("again", "left", "right", "still")
CHANGED = ("again", "left", "right")
DATABASE = ("pwrite64", "fdatasync")
COMMITS = 5
EVERY = bool(os.environ.get("SKERRY_EVERY_STEP"))


class Changes:
    """One change after the other: each updates a copy on each node, adds a copy, and removes another."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.number = 0
        self.file = ""
        self.next()
        world.skerry("apply", self.file)
        self.stay = self.staying()

    def next(self) -> None:
        """Thinks of the next one; nobody is asked for it yet."""
        self.number += 1
        left, right = (3, 2) if self.number % 2 else (2, 3)
        self.file = self.world.file(
            _app("still", "inf", "per_node = true")
            + _app("again", self._word(), "per_node = true")
            + _app("left", "inf", f"replicas = {left}")
            + _app("right", "inf", f"replicas = {right}")
        )

    def _word(self) -> str:
        return str(1_000_000 + self.number)

    def staying(self) -> dict[tuple[str, str], str]:
        """The runs of what no change touches."""
        runs = self.world.running()
        stay = ("still-1", "still-2", "left-1", "left-2", "right-1", "right-2")
        return {key: run for key, run in runs.items() if key[1] in stay}

    def revisions(self) -> dict[str, int]:
        return {name: self.world.apps()[name].revision for name in CHANGED}

    def check(self) -> None:
        """Each copy runs once, as it was asked for last, on nodes that agree; what stays was never touched."""
        world = self.world
        world.until(f"change {self.number} is applied", self._is_applied, 40)
        assert self.staying() == self.stay
        assert self._up() == self._names()
        for unit in world.copies("again"):
            command = world.run(unit.node, "cat", f"/proc/{unit.pid}/cmdline").stdout
            assert command.split("\0")[1] == self._word()

    def _is_applied(self) -> bool:
        """A hub that has just begun places a new copy only once it hears of its nodes: so that is looked at first."""
        apps = self.world.apps()
        if any(apps[name].placed < apps[name].wanted for name in APPS):
            return False
        heard = [self.world.hub_node(node) for node in self.world.nodes]
        if not all(one.accepted == one.applied == one.newest for one in heard):
            return False
        return set(self._names()) <= set(self._up())  # what is new has waited for its network till then

    def _up(self) -> list[str]:
        world = self.world
        return sorted(unit.name for node in world.nodes for unit in world.units(node).values() if unit.up)

    def _names(self) -> list[str]:
        """What is to run."""
        stay = (name for _, name in self.stay)
        return sorted(["again-1", "again-2", *stay, "left-3" if self.number % 2 else "right-3"])


def _app(name: str, word: str, more: str) -> str:
    return f'[app.{name}]\nrun = ["sleep", "{word}"]\navailability = "best-effort"\n{more}\n'


@pytest.fixture(scope="module")
def changes(mesh_of_file: World) -> Changes:
    return Changes(mesh_of_file)


def test_a_hub_that_is_killed_at_a_step_of_an_apply_did_it_or_did_not(world: World, changes: Changes) -> None:
    changes.next()
    with traced(hub_pid(world), world.folder / "steps", DATABASE) as hub:
        world.skerry("apply", changes.file)
        steps = worth_it(hub.steps())
    changes.check()
    assert len(steps) >= 6, steps
    outcomes = [killed_at(changes, step) for step in steps]
    print(f"killed at {len(steps)} steps")
    assert len(set(outcomes)) == 2, "some were done, some were not"


def worth_it(steps: list[Step]) -> list[Step]:
    """Of each commit the first write, and that it is put on disk. The later ones are reports, one like the other."""
    before = [Step("fdatasync", 0, ""), *steps]
    ends = [step for last, step in zip(before, steps, strict=False) if "fdatasync" in (last.call, step.call)]
    return steps if EVERY else ends[: 2 * COMMITS]


def killed_at(changes: Changes, step: Step) -> bool:
    """Whether the change was there when the hub was back, and not only after it was asked for again."""
    world, before = changes.world, changes.revisions()
    changes.next()
    with traced(hub_pid(world), world.folder / "kill", DATABASE, killed(step)) as hub:
        asked = world.ask("apply", changes.file, "--no-wait", timeout=20)
        assert hub.died(5.0), f"{step} was not met"
    assert asked.returncode in (0, EXIT_UNREACHABLE), asked
    world.lab.hub_start()
    after = changes.revisions()
    new = {name: revision + 1 for name, revision in before.items()}
    assert after in (before, new), f"killed at {step}: half of it is there"
    assert after == new or asked.returncode != 0, f"killed at {step}: what was answered for is not there"
    world.skerry("apply", changes.file, "--no-wait")
    assert changes.revisions() == new
    changes.check()
    return after == new


def hub_pid(world: World) -> int:
    return process_of(world.lab, "skerry-hub")


# Of a change nats-server makes some forty writes, to nodes and to its store, in threads that take turns.
@pytest.mark.parametrize("write", range(1, 20) if EVERY else (1, 2, 4, 7))
def test_a_message_server_that_is_killed_at_a_write_of_a_change_delays_it_at_most(
    world: World, changes: Changes, write: int
) -> None:
    changes.next()
    pid = process_of(world.lab, "nats-server")
    with traced(pid, world.folder / "nats", ("write",), f"write:signal=KILL:when={write}") as server:
        world.skerry("apply", changes.file, "--no-wait")
        assert server.died()
    changes.check()
    world.settled(*APPS)
    assert not any("NO NODES HEARD" in one for one in loud(world))


def loud(world: World) -> list[str]:
    """What `skerry hub status` is loud about."""
    found: list[str] = json.loads(world.skerry("hub", "status", "--json"))["loud"]
    return found
