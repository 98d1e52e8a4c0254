"""`skerry logs -f` goes on wherever the copies are: placed later, on a node that was away, under a hub that was."""

import os
import signal
import subprocess
from functools import partial
from pathlib import Path

from skerry_hub.lab import mesh, software
from tests.lab.system.world import World

NODES = 3
QUIET = """
[app.quiet]
run = ["/bin/sleep", "infinity"]
availability = "best-effort"
place.nodes = ["n1"]
"""


def counting(replicas: int) -> str:
    return f"""
[app.count]
run = ["/bin/sh", "-c", "n=0; while :; do n=$((n+1)); echo number $n; sleep 0.5; done"]
availability = "best-effort"
replicas = {replicas}
place.nodes = ["n1", "n2"]
"""


def start(world: World, out: Path, *words: str) -> subprocess.Popen[bytes]:
    """`skerry WORDS` beside the test; what it says goes to `out`."""
    environ = os.environ | {"SKERRY_CONFIG": str(mesh.settings(world.lab)), "PYTHONUNBUFFERED": "1"}
    argv = [str(software.bindir() / "skerry"), *words]
    with out.open("wb") as file:
        return subprocess.Popen(argv, env=environ, stdout=file, stderr=subprocess.STDOUT)


def numbers(out: Path, node: str) -> list[int]:
    """The numbers that were shown of the copy on a node."""
    lines = [line for line in out.read_text().splitlines() if f"@{node} " in line and " number " in line]
    return [int(line.rpartition(" ")[2]) for line in lines]


def has(out: Path, words: str) -> bool:
    return words in out.read_text()


# Waits for a node to be missed, and for it and the hub to come back.
def test_a_followed_app_is_followed_everywhere(world: World, tmp_path: Path) -> None:
    world.apply(counting(1))
    (first,) = {unit.node for unit in world.copies("count")}
    other = next(node for node in ("n1", "n2") if node != first)
    out = tmp_path / "out"
    running = start(world, out, "logs", "count", "-f", "-n", "3")
    try:
        world.until("the first copy's lines", lambda: numbers(out, first))
        world.apply(counting(2))
        world.until("the later copy's lines, from its start", lambda: numbers(out, other)[:1] == [1])

        world.lab.cut(other)
        world.until("that it is missed", lambda: f"{other}: it does not answer" in out.read_text(), 40)
        world.lab.heal(other)
        world.until("that it is back", lambda: f"{other}: it answers again" in out.read_text(), 60)
        world.lab.hub_stop()
        world.until("that the hub is missed", lambda: "the hub is away" in out.read_text())
        world.lab.hub_start()
        seen = numbers(out, other)[-1]
        world.until("lines of both again", lambda: numbers(out, other)[-1] > seen + 10, 60)
    finally:
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130
    for node in (first, other):
        shown = numbers(out, node)
        assert shown == list(range(shown[0], shown[0] + len(shown))), node


# A node notices within seconds that nobody listens any more.
def test_readers_that_went_away_do_not_keep_a_node_from_answering(world: World, tmp_path: Path) -> None:
    world.apply(QUIET)
    for number in range(10):
        out = tmp_path / f"out{number}"
        running = start(world, out, "logs", "quiet", "-f")
        world.until("what it wrote", partial(has, out, "Started"))
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130
    world.until("an answer", lambda: world.ask("logs", "quiet").returncode == 0)
