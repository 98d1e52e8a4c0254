"""A hub and two nodes that join it by the commands that people type, with the kernel's WireGuard: traffic by name, a
cold boot with no hub, and back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from skerry_protocol.jointoken import DEFAULT_PORT
from tests.vm.conftest import Says
from tests.vm.image import ROOT, address
from tests.vm.machine import Done, Machine, until

BIN = ROOT / ".venv/bin"
DATA = "/var/lib/skerry-hub"
DB = """
[app.db]
run = ["/usr/bin/python3", "-m", "http.server", "--bind", "::", "8080"]
availability = "best-effort"
ports = { http = 8080 }
[app.db.place]
nodes = ["n2"]
"""
WEB = """
[app.web]
run = ["sleep", "infinity"]
availability = "best-effort"
reaches = ["db"]
[app.web.place]
nodes = ["n1"]
"""
ASKS = "exec 3<>/dev/tcp/db.skerry/8080 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q 'Directory listing' <&3"


@dataclass
class Mesh:
    hub: Machine
    nodes: dict[str, Machine]

    def start_hub(self) -> None:
        """Until it answers an operator."""
        began = ("systemd-run", "--unit=skerry-hub", f"{BIN}/skerry-hub", "run", f"--data={DATA}")
        self.hub.text(*began, f"--advertise={address(1)}")
        until("the hub answers", lambda: self.asked("hub", "status").rc == 0)

    def asked(self, *words: str, data: str = "") -> Done:
        settings = f"SKERRY_CONFIG={DATA}/operator.toml"
        return self.hub.run("env", settings, f"{BIN}/skerry", *words, data=data.encode())

    def skerry(self, *words: str, data: str = "") -> str:
        done = self.asked(*words, data=data)
        assert done.rc == 0, f"{words}: {done.out}{done.err}"
        return done.out

    def heard(self) -> dict[str, bool]:
        """Whether the hub has heard each node since it began."""
        nodes = json.loads(self.skerry("nodes", "--json"))
        return {one["name"]: one["heard_at_ms"] is not None for one in nodes}

    def status(self, node: str) -> str:
        return self.nodes[node].text(f"{BIN}/skerry-agent", "status")

    def talks(self) -> bool:
        """Whether web gets an answer from db, by its name, with what its unit sees."""
        one = self.nodes["n1"]
        pid = one.text("systemctl", "show", "--value", "--property=MainPID", "skerry-web-1.service").strip()
        inside = ("nsenter", f"--target={pid}", "--mount", "--net", "--", "timeout", "10", "bash", "-c", ASKS)
        return pid != "0" and one.run(*inside).rc == 0


@pytest.fixture(scope="module")
def mesh(machines: Callable[[str, int], Machine]) -> Mesh:
    made = Mesh(machines("hub", 1), {"n1": machines("n1", 2), "n2": machines("n2", 3)})
    for machine in (made.hub, *made.nodes.values()):
        machine.on()
    for machine in made.nodes.values():
        machine.text("systemctl", "enable", "skerry.target", "skerry-restore.service", "skerry-agent.service")
    init = (f"{BIN}/skerry-hub", "init", "--mesh=coast", "--region=north", f"--data={DATA}")
    made.hub.text(*init, f"--address={address(1)}:{DEFAULT_PORT}")
    made.start_hub()
    return made


def test_machines_that_join_by_one_token_run_what_is_applied_and_talk_by_name(mesh: Mesh) -> None:
    token = mesh.skerry("token", "create", "--reusable", "--limit", "2").split()[0]
    for name, machine in mesh.nodes.items():
        machine.text(f"{BIN}/skerry-agent", "join", token, "--name", name)
    mesh.skerry("apply", "-", "--yes", data=DB + WEB)
    until("web gets its answer from db", mesh.talks)
    for name in mesh.nodes:
        assert "by the kernel" in mesh.status(name)
    until("the way is direct", lambda: "way        to n2: directly" in mesh.status("n1"))


def test_a_node_whose_power_was_cut_does_its_work_again_with_no_hub(mesh: Mesh, says: Says) -> None:
    one = mesh.nodes["n1"]
    mesh.hub.cut()
    one.cut()
    one.on()
    until("web gets its answer from db", mesh.talks)
    says(f"cold boot with no hub: web reached db by name {time.monotonic() - one.since:.1f} s after power-on")


def test_the_hub_comes_back_and_governs_them_again(mesh: Mesh) -> None:
    mesh.hub.on()
    mesh.start_hub()
    until("both are back", lambda: all(mesh.heard().values()))
    mesh.skerry("remove", "web", "--yes")
    gone = ("systemctl", "is-active", "--quiet", "skerry-web-1.service")
    until("web has ended", lambda: mesh.nodes["n1"].run(*gone).rc != 0)
