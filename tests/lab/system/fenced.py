"""Fenced apps with the shortest leases that are allowed, for the tests of promise 3."""

from tests.lab.system.world import Unit, World

LOST_AFTER_S = 14.5
LEASE_S = 10.3  # lost_after less the stop timeout of 1 s and the margin of 3 s and 1 %
REPLACED_S = LOST_AFTER_S + 15


def fenced(name: str, *nodes: str, lost_after_s: float = LOST_AFTER_S) -> str:
    """An app with one copy, on one of these nodes."""
    return f"""
[app.{name}]
run = ["/bin/sh", "-c", "echo claim $SKERRY_CLAIM; exec sleep inf"]
availability = "ha"
stop_timeout = "1s"
[app.{name}.ha]
lost_after = "{lost_after_s * 1000:.0f}ms"
overlap = "forbid"
[app.{name}.place]
nodes = {list(nodes)!r}
"""


def place(world: World, name: str, first: str, *others: str, lost_after_s: float = LOST_AFTER_S) -> Unit:
    """A copy that runs on `first` and may go to the others."""
    world.apply(fenced(name, first, lost_after_s=lost_after_s))
    if others:
        world.apply(fenced(name, first, *others, lost_after_s=lost_after_s))
    (copy,) = world.copies(name)
    assert copy.node == first
    return copy
