"""A plan that leads nowhere undoes itself on every node, and what runs does not notice."""

from __future__ import annotations

from collections.abc import Callable

from skerry_agent.network.confirm import TRIAL_MS
from skerry_agent.view.network import NetworkView
from tests.lab.system.test_network import SERVE, app, fetch, placed
from tests.lab.system.world import World

NODES = 2
NOWHERE = "10.77.0.99"
WRONG = ("--advertise", NOWHERE)
REFUSED = f"by {NOWHERE}:51820"
BACK_S = TRIAL_MS / 1000 + 15
HUB6 = "fd77::2"
ENDS = (
    "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/wireguard/skerry.sock')"
    "; s.sendall(b'get=1\\n\\n'); print(s.recv(65536).decode())"
)
APPS = app("db", "n1", "ports = { http = 8080 }", run=SERVE) + app("web", "n2", 'reaches = ["db"]')


class Talk:
    """Two apps that talk, and what is to go on as it is."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.apply(APPS)
        self._by, self._to = placed(world, "web"), f"http://[{placed(world, 'db').address}]:8080/"
        world.until("they talk", self.goes_on)
        self.before = world.running()

    def goes_on(self) -> bool:
        return bool(fetch(self._world, self._by, self._to))

    def untouched(self, *nodes: str) -> bool:
        runs = self._world.running(nodes or None)
        return all(runs.get(key) == run for key, run in self.before.items() if not nodes or key[0] in nodes)


def every(world: World, what: str, seen: Callable[[World, str], bool], seconds: float = 30) -> None:
    """Until it is so of every node."""
    world.until(f"every node {what}", lambda: all(seen(world, node) for node in world.nodes), seconds)


def restarted(world: World, *options: str) -> None:
    """What an operator does who has changed the hub's settings."""
    world.lab.hub_stop()
    world.lab.hub_start(options)


def network(world: World, node: str) -> NetworkView:
    found = world.agent_status(node).network
    assert found is not None
    return found


def on_trial(world: World, node: str) -> bool:
    return network(world, node).trial_ms_left is not None


def taken_back(world: World, node: str) -> bool:
    return bool(network(world, node).taken_back) and not on_trial(world, node)


def told(world: World, node: str) -> bool:
    """Whether the hub has heard of it from the node, which so has its hub back."""
    return world.ails(node, "network")


def test_every_node_has_its_hub_back_in_a_minute_and_says_what_it_refused(world: World) -> None:
    talk = Talk(world)
    restarted(world, *WRONG)
    every(world, "tries it", on_trial)
    assert talk.goes_on()
    every(world, "takes it back", taken_back, BACK_S)
    every(world, "has its hub", told)
    assert talk.goes_on()
    assert talk.untouched()
    for node in world.nodes:
        said = world.text(node, "skerry-agent", "status")
        assert "condition  network: the node's new network plan was taken back: hub " in said
        assert REFUSED in said
        assert "was taken back" in world.text(node, "skerry-agent", "why", "db" if node == "n1" else "web")
    nodes = world.skerry("nodes")
    assert nodes.count("network: its network is not as planned") == len(world.nodes)
    world.apply(app("meanwhile", "n1"))
    assert talk.untouched(), "and the mesh is governed as before"
    mended(world, talk)


def test_nor_does_it_take_an_agent_or_power(world: World) -> None:
    talk = Talk(world)
    restarted(world, *WRONG)
    every(world, "tries it", on_trial)
    world.systemctl("n1", "stop", "skerry-agent.service")
    world.lab.poweroff("n2")
    world.lab.boot("n2")
    world.until("n2 took it back", lambda: taken_back(world, "n2"))
    assert "the machine booted before the hub was reached" in network(world, "n2").taken_back
    world.until("n2 has its hub", lambda: told(world, "n2"), 30)
    world.until("they talk again", talk.goes_on)

    def without_agent() -> bool:
        return "was taken back" in world.text("n1", "skerry-agent", "status")

    world.until("n1 took it back, by skerry-net alone", without_agent, BACK_S)
    world.systemctl("n1", "start", "skerry-agent.service")
    world.until("n1 has its hub", lambda: told(world, "n1"), 30)
    mended(world, talk, "n1")


def test_a_node_that_has_just_booted_has_a_way_to_go_back_to(world: World) -> None:
    """The plan comes before the hub has answered any beat of this boot."""
    talk = Talk(world)
    world.lab.hub_stop()
    world.lab.poweroff("n2")
    world.lab.boot("n2")
    world.lab.hub_start(WRONG)
    every(world, "tries it", on_trial)
    mended(world, talk, "n1")


def test_a_good_change_stays_though_nothing_else_is_said(world: World) -> None:
    """Nodes with best-effort work alone beat every five minutes: not so while a plan is on trial."""
    talk = Talk(world)
    restarted(world, "--advertise", f"{HUB6},{world.lab.hub_address}")
    every(world, "comes in by IPv6", by_ipv6)
    every(world, "has nothing against it", content)
    world.apply(app("later", "n2"))
    assert all(content(world, node) for node in world.nodes)
    assert talk.untouched()
    restarted(world)
    every(world, "goes back", lambda world, node: not by_ipv6(world, node))
    every(world, "has nothing against that", content)
    assert talk.untouched()


def by_ipv6(world: World, node: str) -> bool:
    return f"endpoint=[{HUB6}]:" in world.text(node, "python3", "-c", ENDS)


def mended(world: World, talk: Talk, *nodes: str) -> None:
    """The operator puts it right: all follows without help. `nodes`: those that have not booted meanwhile."""
    restarted(world)
    every(world, "has nothing against it", content)
    world.settled("db", "web")
    assert talk.goes_on()
    assert talk.untouched(*nodes)


def content(world: World, node: str) -> bool:
    """By its own word, and by what the hub has heard."""
    return not (network(world, node).taken_back or on_trial(world, node) or told(world, node))
