"""A mesh whose addresses are from a network that the operator owns: all goes on as with the mesh's own."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from tests.lab.system.test_network import SERVE, app, fetch, placed
from tests.lab.system.world import World

PREFIX = IPv6Network("2001:db8:7:4200::/56")
NODES, INIT = 2, ("--prefix", str(PREFIX))


def test_apps_talk_by_addresses_of_the_operators_own_network_and_nobody_else_gets_in(world: World) -> None:
    world.apply(
        app("db", "n2", "ports = { http = 8080 }", run=SERVE)
        + app("web", "n1", 'reaches = ["db"]')
        + app("other", "n1")
    )
    web, db, other = (placed(world, name) for name in ("web", "db", "other"))
    assert all(IPv6Address(one.address) in PREFIX for one in (web, db, other))
    url = f"http://[{db.address}]:8080/"
    world.until("they talk", lambda: fetch(world, web, url))
    assert fetch(world, other, url) is None, "it did not ask to"
    assert " dev skerry-hub " in world.lab.hub_exec(["ip", "-6", "route", "get", db.address]).stdout
    world.lab.poweroff("n1")
    world.lab.hub_stop()
    world.lab.boot("n1")
    world.until("they talk after a cold boot", lambda: fetch(world, web, url), seconds=40)
    world.lab.hub_start()
