"""What befalls the hub's disk and its message store while nodes run: people are told, nothing that runs ends, and what
was missed meanwhile is made good without anybody's help.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab.steps import process_of, traced
from tests.lab.system.test_without_hub import lose_store, steady
from tests.lab.system.world import World

NODES = 2
DATABASE = ("pwrite64", "fdatasync")
MOVES = """
[app.moves]
run = ["sleep", "inf"]
availability = "ha"
[app.moves.ha]
lost_after = "4s"
"""


def loud(world: World) -> str:
    """What `skerry hub status` is loud about."""
    found: list[str] = json.loads(world.skerry("hub", "status", "--json"))["loud"]
    return "\n".join(found)


def test_a_node_that_is_lost_while_the_hubs_disk_fails_is_replaced_once_it_does_not(world: World) -> None:
    world.apply(MOVES)
    (copy,) = world.copies("moves")
    others = [node for node in world.nodes if node != copy.node]
    hub = process_of(world.lab, "skerry-hub")
    with traced(hub, world.folder / "failed", DATABASE, *(f"{call}:error=EIO" for call in DATABASE)):
        world.lab.cut(copy.node)
        world.until("the loss cannot be kept", lambda: "NOTHING IS DECIDED" in loud(world))
        assert any("silent" in one for one in world.hub_node(copy.node).conditions)
        assert not world.copies("moves", others)
    world.comes_up("moves", others)
    world.until("all is well with the hub", lambda: loud(world) == "")
    assert [event.node for event in world.events() if event.code == "node-silent"] == [copy.node]


def test_a_message_store_that_is_deleted_while_everything_runs_is_made_anew(world: World) -> None:
    away = "the node that was cut off is heard again"
    world.until(away, lambda: not any(world.ails(node, "silent") for node in world.nodes), 60)
    before = steady(world, "j")
    lose_store(world)
    world.apply('[app.j-after]\nrun = ["sleep", "inf"]\navailability = "best-effort"\nper_node = true\n')
    world.settled("j-own", "j-web", "j-one", "j-after")
    world.until("nobody is told of it any more", lambda: loud(world) == "", 40)
    assert before.items() <= world.running().items()


@pytest.fixture
def small_disk(world: World) -> Path:
    """The hub and its message server on a disk of their own, of which this machine sees nothing."""
    data = world.lab.hub_data
    world.lab.hub_stop()
    away = f"/dev/shm/{world.lab.paths.name}"
    script = (
        f"cp -a {data} {away}; mount -t tmpfs -o size=96m none {data}; cp -a {away}/. {data}; rm -r {away}"
    )
    world.lab.hub_exec(["sh", "-ec", script])
    world.lab.hub_start()
    return data


def test_a_full_disk_under_hub_and_message_server_ends_nothing_and_is_made_good(
    world: World, small_disk: Path
) -> None:
    before = steady(world, "f")
    rest = small_disk / "rest"
    world.lab.hub_exec(["sh", "-c", f"cat /dev/zero > {rest} || true"])
    file = world.file(
        '[app.f-after]\nrun = ["sleep", "inf"]\navailability = "best-effort"\nper_node = true\n'
    )
    refused = world.ask("apply", file)
    assert refused.returncode != 0
    assert "nothing was changed" in refused.stderr

    def is_loud() -> bool:
        """A small write that still fits is success: so it is asked for what does not."""
        return world.ask("apply", file).returncode != 0 and "NOTHING IS DECIDED" in loud(world)

    world.until("it is loud", is_loud)
    # What nodes have to tell meanwhile has nowhere to go.
    (own,) = world.copies("f-own", ["n1"])
    world.run("n1", "kill", "-KILL", str(own.pid))
    world.until("it is up again", lambda: world.copies("f-own", ["n1"]))
    world.lab.hub_exec(["rm", str(rest)])
    world.until("all is well with the hub", lambda: loud(world) == "", 40)
    world.skerry("apply", file, "--timeout", "40s")
    world.settled("f-own", "f-web", "f-one", "f-after")
    del before["n1", own.name]
    assert before.items() <= world.running().items()
