"""Two apps that talk by name, by a direct tunnel which neither hub nor agent has to keep."""

from __future__ import annotations

from tests.lab.system.test_network import SERVE, app
from tests.lab.system.world import World

NODES = 2
UNIT, URL = "web-1", "http://db.skerry:8080/"


def way(world: World, node: str, to: str) -> str:
    """Where the node's direct tunnel to the other ends, as its agent says; empty: the hub leads there."""
    network = world.agent_status(node).network
    return network.mates.get(to, "") if network else ""


def asks(world: World) -> bool:
    """Whether web gets an answer from db, by name: with the lookup that its unit has."""
    pid = world.shown("n1", f"skerry-{UNIT}.service", "MainPID")
    asked = ("curl", "--silent", "--output", "/dev/null", "--max-time", "3", URL)
    return (
        world.run("n1", "nsenter", f"--target={pid}", "--mount", "--net", *asked, check=False).returncode == 0
    )


def test_apps_talk_by_name_over_a_direct_tunnel_while_hub_and_agents_are_gone(world: World) -> None:
    world.apply(app("db", "n2", "ports = { http = 8080 }", run=SERVE) + app("web", "n1", 'reaches = ["db"]'))
    world.until("it is answered", lambda: asks(world))
    world.until("the way is direct", lambda: way(world, "n1", "n2") and way(world, "n2", "n1"))
    said = world.text("n1", "skerry-agent", "status")
    assert f"way        to n2: directly, to {way(world, 'n1', 'n2')}" in said
    for node in ("n1", "n2"):
        world.systemctl(node, "stop", "skerry-agent.service")
    world.lab.cut("hub")
    assert asks(world)
    world.lab.poweroff("n1")
    world.lab.boot("n1")
    world.systemctl("n1", "stop", "skerry-agent.service")
    world.until("it is answered after a cold boot", lambda: asks(world), seconds=40)
