"""What the acts of the demo stand on: narration, checks that are remembered, and eyes on the lab.

Owns how a fact is seen: systemd's own timestamps on the nodes (all nodes of a lab have one kernel and so one
CLOCK_MONOTONIC), and the same command line that people use. Must never pass a check that was not seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click
import msgspec
from msgspec import Struct

from skerry_protocol.messages import StepName

from ...api.views import AppView, EventView, NodeView
from ...loops.explain import Why
from .. import mesh
from ..client import Lab
from ..errors import LabError

T = TypeVar("T")
LOOK_S = 0.1
FIELDS = ("ActiveState", "MainPID", "ActiveEnterTimestampMonotonic", "InactiveEnterTimestampMonotonic")


class Unit(Struct, frozen=True):
    """A unit as its node's systemd has it. Times are seconds of CLOCK_MONOTONIC; 0 is never."""

    node: str
    name: str
    state: str
    pid: int
    up_since: float
    down_since: float

    @property
    def up(self) -> bool:
        return self.state == "active"


class _OwnCopy(Struct):
    app: str
    since_ms: int = 0


class _OwnStatus(Struct):
    """What `skerry-agent status --json` says, as far as it matters here."""

    instances: tuple[_OwnCopy, ...] = ()


class Stage:
    """See the module. `failed` lists the checks that did not hold."""

    def __init__(self, lab: Lab, nodes: Sequence[str]) -> None:
        self.lab = lab
        self.nodes = tuple(nodes)
        self.failed: list[str] = []
        self.held = 0
        self._began = time.monotonic()

    # Telling

    def act(self, title: str) -> None:
        """A heading."""
        click.secho(f"\n{title}", bold=True)

    def say(self, text: str) -> None:
        """A line of narration, with the seconds since the beginning."""
        click.echo(f"  {time.monotonic() - self._began:6.1f} s  {text}")

    def show(self, *words: str) -> None:
        """What a person would see: the command and its output."""
        click.secho(f"    $ skerry {' '.join(words)}", fg="cyan")
        for line in mesh.operator(self.lab, *words).rstrip().splitlines():
            click.echo(f"    {line}")

    def check(self, holds: bool, text: str) -> None:
        """One promise, seen to hold or not."""
        self.held += holds
        if not holds:
            self.failed.append(text)
        mark = click.style("ok  ", fg="green") if holds else click.style("FAIL", fg="red", bold=True)
        click.echo(f"  {mark}      {text}")

    def timed(self, what: str, work: Callable[[], T]) -> T:
        """Does it and says how long it took."""
        began = time.monotonic()
        result = work()
        self.say(f"{what} ({time.monotonic() - began:.1f} s)")
        return result

    # Looking

    def until(self, what: str, seen: Callable[[], bool], seconds: float) -> bool:
        """Looks until it is so; a check that failed where it is not so in time."""
        deadline = time.monotonic() + seconds
        while not seen():
            if time.monotonic() > deadline:
                self.check(False, f"{what} (waited {seconds:g} s)")
                return False
            time.sleep(LOOK_S)
        return True

    def wall(self) -> float:
        """Seconds since 1970: the clock of what nodes say."""
        return time.time()

    def now(self) -> float:
        """CLOCK_MONOTONIC, in seconds: the clock of the timestamps."""
        return time.monotonic()

    def unit(self, node: str, name: str) -> Unit:
        """One unit of a node that is on."""
        shown = self.lab.run(node, ["systemctl", "show", f"--property={','.join(FIELDS)}", name]).stdout
        values = dict(line.partition("=")[::2] for line in shown.splitlines())
        up, down = (int(values[field] or 0) / 1e6 for field in FIELDS[2:])
        return Unit(node, name, values["ActiveState"], int(values["MainPID"]), up, down)

    def copies(self, app: str, nodes: Sequence[str] | None = None) -> list[Unit]:
        """Every copy of an app that is up, on these nodes or on all that are on."""
        found = []
        for node in nodes or self.on():
            listed = self.lab.run(
                node,
                [
                    "systemctl",
                    "list-units",
                    "--plain",
                    "--no-legend",
                    "--state=active",
                    f"skerry-{app}-*.service",
                ],
            )
            found += [self.unit(node, line.split()[0]) for line in listed.stdout.splitlines() if line.strip()]
        return found

    def only(self, app: str) -> Unit:
        """The one copy of an app, where the story needs one to go on. Raises LabError."""
        found = self.copies(app)
        if not found:
            raise LabError(f"no copy of {app} runs anywhere")
        return found[0]

    def on(self) -> list[str]:
        """The nodes that are switched on."""
        return [one.name for one in self.lab.status().nodes if one.state == "running"]

    def all_copies(self, nodes: Sequence[str] | None = None) -> dict[tuple[str, str], int]:
        """The main process of every copy of everything: what must not change when nothing may move."""
        return {
            (one.node, one.name): one.pid
            for app in ("gauge", "web", "ledger")
            for one in self.copies(app, nodes)
        }

    def check_same(self, before: dict[tuple[str, str], int], text: str) -> None:
        """That all copies are those that were there `before`; else it says which are not."""
        now = self.all_copies()
        others = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        for node, unit in others:
            self.say(f"{unit} on {node}: process {before.get((node, unit))}, now {now.get((node, unit))}")
        self.check(not others, text)

    def apps(self) -> dict[str, AppView]:
        """The hub's word on apps."""
        return {view.name: view for view in self._asked(tuple[AppView, ...], "apps", "--json")}

    def hub_nodes(self) -> dict[str, NodeView]:
        """The hub's word on nodes."""
        return {view.name: view for view in self._asked(tuple[NodeView, ...], "nodes", "--json")}

    def events(self) -> tuple[EventView, ...]:
        """The hub's newest events."""
        return self._asked(tuple[EventView, ...], "events", "--json", "-n", "500")

    def told(self, app: str, node: str) -> tuple[float, ...]:
        """The moments (seconds since 1970, by the node's clock) of what a node said of its copy of an app."""
        copies = self._asked(Why, "why", app, "--json").copies
        names = {step.value for step in StepName}
        return tuple(
            stage.since_ms / 1000
            for copy in copies
            if copy.node == node
            for stage in copy.stages
            if stage.name in names
        )

    def noted(self, app: str, node: str) -> float:
        """Since when (seconds since 1970) a copy is where it is, by its own node's word; 0: it has none."""
        said = self.lab.run(node, ["skerry-agent", "status", "--json"], check=False)
        if said.returncode:
            return 0.0  # its agent is on its way up
        copies = msgspec.json.decode(said.stdout, type=_OwnStatus).instances
        return max((copy.since_ms / 1000 for copy in copies if copy.app == app), default=0.0)

    def healthy(self) -> bool:
        """Whether the hub says that every app is as wanted."""
        return all(view.state == "healthy" for view in self.apps().values())

    def _asked(self, kind: type[T], *words: str) -> T:
        try:
            return msgspec.json.decode(mesh.operator(self.lab, *words), type=kind)
        except msgspec.MsgspecError as error:
            raise LabError(f"cannot read what 'skerry {' '.join(words)}' says: {error}") from error


APPS = Path(__file__).parent / "apps.toml"
TALK = APPS.with_name("talk.toml")
