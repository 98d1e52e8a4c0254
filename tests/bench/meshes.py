"""A mesh to measure on: a lab of this process's own, always taken down. One at a time, or they disturb each other."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from skerry_hub.lab import Lab, mesh
from tests.lab.system.world import World

PYTHON = sys.executable  # nodes see the checkout and its environment at the same paths
AGENT = "skerry-agent.service"


@contextmanager
def meshed(name: str, nodes: Sequence[str] = ("n1",), strangers: Sequence[str] = ()) -> Iterator[World]:
    """A hub with `nodes` joined, and `strangers`: machines that never hear of it."""
    with (
        tempfile.TemporaryDirectory(prefix="skerry-bench-") as folder,
        Lab(f"bench-{name}-{os.getpid()}") as lab,
    ):
        lab.up((*nodes, *strangers), hub=False, tied=True)
        mesh.make_hub(lab)
        lab.hub_start()
        mesh.join(lab, nodes)
        yield World(lab, nodes, Path(folder))


def sleepers(count: int, name: str = "still", node: str = "n1") -> str:
    """An app file: `count` copies, on one node, of a process that does nothing."""
    return f"""
[app.{name}]
run = ["sleep", "inf"]
availability = "best-effort"
replicas = {count}
[app.{name}.place]
nodes = ["{node}"]
"""


def all_up(world: World, node: str, count: int, seconds: float = 120.0) -> None:
    """Until `count` instances run on the node and its agent has nothing more to do for a change."""
    world.until(f"{count} units on {node}", lambda: len(world.running([node])) >= count, seconds)


def agent_pid(world: World, node: str) -> int:
    return int(world.shown(node, AGENT, "MainPID"))
