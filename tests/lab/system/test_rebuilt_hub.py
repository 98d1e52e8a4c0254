"""A hub lost whole, with no backup: the root's key and the nodes are enough to govern the mesh again."""

import json

from skerry_hub.lab import mesh
from tests.lab.system.world import World

NODES = 2
APPS = """
[app.work]
run = ["/bin/sh", "-c", "echo at work; exec sleep inf"]
availability = "best-effort"
per_node = true
[app.web]
run = ["sleep", "inf"]
availability = "ha"
replicas = 2
[app.web.ha]
lost_after = "10m"
[app.guard]
run = ["sleep", "inf"]
availability = "ha"
stop_timeout = "1s"
[app.guard.ha]
lost_after = "10m"
overlap = "forbid"
"""


def test_the_mesh_is_governed_again_no_unit_has_noticed_and_who_returns_later_comes_along(
    world: World,
) -> None:
    world.apply(APPS)
    away = next(node for node in world.nodes if node != world.node_of("guard"))
    stays = world.node_of("guard")
    claim = world.why("guard").copies[0].claim
    before = world.running()
    world.lab.poweroff(away)
    world.lab.hub_wipe()
    mesh.rebuild(world.lab)
    world.lab.hub_start()
    world.until("the node has come back", lambda: set(mesh.paused(world.lab)) == {stays}, 60)
    here = {key: run for key, run in before.items() if key[0] == stays}
    assert world.running().items() >= here.items()

    shown = world.skerry("hub", "resume")
    assert "lost with the hub" in shown
    assert world.apps() == {}, "nothing is decided before a word is taken"
    assert "web-" in shown, "the copy that is with nobody who returned is listed"
    world.skerry("hub", "resume", "--take", "nodes", "--yes", "--reason", "the disk is gone")
    world.until("it is not paused", lambda: not mesh.paused(world.lab))
    world.until("its apps are known", lambda: {"work", "web", "guard"} <= set(world.apps()))
    world.until("guard is healthy", lambda: world.healthy("guard"), 60)
    assert world.why("guard").copies[0].claim == claim
    world.apply('[app.later]\nrun = ["sleep", "inf"]\navailability = "best-effort"\n')
    assert world.running().items() >= here.items(), "no unit has noticed"

    # The other one comes back weeks later, as far as it can tell.
    world.lab.boot(away)
    world.until("it has come back too", lambda: set(mesh.paused(world.lab)) == {away}, 60)
    world.skerry("hub", "resume", "--take", "nodes", "--yes", "--reason", "it was away")
    world.until("nobody is paused", lambda: not mesh.paused(world.lab))
    world.settled("work", "web", "guard", "later", seconds=60)
    assert world.running().items() >= here.items()
    codes = [event.code for event in world.events()]
    assert codes.count("node-returned") == NODES
    assert not json.loads(world.skerry("hub", "resume", "--json"))["restored"]
