"""Two sites whose routers let in nothing that was not asked for: apps talk by way of the hub, and it is said why."""

from __future__ import annotations

from tests.lab.system.test_direct_ways import way
from tests.lab.system.test_doctor import looked
from tests.lab.system.test_network import fetch
from tests.lab.system.test_network_faults import pair
from tests.lab.system.world import World

NODES = 3
TRIED_S = 15.0
"""Two endpoints for 6 s each, and some more."""


def test_through_two_symmetric_nats_apps_talk_by_the_hub_and_the_doctor_says_why(world: World) -> None:
    world.lab.nat("n1", "n3", kind="symmetric")
    by, there = pair(world, "asks", "tells")
    world.holds("they talk", lambda: fetch(world, by, there) is not None, TRIED_S)
    assert (way(world, "n1", "n3"), way(world, "n3", "n1")) == ("", "")
    said = looked(world, "n1")["direct"]
    assert said.ok
    assert "to n3 through the hub: nothing has come back yet from 10.78.3.2:" in said.seen
    assert "another port for each destination" in said.seen
