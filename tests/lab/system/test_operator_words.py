"""An operator's word on a node: drain, undrain, dead, forget, label. Best-effort work moves by these alone."""

import json

from tests.lab.system.world import World

NODES = 3


def single(name: str, more: str = "", first: str = "n1") -> str:
    """One best-effort copy that begins on `first`; who else it may go to is for `free`."""
    return f"""
[app.{name}]
run = ["sleep", "inf"]
availability = "best-effort"
{more}
[app.{name}.place]
nodes = ["{first}"]
"""


def free(world: World, name: str, more: str = "", first: str = "n1") -> None:
    """A copy on `first` that may go anywhere; letting it does not move it."""
    text = single(name, more, first)
    world.apply(text)
    world.apply(text.replace(f'nodes = ["{first}"]', "nodes = []"))
    assert [one.node for one in world.copies(name)] == [first]


def test_drain_moves_copies_off_and_undrain_lets_them_come_again(world: World) -> None:
    free(world, "guest")
    world.skerry("node", "drain", "n1", "--reason", "new disk")
    world.until("it runs elsewhere", lambda: [one.node != "n1" for one in world.copies("guest")] == [True])
    assert world.hub_node("n1").state == "draining"
    world.begin(single("late"))
    headline = world.why("late").headline
    assert "n1" not in [one.node for one in world.copies("late")]
    assert "drain" in headline, headline
    world.skerry("node", "undrain", "n1")
    world.settled("late")
    assert any("new disk" in event.text for event in world.events())


def test_drain_refuses_to_leave_data_behind_unless_it_is_told_to(world: World) -> None:
    free(world, "keeper", 'volumes = { data = "/data" }', "n2")
    done = world.ask("node", "drain", "n2")
    assert done.returncode == 3
    assert "keeper-1" in done.stderr
    assert "--leave-data" in done.stderr
    assert [one.node for one in world.copies("keeper")] == ["n2"]
    world.skerry("node", "drain", "n2", "--leave-data")
    world.until("it runs elsewhere", lambda: [one.node != "n2" for one in world.copies("keeper")] == [True])
    left = world.run(
        "n2", "sh", "-c", "find /var/lib -path '*keeper*' -name '*data*' | head -1", check=False
    ).stdout
    assert left.strip(), "data is never deleted"
    world.skerry("node", "undrain", "n2")


def test_silence_moves_no_best_effort_copy_dead_does_and_the_old_one_goes_on_return(world: World) -> None:
    free(world, "pump")
    (old,) = world.copies("pump")
    world.lab.cut("n1")
    world.holds("silence moves nothing", lambda: world.node_of("pump") == "n1", 4)
    world.skerry("node", "dead", "n1", "--reason", "fell into the sea", "--yes")
    new = world.until("a new copy", lambda: world.copies("pump", ["n2", "n3"]))[0]
    assert world.unit("n1", "pump-1").run == old.run, "nobody can reach the old one"
    world.lab.heal("n1")
    world.until("the old copy is removed", lambda: not world.copies("pump", ["n1"]), 40)
    assert [one.run for one in world.copies("pump")] == [new.run]
    assert any("fell into the sea" in event.text and event.changer == "admin" for event in world.events())
    world.skerry("node", "undrain", "n1")


def test_a_changed_label_moves_nothing(world: World) -> None:
    world.skerry("node", "label", "n3", "site=east")
    world.apply("""
[app.rooted]
run = ["sleep", "inf"]
availability = "best-effort"
[app.rooted.place]
labels = { site = "east" }
""")
    before = world.running()
    world.skerry("node", "label", "n3", "--unset", "site")
    world.skerry("node", "label", "n1", "site=east")
    world.apply(
        '[app.other]\nrun = ["sleep", "inf"]\navailability = "best-effort"\n[app.other.place]\nnodes = ["n2"]\n'
    )
    assert before.items() <= world.running().items()
    assert world.node_of("rooted") == "n3"


def test_a_change_of_place_that_shuts_its_node_out_moves_it(world: World) -> None:
    world.apply(single("mover", first="n1"))
    world.apply(single("mover", first="n2"))
    assert [one.node for one in world.copies("mover")] == ["n2"]


def test_forget_ends_a_nodes_credentials_and_stops_nothing(world: World) -> None:
    world.apply(single("orphan", first="n3"))
    before = world.running(["n3"])
    done = world.ask("node", "forget", "n3", "--yes")
    assert done.returncode == 3
    assert "copies" in done.stderr
    world.skerry("node", "forget", "n3", "--yes", "--confirm", "--reason", "sold")
    assert "n3" not in {one["name"] for one in json.loads(world.skerry("nodes", "--json"))}
    world.until("the node is shut out", lambda: world.agent_status("n3").hub)
    world.systemctl("n3", "restart", "skerry-agent.service")
    world.holds("its units run on", lambda: world.running(["n3"]) == before, 3)
