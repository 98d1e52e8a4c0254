"""The network as apps and outsiders see it: who reaches whom, who does not, and what a hub shows to the world."""

from __future__ import annotations

from typing import NamedTuple

from tests.lab.system.world import World

NODES = 3
SERVE = '["/usr/bin/python3", "-m", "http.server", "--bind", "::", "8080"]'
KEYS = ("/var/lib/skerry/identity/link.key", "/var/lib/skerry/identity/direct.key")
HOLD = '["sleep", "inf"]'


def app(name: str, node: str, *lines: str, run: str = HOLD) -> str:
    return "\n".join(
        [
            f"[app.{name}]",
            f"run = {run}",
            'availability = "best-effort"',
            *lines,
            f"[app.{name}.place]",
            f'nodes = ["{node}"]\n',
        ]
    )


class Copy(NamedTuple):
    """An app's only instance, and where it is."""

    node: str
    instance: str
    address: str


def placed(world: World, name: str) -> Copy:
    node = world.node_of(name)
    lines = world.skerry("network", "plan", node).splitlines()
    (line,) = (one for one in lines if f"  instance {name}-" in one)
    _, instance, address = line.split()
    return Copy(node, instance, address)


def fetch(world: World, by: Copy, url: str, *words: str) -> str | None:
    """What the instance gets from there; None where it gets no answer."""
    space = f"--net=/run/skerry/spaces/now/skerry-{by.instance}"
    ask = ["curl", "--globoff", "--silent", "--max-time", "3", *words, url]
    done = world.run(by.node, "nsenter", space, *ask, check=False)
    return done.stdout if done.returncode == 0 else None


def test_who_was_named_is_reached_on_its_ports_and_nobody_else_comes_through(world: World) -> None:
    serves = app("db", "n3", "ports = { http = 8080 }", run=SERVE)
    asks = app("web", "n1", 'reaches = ["db"]') + app("near", "n3", 'reaches = ["db"]') + app("other", "n2")
    world.apply(serves + asks)
    there = f"http://[{placed(world, 'db').address}]:8080/"
    assert fetch(world, placed(world, "web"), there), "through tunnels"
    assert fetch(world, placed(world, "near"), there), "on the same node"
    assert not fetch(world, placed(world, "other"), there), "it did not say that it reaches db"
    for node in ("n1", "n2"):
        asked = world.run(node, "curl", "--globoff", "--silent", "--max-time", "2", there, check=False)
        assert asked.returncode != 0, f"{node} itself is no app"
    before = world.copies("db")
    world.apply(app("db", "n3", "ports = { other = 9090 }", run=SERVE))
    world.until("its port is shut", lambda: not fetch(world, placed(world, "web"), there))
    assert world.copies("db") == before, "and the process has not noticed"


def test_a_published_port_leads_to_the_instance_from_outside(world: World) -> None:
    world.apply(app("shop", "n2", "ports = { http = 8080 }", "publish = { http = 8088 }", run=SERVE))
    outside = next(one.address for one in world.lab.status().nodes if one.name == "n2")
    asked = ("curl", "--silent", "--output", "/dev/null", "--max-time", "3", f"http://{outside}:8088/")
    assert world.run("n1", *asked, check=False).returncode == 0, "n1 is on the same local network"
    assert world.run("n2", *asked, check=False).returncode == 0
    world.skerry("remove", "shop", "--yes")
    world.until("it is shut", lambda: world.run("n1", *asked, check=False).returncode != 0)


def test_out_of_the_mesh_an_instance_gets_unless_its_app_says_no(world: World) -> None:
    world.apply(app("roams", "n1") + app("stays", "n1", "egress = false"))
    outside = f"https://{world.lab.hub_address}/healthz"
    assert "ok" in (fetch(world, placed(world, "roams"), outside, "--insecure") or "")
    assert fetch(world, placed(world, "stays"), outside, "--insecure") is None


SCAN = """
import socket, sys
for port in range(1, 65536):
    with socket.socket() as one:
        one.settimeout(0.5)
        if one.connect_ex((sys.argv[1], port)) == 0:
            print(port)
"""


def test_from_outside_a_hub_has_one_tcp_and_one_udp_port(world: World) -> None:
    host, _, port = world.lab.hub_address.rpartition(":")
    assert world.text("n3", "python3", "-c", SCAN, host).split() == [port]
    udp = world.lab.hub_exec(["ss", "--no-header", "--udp", "--listening", "--numeric"]).stdout
    assert {line.split()[3].rpartition(":")[2] for line in udp.splitlines()} == {"51820"}


def test_apps_talk_on_with_neither_hub_nor_agent_and_after_a_cold_boot(world: World) -> None:
    hears = app("hears", "n3", "ports = { http = 8080 }", run=SERVE)
    world.apply(hears + app("talks", "n2", 'reaches = ["hears"]'))
    by, there = placed(world, "talks"), f"http://[{placed(world, 'hears').address}]:8080/"
    world.until("they talk", lambda: fetch(world, by, there))
    before = world.running(["n3"])
    world.lab.hub_stop()
    for node in ("n2", "n3"):
        world.systemctl(node, "stop", "skerry-agent.service", "skerry-net.service")
    assert fetch(world, by, there)
    world.lab.poweroff("n2")
    world.lab.boot("n2")
    world.systemctl("n2", "stop", "skerry-agent.service")
    world.until("they talk again", lambda: fetch(world, by, there), 60)
    world.systemctl("n3", "start", "skerry-net.service")
    world.lab.hub_start()
    world.mend()
    world.settled("talks", "hears")
    assert world.running(["n3"]).items() >= before.items()


def test_keys_change_while_apps_talk(world: World) -> None:
    hears = app("tells", "n3", "ports = { http = 8080 }", run=SERVE)
    world.apply(hears + app("learns", "n1", 'reaches = ["tells"]'))
    by, there = placed(world, "learns"), f"http://[{placed(world, 'tells').address}]:8080/"
    world.until("they talk", lambda: fetch(world, by, there))
    keys = {node: world.text(node, "sha256sum", *KEYS) for node in ("n1", "n3")}
    before = world.running()
    for node in ("n1", "n3"):
        world.run(node, "skerry-agent", "rotate-keys")
        world.until("they talk again", lambda: fetch(world, by, there))
    assert all(world.text(node, "sha256sum", *KEYS) != keys[node] for node in keys)
    world.apply(app("later", "n3"))
    assert before.items() <= world.running().items()
