"""A site whose uplink drops big packets and tells nobody: its node and the hub send what passes, and people see it."""

from __future__ import annotations

from skerry_hub.lab.addresses import NORMAL_MTU
from tests.lab.system.world import World

NODES = 1
NODE, TAKES, FOUND = "n1", 1380, 1300  # inside 60 bytes go to headers, and WireGuard pads to 16


def test_hub_and_node_keep_to_what_passes_until_it_widens(world: World) -> None:
    world.lab.mtu(NODE, mtu=TAKES, silent=True)
    elsewhere(world)
    world.until("the node found out", lambda: f"packets of {FOUND} bytes only" in status(world))
    world.until("the hub was told", lambda: f"mtu lock {FOUND}" in routes(world))
    said = world.text(NODE, "skerry-agent", "doctor")
    assert f"ok   mtu         {FOUND} bytes pass, and no more is sent: the path takes no 1420" in said
    world.lab.mtu(NODE, mtu=NORMAL_MTU)
    elsewhere(world)
    world.until("the node found out", lambda: "bytes only" not in status(world))
    world.until("the hub was told", lambda: "mtu" not in routes(world))


def elsewhere(world: World) -> None:
    """The machine has another address, as where its uplink changes: then skerry-net looks at once."""
    here = world.text(NODE, "ip", "-o", "-4", "address", "show", "dev", "eth0", "to", "198.51.100.7")
    world.text(NODE, "ip", "address", "del" if here else "add", "198.51.100.7/32", "dev", "eth0")


def status(world: World) -> str:
    return world.text(NODE, "skerry-agent", "status")


def routes(world: World) -> str:
    """Those of the hub that lead to nodes."""
    return world.lab.hub_exec(["ip", "-6", "route", "show", "dev", "skerry-hub"]).stdout
