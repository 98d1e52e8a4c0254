"""Inside of a node: an instance as rendered, in its real sandbox; its checks from within, and its journal.

As a program it prints one JSON object: what each look at the instance found.
"""

import asyncio
import json
import sys

from msgspec import structs

from skerry_agent.disk.disk import StateDir
from skerry_agent.health.checks import check
from skerry_agent.switch.target import Running, State
from skerry_agent.systemd import Resync
from skerry_agent.systemd.dbus import DbusSystemd
from skerry_agent.units.policy import Policy
from skerry_agent.units.render import NodeFacts, Paths, Rendered, render
from skerry_agent.units.restore import restore
from skerry_agent.view import journal
from skerry_protocol.app import Health, Volume
from skerry_protocol.messages import AppRevision

from .builders import an_app, an_instance

SERVICE = "skerry-web-0.service"
SERVE = "import http.server as h; print('serving', flush=True); h.test(h.SimpleHTTPRequestHandler, port=8080)"
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
    "exec-hangs": Health(exec=("/bin/sleep", "60"), timeout_ms=300),
}


def running(health: Health) -> Running:
    run = ("/bin/sh", "-c", f'touch /data/x; exec /usr/bin/python3 -c "{SERVE}"')
    app = an_app(run=run, health=health, files={"motd": "hello"}, volumes={"data": Volume("/data")})
    made = render(an_instance(app), app, Policy(), Paths(), NodeFacts("n1", "x86_64"))
    assert isinstance(made, Rendered), made
    return Running(an_instance(app), AppRevision(1, app), made)


async def rehearse() -> dict[str, str | list[str]]:
    systemd = DbusSystemd()
    state = StateDir()
    state.prepare()
    one = running(CHECKS["http"])
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
    json.dump(asyncio.run(rehearse()), sys.stdout)
