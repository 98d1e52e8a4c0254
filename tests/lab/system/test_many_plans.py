"""A thousand changes of the network one after the other: the last one is what is there, and nothing has piled up."""

from __future__ import annotations

from skerry_hub.api.views import ApplyAsk, ApplyView
from skerry_hub.appfile import Parsed, parse
from skerry_hub.cli.client import Client
from skerry_hub.cli.settings import load
from skerry_hub.lab import mesh
from skerry_protocol.app import App
from tests.lab.system.test_network import SERVE, app, fetch, placed
from tests.lab.system.world import World

NODES = 2
MANY, LOOKS = 1000, 50
FIRST_PORT = 20000
MORE_MB, MORE_PROCESSES = 20, 8
SERVICES = ("skerry-agent.service", "skerry-net.service")


def change(number: int) -> tuple[App, ...]:
    """The app that is reached, with another port each time: both ends' firewalls change, and no process does."""
    ports = f"ports = {{ http = 8080, other = {FIRST_PORT + number} }}"
    found = parse(app("db", "n2", ports, run=SERVE).encode(), "many.toml")
    assert isinstance(found, Parsed)
    return found.apps


def memory_mb(world: World, node: str, service: str) -> int:
    pid = world.shown(node, service, "MainPID")
    return int(world.text(node, "grep", "VmRSS", f"/proc/{pid}/status").split()[1]) >> 10


def sizes(world: World) -> dict[tuple[str, str], int]:
    return {(node, one): memory_mb(world, node, one) for node in world.nodes for one in SERVICES}


def processes(world: World, node: str) -> int:
    return len(world.text(node, "ps", "--no-headers", "-e").splitlines())


def to_hub(world: World) -> dict[str, str]:
    """Each agent's process and its connection, by its own port: another one is another connection."""
    asked = ("ss", "--no-header", "--tcp", "--numeric", "state", "established", "dport", "=", ":4222")
    return {
        node: world.shown(node, SERVICES[0], "MainPID") + world.text(node, *asked).split()[2]
        for node in world.nodes
    }


def allowed(world: World, node: str) -> str:
    return world.text(node, "nft", "list", "table", "inet", "skerry")


def test_the_last_of_a_thousand_changes_is_there_and_nothing_has_piled_up(world: World) -> None:
    world.apply(app("db", "n2", "ports = { http = 8080 }", run=SERVE) + app("web", "n1", 'reaches = ["db"]'))
    web, there = placed(world, "web"), f"http://[{placed(world, 'db').address}]:8080/"
    world.until("they talk", lambda: fetch(world, web, there))
    running, connected, before = world.running(), to_hub(world), sizes(world)
    many = {node: processes(world, node) for node in world.nodes}
    with Client(load((mesh.settings(world.lab),)), 10.0, 30.0) as hub:
        for number in range(1, MANY + 1):
            hub.send(ApplyView, "POST", "/api/apply", ApplyAsk(change(number)))
            if number % (MANY // LOOKS) == 0:
                assert all(processes(world, node) <= many[node] + MORE_PROCESSES for node in world.nodes)
    last = str(FIRST_PORT + MANY)
    for node in world.nodes:
        world.until(f"{node} has the last one", lambda node=node: last in allowed(world, node))  # type: ignore[misc]
        rules = allowed(world, node)
        assert not [port for port in range(FIRST_PORT, FIRST_PORT + MANY) if str(port) in rules], node
    world.settled("db", "web")
    assert fetch(world, web, there)
    assert (world.running(), to_hub(world)) == (running, connected)
    assert all(now <= before[which] + MORE_MB for which, now in sizes(world).items())
