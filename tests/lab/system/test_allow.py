"""`overlap = "allow"`: a silent node's copies are started elsewhere, the cut-off ones go on, and on return one goes."""

from tests.lab.system.world import World

NODES = 3
LOST_AFTER_S = 4
REPLACED_S = LOST_AFTER_S + 12


def spread(
    name: str, first: str, on_return: str = "keep-original", run: str = "sleep", *others: str,
    lost_after_s: int = LOST_AFTER_S,
) -> str:  # fmt: skip
    return f"""
[app.{name}]
run = ["{run}", "inf"]
availability = "ha"
[app.{name}.ha]
lost_after = "{lost_after_s}s"
on_return = "{on_return}"
[app.{name}.place]
nodes = {[first, *others]!r}
"""


def test_a_silent_nodes_copies_are_started_elsewhere_and_on_return_one_goes(world: World) -> None:
    kinds = {"back": "keep-original", "stay": "keep-replacement", "older": "keep-original"}
    for name, on_return in kinds.items():
        world.apply(spread(name, "n1", on_return))
        world.apply(spread(name, "n1", on_return, "sleep", "n2", "n3"))
    originals = {name: world.copies(name)[0] for name in kinds}
    assert {one.node for one in originals.values()} == {"n1"}
    world.lab.cut("n1")
    others = {name: world.comes_up(name, ["n2", "n3"], REPLACED_S) for name in kinds}
    for name, copy in originals.items():
        assert world.copies(name, ["n1"]) == [copy], "the cut-off copy goes on"
    world.lab.poweroff("n1")
    world.lab.boot("n1")
    assert all(world.copies(name, ["n1"]) for name in kinds), "and starts at a cold boot"
    world.begin(spread("older", "n1", "keep-original", "/bin/sleep", "n2", "n3"))
    elsewhere = others["older"]
    world.until(
        "the new revision",
        lambda: any(one.run != elsewhere.run for one in world.copies("older", [elsewhere.node])),
    )
    world.lab.heal("n1")
    world.until("the original stays", lambda: [one.node for one in world.copies("back")] == ["n1"], 40)
    world.until(
        "the replacement stays", lambda: [one.run for one in world.copies("stay")] == [others["stay"].run], 40
    )
    world.until(
        "the older revision goes", lambda: [one.node != "n1" for one in world.copies("older")] == [True], 40
    )
    world.settled(*kinds)


def test_a_short_cut_replaces_nothing(world: World) -> None:
    """Short beside lost_after, of which what was cut off may need another second to find its way."""
    lost_after_s, cut_s = 12, 3
    world.apply(spread("brief", "n2", lost_after_s=lost_after_s))
    world.apply(spread("brief", "n2", "keep-original", "sleep", "n3", lost_after_s=lost_after_s))
    before = world.copies("brief")
    world.lab.cut("n2")
    world.holds("no other copy", lambda: world.copies("brief") == before, cut_s)
    world.lab.heal("n2")
    world.holds("no other copy", lambda: world.copies("brief") == before, lost_after_s)


def test_a_hub_that_was_away_counts_no_silence_from_that_time(world: World) -> None:
    world.apply(spread("calm", "n3", "keep-original"))
    world.apply(spread("calm", "n3", "keep-original", "sleep", "n1", "n2"))
    before = world.copies("calm")
    world.lab.hub_stop()
    world.holds("nothing happens", lambda: world.copies("calm") == before, LOST_AFTER_S + 1)
    world.lab.hub_start()
    world.holds("no other copy", lambda: world.copies("calm") == before, LOST_AFTER_S + 2)
