"""Eyes and hands of the system tests: a lab with a joined mesh, looked at as people and machines see it.

Acts through the commands that people use; looks through the operator's API and each node's systemd. All nodes of a lab
have one kernel, and so one CLOCK_MONOTONIC: moments of different nodes may be compared.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from skerry_agent.switch import executor
from skerry_agent.view import localclient
from skerry_agent.view.status import StatusView
from skerry_hub.api.views import AppView, EventView, NodeView
from skerry_hub.api.views import StatusView as RegionView
from skerry_hub.cli.client import Client, api
from skerry_hub.cli.errors import CliError
from skerry_hub.cli.settings import load
from skerry_hub.lab import Lab, LabError, enter, mesh
from skerry_hub.lab.client import Result
from skerry_hub.lab.layout import Host
from skerry_hub.loops.explain import Why
from tests.forking import Forks

T = TypeVar("T")
LOOK_S = 0.1
FIRST_LOOK_S, SELDOM_S = 0.05, 0.4
SOON_S = 20.0
OWN = {name.removesuffix(".service").partition("@")[0] for name in executor.OWN}
TIMES = (
    "InactiveExitTimestampMonotonic",
    "ActiveEnterTimestampMonotonic",
    "ActiveExitTimestampMonotonic",
    "InactiveEnterTimestampMonotonic",
)
FIELDS = ("Id", "ActiveState", "SubState", "MainPID", "InvocationID", *TIMES)


class Unit(Struct, frozen=True):
    """A unit as its node's systemd has it. Moments are seconds of CLOCK_MONOTONIC; 0 is never.

    `starting_since`: its start began; `up_since`: it became active; `stopping_since`: it was told to
    stop; `down_since`: its last process was gone.
    """

    node: str
    name: str
    state: str
    sub: str
    pid: int
    run: str
    starting_since: float
    up_since: float
    stopping_since: float
    down_since: float

    @property
    def up(self) -> bool:
        return self.state == "active"


class World:
    """One mesh. `until` fails the test where what it waits for does not come. `commands`: what `skerry` is forked from;
    without, it is loaded each time, as people have it."""

    def __init__(self, lab: Lab, nodes: Sequence[str], folder: Path, commands: Forks | None = None) -> None:
        self.lab = lab
        self._commands = commands
        self.nodes = tuple(nodes)
        self.folder = folder
        self._files = 0

    # What an operator does

    def skerry(self, *words: str, timeout: float = 120) -> str:
        """What `skerry WORDS` prints. It has to succeed."""
        done = self.ask(*words, timeout=timeout)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise LabError(f"cannot run 'skerry {' '.join(words)}': exit code {done.returncode}, {said}")
        return done.stdout

    def ask(self, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """As `skerry`, however it ends."""
        if self._commands is None:
            return mesh.ask(self.lab, *words, check=False, timeout=timeout)
        env = {"SKERRY_CONFIG": str(mesh.settings(self.lab))}
        return self._commands.run("skerry", *words, env=env, timeout=timeout)

    def file(self, text: str) -> str:
        """An app file with this text."""
        self._files += 1
        path = self.folder / f"apps{self._files}.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    def apply(self, text: str, *words: str) -> str:
        """Applies it and waits until everything in it is healthy."""
        return self.skerry("apply", self.file(text), "--timeout", "40s", *words)

    def begin(self, text: str, *words: str) -> None:
        """Applies it without waiting."""
        self.skerry("apply", self.file(text), "--no-wait", *words)

    # What the hub says

    @property
    def _hub(self) -> Client:
        return Client(load((mesh.settings(self.lab),)), 3.0, 10.0)

    def apps(self) -> dict[str, AppView]:
        return {view.name: view for view in self._hub.get(tuple[AppView, ...], "/api/apps")}

    def why(self, app: str) -> Why:
        return self._hub.get(Why, api("apps", app, "why"))

    def healthy(self, *apps: str) -> bool:
        """Whether the hub says that these are as wanted."""
        return all(self.why(app).state == "healthy" for app in apps)

    def hub_node(self, name: str) -> NodeView:
        return self._hub.get(NodeView, api("nodes", name))

    def hub_nodes(self) -> set[str]:
        """The names of all nodes."""
        return {view.name for view in self._hub.get(tuple[NodeView, ...], "/api/nodes")}

    def loud(self) -> str:
        """What everybody must see of the region."""
        return "\n".join(self._hub.get(RegionView, "/api/status").loud)

    def ails(self, name: str, code: str) -> bool:
        """Whether the hub knows of such a condition of this node."""
        return any(one.startswith(f"{code}:") for one in self.hub_node(name).conditions)

    def events(self) -> tuple[EventView, ...]:
        """The newest."""
        return self._hub.get(tuple[EventView, ...], "/api/events", limit=1000)

    def node_of(self, app: str) -> str:
        """Where an app's only copy is placed."""
        (copy,) = self.why(app).copies
        assert copy.node is not None
        return copy.node

    # What happens in machines

    def run(self, node: str, *argv: str, check: bool = True, timeout: float = 30.0) -> Result:
        return self.lab.run(node, argv, check=check, timeout=timeout)

    def text(self, node: str, *argv: str) -> str:
        return self.run(node, *argv).stdout.strip()

    def systemctl(self, node: str, *words: str, check: bool = True) -> Result:
        return self.run(node, "systemctl", *words, check=check)

    def shown(self, node: str, unit: str, field: str) -> str:
        """One property of a unit."""
        return self.text(node, "systemctl", "show", f"--property={field}", "--value", unit)

    def unit(self, node: str, name: str) -> Unit:
        """Also of one that systemd does not know."""
        text = self.text(
            node, "systemctl", "show", f"--property={','.join(FIELDS)}", f"skerry-{name}.service"
        )
        return _unit(node, text)

    def units(self, node: str) -> dict[str, Unit]:
        """Every instance's service that systemd has loaded on the node, by its instance's name."""
        text = self.text(node, "systemctl", "show", f"--property={','.join(FIELDS)}", "skerry-*.service")
        found = [_unit(node, part) for part in text.split("\n\n") if part.strip()]
        return {one.name: one for one in found if f"skerry-{one.name}".partition("@")[0] not in OWN}

    def running(self, nodes: Iterable[str] | None = None) -> dict[tuple[str, str], str]:
        """What runs, as (node, instance's name) → its run; the same run is the same processes, never restarted."""
        return {
            (node, unit.name): f"{unit.run} {unit.pid}"
            for node in nodes or self.on()
            for unit in self.units(node).values()
            if unit.up
        }

    def copies(self, app: str, nodes: Iterable[str] | None = None) -> list[Unit]:
        """Copies of an app that are up."""
        found = [unit for node in nodes or self.on() for unit in self.units(node).values()]
        return [unit for unit in found if unit.up and unit.name.rpartition("-")[0] == app]

    def on(self) -> list[str]:
        """Nodes that are switched on."""
        return [one.name for one in self.lab.status().nodes if one.state == "running"]

    def agent_status(self, node: str) -> StatusView:
        """As `skerry-agent status --json`, asked of the agent itself: loading that command is most of a look."""
        pid = enter.node_pid(self.lab.paths, Host(node))
        try:
            said = list(localclient.ask("status", path=Path(f"/proc/{pid}/root{localclient.SOCKET}")))
        except localclient.AgentError as error:
            raise LabError(str(error)) from error
        return msgspec.convert(said[0], StatusView)

    # Waiting

    def until(self, what: str, seen: Callable[[], T | None], seconds: float = SOON_S) -> T:
        """Looks until it is so. A hub or machine that does not answer is not so yet.

        What takes long is looked at less often: a look is a program on a machine, and others want the processors.
        """
        deadline = time.monotonic() + seconds
        pause = FIRST_LOOK_S
        while True:
            try:
                found, error = seen(), ""
            except (CliError, LabError) as failure:
                found, error = None, f": {failure}"
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"not in {seconds:g} s: {what}{error}")
            time.sleep(pause)
            pause = min(pause * 1.5, SELDOM_S)

    def holds(self, what: str, seen: Callable[[], bool], seconds: float) -> None:
        """It is so, and stays so for this long: only time shows that something does not happen."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert seen(), what
            time.sleep(LOOK_S)

    def comes_up(self, app: str, nodes: Iterable[str], seconds: float = SOON_S) -> Unit:
        """A copy of the app on one of these nodes, when there is one."""
        return self.until(f"{app} on {nodes}", lambda: self.copies(app, nodes), seconds)[0]

    def settled(self, *apps: str, seconds: float = SOON_S) -> None:
        """Until the hub says that these are as wanted."""
        self.until(f"{', '.join(apps)} healthy", lambda: self.healthy(*apps), seconds)

    def story(self) -> str:
        """What a person would look at after a failure: all apps, and what hub and agents wrote last."""
        parts = [self.ask("apps").stdout, self.ask("events", "-n", "15").stdout]
        parts += ["hub:", "\n".join(self.lab.hub_log.read_text("utf-8", "replace").splitlines()[-15:])]
        for node in self.on():
            said = self.run(
                node, "journalctl", "-u", "skerry-agent", "-n", "15", "-o", "short-monotonic", check=False
            )
            loud = self.run(node, "journalctl", "-p", "err", "-n", "5", "-o", "short-monotonic", check=False)
            status = self.run(node, "skerry-agent", "status", check=False)
            parts += [f"{node}:", said.stdout, f"errors:\n{loud.stdout}", status.stdout]
        return "\n".join(parts)

    def mend(self) -> None:
        """Everything that a test may have broken: links, power, the hub, agents."""
        status = self.lab.status()
        for host in (*status.nodes, status.hub):
            if host.cut is not None:
                self.lab.heal(host.name)
        if status.hub.state != "running":
            self.lab.hub_start()
        off = [one.name for one in status.nodes if one.state == "off"]
        if off:
            self.lab.boot(*off)
        for node in self.nodes:
            self.systemctl(node, "start", "--no-block", "skerry-agent.service", check=False)


def _unit(node: str, text: str) -> Unit:
    values = dict(line.partition("=")[::2] for line in text.splitlines())
    moments = [int(values[field] or 0) / 1e6 for field in TIMES]
    name = values["Id"].removeprefix("skerry-").removesuffix(".service")
    return Unit(
        node,
        name,
        values["ActiveState"],
        values["SubState"],
        int(values["MainPID"]),
        values["InvocationID"],
        *moments,
    )
