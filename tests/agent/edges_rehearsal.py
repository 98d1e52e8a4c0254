"""Inside of a node: an instance as rendered, in its real sandbox; its checks from within, and its journal.

As a program it prints one JSON object: what each look at the instance found. With the word `networked` the instance
has the network namespace that a real skerry-net makes for it.
"""

import asyncio
import json
import sys
from pathlib import Path

from msgspec import structs

from skerry_agent.disk.disk import STATE, StateDir
from skerry_agent.health.checks import check
from skerry_agent.network.records import Plan, Status
from skerry_agent.network.run import RUN
from skerry_agent.network.telling import Telling, write_wanted
from skerry_agent.switch.target import Running, State
from skerry_agent.systemd import Resync
from skerry_agent.systemd.dbus import DbusSystemd
from skerry_agent.units.policy import Policy
from skerry_agent.units.render import NodeFacts, Paths, Rendered, render
from skerry_agent.units.restore import restore
from skerry_agent.view import journal
from skerry_protocol.app import Health, Volume
from skerry_protocol.ids import NodeName
from skerry_protocol.messages import AppRevision
from skerry_protocol.network import AppNetwork

from .builders import a_network, an_app, an_instance

SERVICE = "skerry-web-0.service"
SERVE = "import http.server as h; print('serving', flush=True); h.test(h.SimpleHTTPRequestHandler, port=8080)"
RESOLVER = RUN / "net/resolv.conf"
SAME = (
    "test $(id -u) = $(stat -c %u /data/x) && grep -q hello /run/skerry/files/motd && test $SKERRY_APP = web"
)

CHECKS = {
    "http": Health(http="http://127.0.0.1:8080/"),
    "http-missing": Health(http="http://localhost:8080/nothing"),
    "tcp": Health(tcp=8080),
    "tcp-closed": Health(tcp=8081),
    "exec-same-user-files-volumes": Health(exec=("/bin/sh", "-c", SAME)),
    "exec-same-network": Health(
        exec=("/usr/bin/python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 8080))"),
        timeout_ms=10_000,
    ),
    "exec-may-write-its-volume": Health(exec=("/bin/sh", "-c", "echo y > /data/y")),
    "exec-may-not-write-elsewhere": Health(exec=("/bin/sh", "-c", "echo y > /etc/y")),
    "exec-fails": Health(exec=("/bin/sh", "-c", "exit 3")),
    "exec-same-namespace": Health(
        exec=("/bin/sh", "-c", "test $(readlink /proc/self/ns/net) = $(cat /data/net)")
    ),
    "exec-hangs": Health(exec=("/bin/sleep", "60"), timeout_ms=300),
}


def running(health: Health, networked: bool) -> Running:
    noted = "touch /data/x; readlink /proc/self/ns/net > /data/net; cp /etc/resolv.conf /data/resolver"
    run = ("/bin/sh", "-c", f'{noted}; exec /usr/bin/python3 -c "{SERVE}"')
    app = an_app(run=run, health=health, files={"motd": "hello"}, volumes={"data": Volume("/data")})
    made = render(an_instance(app), app, Policy(), Paths(), NodeFacts("n1", "x86_64", network=networked))
    assert isinstance(made, Rendered), made
    return Running(an_instance(app), AppRevision(1, app), made)


async def make_network(systemd: DbusSystemd, one: Running) -> None:
    """As the agent has it made: the plan is written, and the namespace waited for."""
    (STATE / "identity").mkdir(parents=True, exist_ok=True)
    (STATE / "identity/identity.json").touch()
    network = a_network(one.instance)
    telling = Telling(STATE, RUN)
    write_wanted(
        STATE,
        Plan(network, NodeName("n1"), {one.instance.id: one.instance.app}, {one.instance.app: AppNetwork()}),
    )
    started = await systemd.restart("skerry-net.service", 60)
    assert started.ok, started
    async with asyncio.timeout(60):
        while one.instance.id not in ((status := telling.status()) or Status()).spaces:
            assert not (status and status.trouble), status
            await asyncio.sleep(0.1)


def seen(one: Running) -> dict[str, str]:
    """What the instance saw when it started, and the namespace that was made for it."""
    data = Path(f"/var/lib/private/skerry-volumes/{one.instance.app}-{one.instance.number}/data")
    made = Path("/run/skerry/spaces/now", one.rendered.namespace)
    return {
        "namespace": (data / "net").read_text().strip(),
        "made": f"net:[{made.stat().st_ino}]" if one.rendered.namespace else "",
        "resolver": (data / "resolver").read_text(),
        "told": RESOLVER.read_text() if one.rendered.namespace else "",
    }


async def rehearse(networked: bool) -> dict[str, str | list[str]]:
    systemd = DbusSystemd()
    state = StateDir()
    state.prepare()
    one = running(CHECKS["http"], networked)
    if networked:
        await make_network(systemd, one)
    state.apply(State(None, {one.instance.id: one}))
    restored = await restore(state, systemd, Paths())
    found: dict[str, str | list[str]] = {
        "restored": list(restored.started),
        "problems": list(restored.problems),
    }
    await until_healthy(systemd, one)
    for name, health in CHECKS.items():
        entry = structs.replace(one.entry, app=structs.replace(one.entry.app, health=health))
        result = await check(systemd, structs.replace(one, entry=entry))
        found[name] = "ok" if result.ok else result.reason
    found |= seen(one)
    found["journal"] = [line.text async for line in journal.read(SERVICE, 50)]
    found["follow"] = await first_line_that_follows(systemd)
    shown = await systemd.units(["skerrycheck-*"])
    found["left"] = (
        [unit.name for unit in shown if unit.active == "failed"] if isinstance(shown, tuple) else ["?"]
    )
    systemd.close()
    return found


async def until_healthy(systemd: DbusSystemd, one: Running) -> None:
    for _ in range(200):
        if (await check(systemd, one)).ok:
            return
        await asyncio.sleep(0.1)  # that a program listens makes no signal


async def first_line_that_follows(systemd: DbusSystemd) -> str:
    async with asyncio.timeout(20):
        lines = journal.read(SERVICE, 0, follow=True)
        waiting = asyncio.ensure_future(anext(lines))
        changes = systemd.changes()
        assert isinstance(await anext(changes), Resync)
        while not waiting.done():
            await systemd.restart(SERVICE, 20)
            await asyncio.wait({waiting}, timeout=1)
        await lines.aclose()
        return waiting.result().text


if __name__ == "__main__":
    json.dump(asyncio.run(rehearse("networked" in sys.argv)), sys.stdout)
