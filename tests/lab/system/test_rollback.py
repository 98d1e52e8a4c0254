"""A change that does not work is put back by the node itself, with a hub or without, and everybody is told why."""

import json

from tests.lab.system.world import World

NODES = 2

GOOD = "exec sleep inf"
EXITS = "echo broken >&2; exit 3"


def app(name: str, node: str, script: str, more: str = "", health: str = "") -> str:
    text = f"""
[app.{name}]
run = ["/bin/sh", "-c", {json.dumps(script)}]
availability = "best-effort"
{more}
[app.{name}.place]
nodes = ["{node}"]
"""
    return text + (f"[app.{name}.health]\n{health}\n" if health else "")


CHECK = (
    'exec = ["/bin/sh", "-c", "test ! -e $SKERRY_FILES/sick"]\nevery = "1s"\ntimeout = "500ms"\ngrace = "3s"'
)


def runs(world: World, name: str, node: str) -> int:
    """The revision that runs on the node, by its own word; 0 for none."""
    shown = json.loads(world.text(node, "skerry-agent", "why", name, "--json"))
    return int(shown[0]["runs"])


def test_a_revision_that_exits_at_once_is_put_back_with_the_reason(world: World) -> None:
    world.apply(app("exits", "n1", GOOD))
    done = world.ask("apply", world.file(app("exits", "n1", EXITS)), "--timeout", "30s")
    assert done.returncode == 1, done.stdout
    why = world.why("exits")
    assert "revision 1" in why.headline, why.headline
    assert "exit status 3" in why.headline, why.headline
    assert runs(world, "exits", "n1") == 1
    assert len(world.copies("exits", ["n1"])) == 1
    assert any("exits" in text and "revision 1" in text for text in world.hub_node("n1").overrides)
    assert any(event.code == "override" and event.app == "exits" for event in world.events())


def test_a_revision_that_never_becomes_healthy_is_put_back_with_the_reason(world: World) -> None:
    world.apply(app("sick", "n2", GOOD, health=CHECK))
    sick = app("sick", "n2", GOOD, health=CHECK) + '[app.sick.files]\nsick = "yes"\n'
    done = world.ask("apply", world.file(sick), "--timeout", "30s")
    assert done.returncode == 1, done.stdout
    assert "within 3 s" in world.why("sick").headline
    assert runs(world, "sick", "n2") == 1
    later = sick.replace('sick = "yes"', 'well = "yes"')
    world.apply(later)
    assert runs(world, "sick", "n2") == 3, "another revision ends the node's word"
    assert not any("sick" in text for text in world.hub_node("n2").overrides)


def took_the_newest(world: World, node: str) -> bool:
    """By the hub's word, which is there at once; what runs there for a moment alone might be missed."""
    heard = world.hub_node(node)
    return heard.accepted == heard.newest


def test_the_node_puts_it_back_with_no_hub_and_tells_later(world: World) -> None:
    world.apply(app("alone", "n1", GOOD, health=CHECK))
    world.begin(app("alone", "n1", GOOD, health=CHECK) + '[app.alone.files]\nsick = "yes"\n')
    world.until("the node took it", lambda: took_the_newest(world, "n1"))
    world.lab.hub_stop()
    world.until("the node put it back", lambda: runs(world, "alone", "n1") == 1)
    assert "revision 1 instead of 2" in world.text("n1", "skerry-agent", "why", "alone")
    world.lab.hub_start()
    world.until("the hub knows why", lambda: "within 3 s" in world.why("alone").headline)
    assert runs(world, "alone", "n1") == 1


def test_an_app_may_ask_to_be_left_as_it_is(world: World) -> None:
    world.apply(app("stays", "n2", GOOD, "rollback = false"))
    world.begin(app("stays", "n2", EXITS, "rollback = false"))
    world.until("the hub says that it fails", lambda: "exit status 3" in world.why("stays").headline)
    world.holds("it stays at revision 2", lambda: not world.hub_node("n2").overrides, 3)


def test_an_admin_rolls_back_on_the_machine_with_no_hub_and_the_hub_sees_it(world: World) -> None:
    world.apply(app("hand", "n1", GOOD))
    world.apply(app("hand", "n1", f"true; {GOOD}"))
    assert runs(world, "hand", "n1") == 2
    world.lab.hub_stop()
    said = world.text("n1", "skerry-agent", "rollback", "hand", "--reason", "it leaks")
    assert "revision 1" in said
    world.until("revision 1 runs", lambda: runs(world, "hand", "n1") == 1)
    world.lab.hub_start()
    world.until("the hub sees it", lambda: "it leaks" in world.why("hand").headline)
    world.lab.hub_stop()
    world.run("n1", "skerry-agent", "rollback", "hand", "--clear")
    world.until("revision 2 runs", lambda: runs(world, "hand", "n1") == 2)
    world.lab.hub_start()
    world.settled("hand")


def test_an_admin_rolls_back_with_no_agent_either(world: World) -> None:
    world.apply(app("bare", "n2", GOOD))
    world.apply(app("bare", "n2", f"true; {GOOD}"))
    world.systemctl("n2", "stop", "skerry-agent.service")
    world.run("n2", "skerry-agent", "rollback", "bare")
    assert runs(world, "bare", "n2") == 1
    world.run("n2", "skerry-agent", "rollback", "bare", "--clear")
    assert runs(world, "bare", "n2") == 2


def test_an_operator_rolls_back_everywhere(world: World) -> None:
    world.apply(app("wide", "n1", GOOD))
    world.apply(app("wide", "n1", f"true; {GOOD}"))
    world.skerry("rollback", "wide", "--reason", "second thoughts")
    history = json.loads(world.skerry("history", "wide", "--json"))
    assert [one["number"] for one in history] == [3, 2, 1]
    assert history[0]["reason"] == "second thoughts"
    assert history[0]["content"] == history[2]["content"]
    assert runs(world, "wide", "n1") == 3
