"""A node's own command line where no agent runs and no hub is there: it works on the files, and says so."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.lab.system.world import World

NODES = 1
APP = """
[app.{name}]
run = ["/bin/sh", "-c", "while true; do echo {word}; sleep 0.2; done"]
availability = "best-effort"
replicas = 2
"""


@pytest.fixture
def alone(world: World) -> Iterator[World]:
    """The agent is stopped, which takes no longer than a few seconds and harms nothing."""
    world.apply(APP.format(name="tick", word="first"))
    world.apply(APP.format(name="tick", word="second"))
    before = world.running(["n1"])
    began = time.monotonic()
    world.systemctl("n1", "stop", "skerry-agent.service")
    assert time.monotonic() - began < 5
    assert world.running(["n1"]) == before
    yield world
    world.systemctl("n1", "start", "skerry-agent.service")


def test_status_why_and_logs_are_read_from_disk_and_say_so(alone: World) -> None:
    status = alone.run("n1", "skerry-agent", "status")
    assert "cannot reach the agent" in status.stderr
    assert status.stderr.count("\n") == 1
    assert "agent      stopped" in status.stdout
    assert status.stdout.count("healthy done") == 2
    why = alone.run("n1", "skerry-agent", "why", "tick").stdout
    newest = alone.apps()["tick"].revision
    assert f"asked for revision {newest}; runs {newest}" in why
    assert "second" in alone.text("n1", "skerry-agent", "logs", "-n", "3", "tick")
    for words in (("why", "nope"), ("logs", "nope"), ("rollback", "nope")):
        said = alone.run("n1", "skerry-agent", *words, check=False)
        assert said.returncode == 1
        assert said.stderr.splitlines()[-1].startswith("Error: cannot ")
        assert "Traceback" not in said.stderr


def test_rollback_and_clear_are_done_by_the_command_itself(alone: World) -> None:
    said = alone.run("n1", "skerry-agent", "rollback", "tick", "--reason", "too loud")
    assert "the agent does not run" in said.stderr
    newest = alone.apps()["tick"].revision
    assert said.stdout.splitlines() == [
        f"tick-{one}: revision {newest - 1} instead of {newest}" for one in (1, 2)
    ]
    alone.until("the first revision runs", lambda: "first" in last(alone))
    assert "too loud" in alone.text("n1", "skerry-agent", "status")
    cleared = alone.run("n1", "skerry-agent", "rollback", "--clear")
    assert cleared.stdout.splitlines() == [f"tick: revision {newest} may run again"] * 2
    alone.until("the second revision runs", lambda: "second" in last(alone))
    nothing = alone.run("n1", "skerry-agent", "rollback", "--clear", check=False)
    assert (nothing.returncode, "it has given none" in nothing.stderr) == (1, True)


def test_following_logs_shows_every_copy_on_the_node(world: World) -> None:
    world.apply(APP.format(name="both", word="hello"))
    with world.lab.popen("n1", ["skerry-agent", "logs", "-f", "-n", "0", "both"]) as follower:
        try:
            assert follower.stdout is not None
            seen: set[str] = set()
            began = time.monotonic()
            while seen != {"both-1", "both-2"}:
                seen.add(follower.stdout.readline().split()[1])
                assert time.monotonic() - began < 20
        finally:
            follower.kill()


def last(world: World) -> str:
    return world.text("n1", "journalctl", "-o", "cat", "-n", "1", "-u", "skerry-tick-1.service")
