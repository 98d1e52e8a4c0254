"""Faults of the network in a whole mesh: one key on two machines, an admin's own things."""

from __future__ import annotations

import shutil

from tests.lab.system.test_doctor import looked
from tests.lab.system.test_network import KEYS, SERVE, Copy, app, fetch, placed
from tests.lab.system.world import World

NODES = 3
SAME = "n1 has the same network key"
ADMINS = "table inet skerry { chain admins { tcp dport 22 accept; }; }"
LONG_S = 40.0


def pair(world: World, client: str, server: str) -> tuple[Copy, str]:
    """An app on n1 and what it reaches on n3; they talk."""
    serves = app(server, "n3", "ports = { http = 8080 }", run=SERVE)
    world.apply(serves + app(client, "n1", f'reaches = ["{server}"]'))
    by, there = placed(world, client), f"http://[{placed(world, server).address}]:8080/"
    world.until("they talk", lambda: fetch(world, by, there))
    return by, there


def test_two_machines_with_one_key_are_both_told_of_and_a_new_key_mends_it(world: World) -> None:
    by, there = pair(world, "gets", "gives")
    before = world.running()
    for path in (one.removeprefix("/") + end for one in KEYS for end in ("", ".twin")):
        shutil.copy(world.lab.root("n1") / path, world.lab.root("n2") / path)
    world.systemctl("n2", "restart", "skerry-net.service", "skerry-agent.service")
    world.until("n2 is told", lambda: SAME in world.agent_status("n2").hub, LONG_S)
    assert "skerry-agent rotate-keys" in world.agent_status("n2").hub
    told = {one.node: one.text for one in world.events() if one.code == "same-key"}
    assert told.keys() == {"n1", "n2"}
    assert all(SAME in text for text in told.values())
    world.run("n2", "skerry-agent", "rotate-keys")
    for node in ("n1", "n2"):
        world.until(f"{node} is connected", lambda node=node: world.agent_status(node).hub == "", LONG_S)  # type: ignore[misc]
    world.until("they talk", lambda: fetch(world, by, there))
    assert before.items() <= world.running().items()


def test_what_an_admin_has_under_our_names_is_said_to_both_sides_and_stays(world: World) -> None:
    world.apply(app("plain", "n2"))
    world.systemctl("n2", "stop", "skerry-net.service")
    world.run("n2", "nft", "delete", "table", "inet", "skerry")
    world.run("n2", "nft", ADMINS)
    world.run("n2", "ip", "netns", "add", "skerry-admin")
    world.run("n2", "ip", "link", "add", "sk-lan", "type", "veth", "peer", "name", "sk-wan")
    world.systemctl("n2", "start", "skerry-net.service")
    world.until("the hub is told", lambda: world.ails("n2", "network"), LONG_S)
    assert "there is a table 'inet skerry' that is not Skerry's" in world.text("n2", "skerry-agent", "status")
    assert "nft delete table inet skerry" in looked(world, "n2")["skerry-net"].seen
    assert "dport 22" in world.text("n2", "nft", "list", "table", "inet", "skerry")
    world.run("n2", "nft", "delete", "table", "inet", "skerry")
    world.until("it is well", lambda: not world.ails("n2", "network"), LONG_S)
    assert "sk-lan" in world.text("n2", "ip", "-brief", "link")
    assert "skerry-admin" in world.text("n2", "ip", "netns", "list")
    world.run("n2", "ip", "link", "delete", "sk-lan")
