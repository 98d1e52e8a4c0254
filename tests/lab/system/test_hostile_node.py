"""A member whose root is hostile, with a tunnel that is in order: it floods, takes addresses that are not its own, and
knocks where it was not let in. Apps of others go on talking, the hub goes on answering.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from tests.lab.system.fenced import fenced
from tests.lab.system.test_network import SERVE, Copy, app, fetch, placed
from tests.lab.system.world import World

NODES = 3
THIEF, NEVER_S, LOST_AFTER_S = "n3", 2, 16
HUB_LISTENS, NODE_LISTENS, SPEAKS = 9999, 9998, 9000
FLOODING_S = 15.0

FLOOD = """
import socket, sys, time
rate, targets = int(sys.argv[1]), sys.argv[2:]
sockets = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in targets]
for one, target in zip(sockets, targets):
    one.setblocking(False)
    address, port = target.rsplit(",", 1)
    one.connect((address, int(port)))
print("begun", flush=True)
while True:
    due = time.monotonic() + 0.01
    for number in range(rate // 100):
        try:
            sockets[number % len(sockets)].send(bytes(1200))
        except OSError:
            pass
    time.sleep(max(0, due - time.monotonic()))
"""
PER_SECOND = 3000
"""Of 1200 bytes each; what comes through is less where the processors are slow."""
LEAST_BYTES = 5 << 20

HEAR = """
import socket, sys
one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
one.bind((sys.argv[1], int(sys.argv[2])))
print("begun", flush=True)
while True:
    print(one.recv(100).decode(), flush=True)
"""

SAY = """
import socket, sys
one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
one.bind((sys.argv[1], 0))
one.sendto(sys.argv[4].encode(), (sys.argv[2], int(sys.argv[3])))
"""

LISTEN = """
import socket, sys, threading
one = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6)
print("begun", flush=True)
threading.Event().wait()
"""

KNOCK = """
import socket, sys
one = socket.socket(socket.AF_INET6)
one.settimeout(float(sys.argv[3]))
print(one.connect_ex((sys.argv[1], int(sys.argv[2]))))
"""

Begun = Iterator["subprocess.Popen[str]"]


@contextmanager
def beside(process: subprocess.Popen[str]) -> Begun:
    """For as long as it takes; it has begun when this has."""
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def hostile(world: World) -> World:
    """Its own end judges nothing any more; the two that talk do so through the hub, which is where it can harm them."""
    ports = f'ports = {{ http = 8080, says = "{SPEAKS}/udp" }}'
    world.systemctl(THIEF, "stop", "skerry-net.service")
    world.run(THIEF, "nft", "delete", "table", "inet", "skerry", check=False)
    shut = "add table inet shut; add chain inet shut out { type filter hook output priority 0; }; flush table inet shut"
    for node in ("n1", "n2"):
        rule = "add rule inet shut out meta l4proto udp udp dport != { 53, 51820 } drop"
        world.run(
            node, "nft", f"{shut}; {rule}"
        )  # before there is a direct way, which would have to die first
    world.apply(app("db", "n2", ports, run=SERVE) + app("web", "n1", 'reaches = ["db"]'))
    return world


def url(world: World) -> str:
    return f"http://[{placed(world, 'db').address}]:8080/"


def inside(world: World) -> str:
    """The hub's address in the mesh, as a node is told."""
    (line,) = (one for one in world.skerry("network", "plan", THIEF).splitlines() if one.startswith("  hub "))
    return line.split()[1]


def own(world: World, node: str) -> str:
    """A node's address in the mesh."""
    (line,) = (
        one for one in world.skerry("network", "plan", node).splitlines() if one.startswith("  address ")
    )
    return line.split()[1]


def passed(world: World) -> int:
    """Bytes that came to the hub through tunnels until now."""
    shown = world.lab.hub_exec(["ip", "-json", "-statistics", "link", "show", "skerry-hub"]).stdout
    return int(msgspec.json.decode(shown)[0]["stats64"]["rx"]["bytes"])


def speak(world: World, node: str, *words: str, by: Copy | None = None) -> None:
    space = ("nsenter", f"--net=/run/skerry/spaces/now/skerry-{by.instance}") if by else ()
    world.run(node, *space, "python3", "-c", SAY, *words)


def knocks(world: World, at: str, port: int) -> bool:
    """Whether the thief is let in there."""
    return world.text(THIEF, "python3", "-c", KNOCK, at, str(port), str(NEVER_S)) == "0"


def test_nobody_is_taken_for_another(hostile: World) -> None:
    web, db = placed(hostile, "web"), placed(hostile, "db")
    hostile.until("they talk", lambda: fetch(hostile, web, url(hostile)))
    hostile.run(THIEF, "ip", "address", "add", f"{web.address}/128", "dev", "skerry", "nodad")
    space = ("nsenter", f"--net=/run/skerry/spaces/now/skerry-{db.instance}")
    hears = hostile.lab.popen(db.node, [*space, "python3", "-c", HEAR, db.address, str(SPEAKS)])
    with beside(hears) as heard:
        assert heard.stdout is not None
        for by in (web.address, own(hostile, THIEF)):
            speak(hostile, THIEF, by, db.address, str(SPEAKS), "false")
        speak(hostile, web.node, web.address, db.address, str(SPEAKS), "true", by=web)
        assert heard.stdout.readline() == "true\n", "and nothing came before that"
    hostile.run(THIEF, "ip", "address", "del", f"{web.address}/128", "dev", "skerry")


def test_what_is_not_open_to_it_stays_shut(hostile: World) -> None:
    db, hub = placed(hostile, "db"), inside(hostile)
    at_hub = hostile.lab.hub_argv(["python3", "-c", LISTEN, str(HUB_LISTENS)])
    at_node = hostile.lab.popen("n2", ["python3", "-c", LISTEN, str(NODE_LISTENS)])
    with (
        beside(subprocess.Popen(at_hub, stdout=subprocess.PIPE, text=True)),
        beside(at_node),
    ):
        assert knocks(hostile, hub, 4222), "NATS is for nodes"
        assert not knocks(hostile, hub, HUB_LISTENS)
        assert not knocks(hostile, own(hostile, "n2"), NODE_LISTENS)
        assert not knocks(hostile, db.address, 8080)


def test_a_flood_ends_nobody_elses_talk_and_no_lease(hostile: World) -> None:
    web, db, there = placed(hostile, "web"), placed(hostile, "db"), url(hostile)
    hostile.apply(fenced("leased", "n1", "n2", lost_after_s=LOST_AFTER_S))
    before = hostile.running(("n1", "n2"))
    targets = [f"{inside(hostile)},{port}" for port in (4222, HUB_LISTENS)]
    targets += [f"{db.address},8080", f"{own(hostile, 'n1')},53"]
    targets += [f"::ffff:{hostile.lab.hub_address.rpartition(':')[0]},51820"]
    flood, came = ["python3", "-c", FLOOD, str(PER_SECOND), *targets], passed(hostile)
    with beside(hostile.lab.popen(THIEF, flood)):
        hostile.holds(
            "they talk on, and all is healthy",
            lambda: bool(fetch(hostile, web, there)) and hostile.healthy("web", "db", "leased"),
            FLOODING_S,
        )
    assert passed(hostile) - came > LEAST_BYTES, "it was a flood"
    assert hostile.running(("n1", "n2")) == before
    assert "cut off" not in hostile.loud()
