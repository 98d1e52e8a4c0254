"""Promise 4: a hub that was put back from a backup moves nothing until an operator says whose word counts."""

import json

from skerry_hub.lab import mesh
from tests.lab.system.world import World

NODES = 2


def app(script: str) -> str:
    return f"""
[app.work]
run = ["/bin/sh", "-c", "{script}; exec sleep inf"]
availability = "best-effort"
per_node = true
[app.guard]
run = ["sleep", "inf"]
availability = "ha"
stop_timeout = "1s"
[app.guard.ha]
lost_after = "30s"
overlap = "forbid"
"""


def put_back(world: World, backup: str) -> dict[tuple[str, str], str]:
    """The backup in the place of what the hub knew; what ran then, and after the nodes were heard again."""
    before = world.running()
    world.lab.hub_stop()
    mesh.restore(world.lab, world.folder / backup)
    world.lab.hub_start()
    world.until("the nodes are listed as ahead", lambda: set(mesh.paused(world.lab)) == set(world.nodes), 40)
    return before


def test_nothing_moves_and_the_nodes_word_can_be_taken(world: World) -> None:
    world.apply(app("true"))
    world.skerry("backup", str(world.folder / "first"))
    world.apply(app("echo newer"))
    world.apply('[app.unknown]\nrun = ["sleep", "inf"]\navailability = "best-effort"\n')
    before = put_back(world, "first")
    assert world.running() == before
    shown = world.skerry("hub", "resume")
    assert all(node in shown for node in world.nodes)
    assert "resume" in world.skerry("hub", "status")
    world.begin(
        '[app.later]\nrun = ["sleep", "inf"]\navailability = "best-effort"\nper_node = true\n', "--yes"
    )
    world.holds("paused nodes take nothing", lambda: world.running() == before, 3)
    world.skerry("hub", "resume", "--take", "nodes", "--yes", "--reason", "they know better")
    world.until("no node is paused", lambda: not mesh.paused(world.lab))
    world.settled("work", "guard", "unknown", "later", seconds=60)
    assert before.items() <= world.running().items(), "nothing was restarted"
    assert world.apps()["work"].revision == 2, "the hub has learned the revision"


def test_the_hubs_word_can_be_taken_in_a_new_epoch(world: World) -> None:
    world.apply(app("echo good"))
    world.skerry("backup", str(world.folder / "second"))
    good = world.apps()["work"].revision
    world.apply(app("echo bad"))
    before = put_back(world, "second")
    assert world.running() == before
    epoch = json.loads(world.skerry("hub", "status", "--json"))["epoch"]
    world.skerry("hub", "resume", "--take", "hub", "--yes", "--reason", "back to what was")
    world.until("no node is paused", lambda: not mesh.paused(world.lab))
    assert json.loads(world.skerry("hub", "status", "--json"))["epoch"] > epoch
    world.settled("work", "guard", seconds=60)
    assert world.apps()["work"].revision == good
    for node in world.nodes:
        (copy,) = world.copies("work", [node])
        said = world.text(
            node, "journalctl", "-o", "cat", "-u", f"skerry-{copy.name}.service", f"_PID={copy.pid}"
        )
        assert said.endswith("good")


def test_a_backup_is_written_while_the_hub_runs_and_overwrites_nothing(world: World) -> None:
    file = world.folder / "third"
    world.skerry("backup", str(file))
    size = file.stat().st_size
    done = world.ask("backup", str(file))
    assert done.returncode != 0
    assert "there already" in done.stderr
    assert file.stat().st_size == size
