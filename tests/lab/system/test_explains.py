"""Promise 5: everything explains itself, on the hub, and on a node that is cut off."""

import json
import os
import subprocess

import msgspec

from skerry_agent.view.status import StatusView
from skerry_hub.lab import mesh, software
from tests.lab.system.world import World

NODES = 2


def talker(name: str, word: str) -> str:
    return f"""
[app.{name}]
run = ["/bin/sh", "-c", "n=0; while :; do n=$((n+1)); echo {word} $n; sleep 0.2; done"]
availability = "best-effort"
per_node = true
"""


def test_history_diff_and_events_say_what_changed_and_who_did_it(world: World) -> None:
    world.apply(talker("told", "one"), "--reason", "first words")
    world.apply(talker("told", "two"), "--reason", "other words")
    history = json.loads(world.skerry("history", "told", "--json"))
    assert [(one["number"], one["changer"], one["reason"]) for one in history] == [
        (2, "admin", "other words"),
        (1, "admin", "first words"),
    ]
    diff = world.skerry("diff", "told", "1", "2")
    assert "run" in diff
    assert "one" in diff
    assert "two" in diff
    events = json.loads(world.skerry("events", "--app", "told", "--changer", "admin", "--json"))
    assert [event["code"] for event in events] == ["app-applied", "app-changed"]
    assert all(one["node"] == "n1" for one in json.loads(world.skerry("events", "--node", "n1", "--json")))


def test_why_prints_every_step_of_every_copy(world: World) -> None:
    world.apply(talker("steps", "x"))
    text = world.skerry("why", "steps")
    for step in (
        "admit",
        "schedule",
        "compile",
        "sign",
        "publish",
        "received",
        "fetched",
        "started",
        "healthy",
    ):
        assert step in text, step
    copies = json.loads(world.skerry("why", "steps", "--json"))["copies"]
    assert {copy["node"] for copy in copies} == set(world.nodes)
    assert {stage["state"] for copy in copies for stage in copy["stages"]} == {"done"}


def test_what_nobody_knows_is_said_in_a_line(world: World) -> None:
    for words in (
        ("why", "nothing"),
        ("history", "nothing"),
        ("logs", "nothing"),
        ("remove", "nothing", "--yes"),
        ("node", "drain", "n9"),
    ):
        done = world.ask(*words)
        assert done.returncode != 0, words
        assert "cannot" in done.stderr, (words, done.stderr)
        assert "Traceback" not in done.stderr


def test_logs_come_from_all_nodes_and_follow(world: World) -> None:
    world.apply(talker("says", "word"))
    lines = world.skerry("logs", "says", "-n", "3").splitlines()
    assert len(lines) == 6
    assert sum("n1" in line for line in lines) == 3
    assert sum("n2" in line for line in lines) == 3
    assert len(world.skerry("logs", "says", "-n", "3", "--node", "n2").splitlines()) == 3
    with following(world, "logs", "says", "-f", "-n", "0") as process:
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(12)]
        process.terminate()
    assert any("n1" in line for line in seen)
    assert any("n2" in line for line in seen)


def following(world: World, *words: str) -> subprocess.Popen[str]:
    """A command of the operator that runs on; its environment is the lab's."""
    environ = os.environ | {"SKERRY_CONFIG": str(mesh.settings(world.lab)), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [str(software.bindir() / "skerry"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
    )


def test_events_follow_what_happens_over_a_restart_of_the_hub(world: World) -> None:
    world.begin(talker("fresh", "a"))
    with following(world, "events", "-f", "-n", "100", "--app", "fresh") as process:
        assert process.stdout is not None
        assert "app-applied" in process.stdout.readline()  # what was before; from here on it follows
        world.lab.hub_stop()
        world.lab.hub_start()
        world.begin(talker("fresh", "b"))
        while "revision 2" not in (line := process.stdout.readline()):
            assert line
        process.terminate()


def test_logs_of_a_cut_off_node_say_that_it_does_not_answer(world: World) -> None:
    world.apply(talker("half", "word"))
    world.lab.cut("n2")
    done = world.ask("logs", "half", "-n", "2")
    assert done.returncode != 0
    assert "n2" in done.stderr
    assert sum("n1" in line for line in done.stdout.splitlines()) == 2


def test_a_cut_off_node_explains_itself_with_and_without_its_agent(world: World) -> None:
    world.apply(talker("remote", "word"), "--reason", "to be found again")
    world.lab.cut("n1")
    world.systemctl("n1", "restart", "skerry-agent.service")
    for agent in ("running", "stopped"):
        if agent == "stopped":
            world.systemctl("n1", "stop", "skerry-agent.service")
        text = world.text("n1", "skerry-agent", "status", "--json")
        status = msgspec.json.decode(text, type=StatusView)
        assert status.agent == agent
        assert status.hub, "it is not in touch with its hub, and says why"
        assert any(one.app == "remote" and one.runs == 1 for one in status.instances)
        why = world.text("n1", "skerry-agent", "why", "remote")
        assert "to be found again" in why
        assert "admin" in why
        assert "word" in world.text("n1", "skerry-agent", "logs", "remote", "-n", "2")


def test_what_happened_while_it_was_away_is_told_on_return(world: World) -> None:
    world.apply(talker("hist", "word"))
    world.lab.cut("n2")
    (copy,) = world.copies("hist", ["n2"])
    world.systemctl("n2", "stop", f"skerry-{copy.name}.service")
    world.systemctl("n2", "start", f"skerry-{copy.name}.service")
    world.lab.heal("n2")
    world.settled("hist", seconds=60)


def test_apps_and_nodes_list_what_there_is(world: World) -> None:
    world.apply(talker("listed", "word"))
    assert "listed" in world.skerry("apps")
    nodes = world.skerry("nodes")
    assert all(node in nodes for node in world.nodes)
    assert json.loads(world.skerry("apps", "listed", "--json"))["state"] == "healthy"
