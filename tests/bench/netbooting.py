"""Cold boot without a hub: systemd's start → the first packet from an instance to one on another node.

Two machines are booted by turns: a node whose way to the other node is a direct tunnel, and a machine that never heard
of Skerry, on which a copy of the same unit calls the other node's own address by a plain interface. A packet came
through when a connection is there. What waits beside the caller are instances that do nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab.system.test_direct_ways import way
from tests.lab.system.test_network import SERVE, app, placed
from tests.lab.system.world import World

from .booting import NODE, PLAIN, by_hand
from .figures import Effort
from .measures import Goal, Row, median
from .meshes import all_up, meshed, sleepers

OTHER, UNIT, PORT = "n2", "skerry-calls-1.service", 8080
CALL = """
import socket, threading, time
def calls(host):
    while True:
        try:
            socket.create_connection((host, {port}), 0.1).close()
        except OSError:
            time.sleep(0.005)
            continue
        print("through", time.monotonic(), flush=True)
        return
for host in {hosts}:
    threading.Thread(target=calls, args=(host,)).start()
threading.Event().wait()
"""
COMES_S = 60.0


def measure(effort: Effort) -> Iterator[Row]:
    with meshed("netboot", (NODE, OTHER), (PLAIN,)) as world:
        _prepare(world)
        for count in (1, 20) if effort.quick else (1, 20, 100):
            if count > 1:
                world.begin(sleepers(count - 1))
                all_up(world, NODE, count, seconds=300)
                world.settled("still", seconds=300)
            _direct(world)
            world.lab.hub_stop()
            world.lab.cut("hub")
            yield from _beside(world, count, effort.count(9, 2))
            world.lab.heal("hub")
            world.lab.boot(NODE, PLAIN)
            world.lab.hub_start()


def _prepare(world: World) -> None:
    """Who answers on the other node, inside and by its own address, and who calls both."""
    world.lab.nat(NODE, PLAIN, kind="open")
    serve = ("python3", "-m", "http.server", "--bind", "0.0.0.0", str(PORT))
    world.run(OTHER, "systemd-run", "--unit=plain-serve", *serve)
    world.apply(app("db", OTHER, f"ports = {{ http = {PORT} }}", run=SERVE))
    outside = next(one.address for one in world.lab.status().nodes if one.name == OTHER)
    code = CALL.format(port=PORT, hosts=(placed(world, "db").address, outside))
    run = f"""["/usr/bin/python3", "-c", '''{code}''']"""
    world.apply(app("calls", NODE, 'reaches = ["db"]', "egress = false", run=run))


def _direct(world: World) -> None:
    """Until each node says that its way to the other is a tunnel between them."""
    both = ((NODE, OTHER), (OTHER, NODE))
    world.until("the way is direct", lambda: all(way(world, *pair) for pair in both), COMES_S)


def _beside(world: World, count: int, repeats: int) -> Iterator[Row]:
    """The first pair warms the disk's cache and is not counted."""
    world.lab.poweroff(NODE, PLAIN)
    by_hand(world, plain_network="calls")
    ours, plain = [], []
    for _ in range(repeats + 1):
        ours.append(_boot(world, NODE))
        plain.append(_boot(world, PLAIN))
    spans = [f"{min(found[1:]):.0f} to {max(found[1:]):.0f} ms" for found in (ours, plain)]
    note = f"median of {repeats}; from {spans[0]}, on a plain interface {spans[1]}"
    what, mine, bare = f"first packet, {count} instances", median(ours[1:]), median(plain[1:])
    yield Row(what, mine, "ms", bare, "a plain interface", note=note)
    yield Row("of it beyond the plain one", mine - bare, "ms", goal=Goal(1000))


def _boot(world: World, node: str) -> float:
    """Milliseconds; the other machine is off."""
    world.lab.boot(node, seconds=120)
    through = world.until("a packet came through", lambda: _through(world, node), COMES_S)
    began = int(world.text(node, "systemctl", "show", "--property=UserspaceTimestampMonotonic", "--value"))
    world.lab.poweroff(node)
    return through * 1000 - began / 1000


def _through(world: World, node: str) -> float | None:
    """The moment that the caller noted."""
    lines = world.text(node, "journalctl", "--boot", f"--unit={UNIT}", "--output=cat").splitlines()
    found = [line.split()[1] for line in lines if line.startswith("through ")]
    return float(found[0]) if found else None
