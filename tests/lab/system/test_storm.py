"""The storm brake: when the hub itself is cut off, nothing is replaced, and it says so."""

from tests.lab.system.world import World

NODES = 3
LOST_AFTER_S = 4

APPS = f"""
[app.web]
run = ["sleep", "inf"]
availability = "ha"
replicas = 3
[app.web.place]
spread = "name"
[app.web.ha]
lost_after = "{LOST_AFTER_S}s"
"""


def test_a_hub_that_is_cut_off_replaces_nothing_and_says_so(world: World) -> None:
    world.apply(APPS)
    before = world.running()
    placed = {copy.instance for copy in world.why("web").copies}
    world.lab.cut("hub")
    world.until("the hub says it loudly", lambda: "cut off" in world.loud(), 3 * LOST_AFTER_S + 10)
    assert "cut off" in world.skerry("hub", "status")
    world.holds("nothing moves", lambda: world.running() == before, LOST_AFTER_S)
    assert {copy.instance for copy in world.why("web").copies} == placed
    world.lab.heal("hub")
    world.until("it is over", lambda: "cut off" not in world.loud(), 40)
    assert "cut off" not in world.skerry("hub", "status")
    world.settled("web", seconds=40)
    assert world.running() == before
    assert {copy.instance for copy in world.why("web").copies} == placed
    assert any("cut off" in event.text for event in world.events()), "and it is in the history"


def test_one_silent_node_among_others_that_answer_is_lost_all_the_same(world: World) -> None:
    world.apply(APPS.replace("app.web", "app.one").replace("replicas = 3", "replicas = 1"))
    node = world.node_of("one")
    others = [name for name in world.nodes if name != node]
    world.lab.cut(node)
    world.until("another copy", lambda: world.copies("one", others), LOST_AFTER_S + 12)
