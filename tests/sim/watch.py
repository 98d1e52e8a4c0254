"""Those who watch: the promises as invariants over what machines really do.

Owns what counts as a breach. Looks at units as systemd has them and at what each disk accepted, never at what Skerry
says of itself, but for one thing: which assignment a node had accepted when a unit stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from skerry_agent.systemd.port import UnitChanged
from skerry_protocol.messages import Version

from .accepted import Accepted
from .declared import Declared
from .machine import Machine
from .world import World


class Broken(AssertionError):
    """A promise was broken."""


@dataclass(frozen=True)
class Fenced:
    """An app of which each copy may live once: how long it may take to stop (s)."""

    app: str
    stop_s: float


@dataclass
class Copy:
    """One fenced copy on one machine: up since, and when it was told to stop (None: it was not)."""

    since: float
    told: float | None = None


@dataclass
class Watch:
    """See the module. `fenced` by app name."""

    world: World
    fenced: Mapping[str, Fenced]
    breaches: list[str] = field(default_factory=list)
    _copies: dict[tuple[str, Machine], Copy] = field(default_factory=dict)
    _accepted: dict[Machine, Version] = field(default_factory=dict)
    _before: dict[Machine, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._declared = Declared(self.world, self.breach)
        Accepted(self.breach)

    def add(self, machine: Machine) -> None:
        """Watches one more machine."""
        machine.systemd.watch(lambda change: self._changed(machine, change))

    def breach(self, text: str) -> None:
        """Says what was broken."""
        self.world.say(f"BROKEN {text}")
        self.breaches.append(text)

    def _changed(self, machine: Machine, change: UnitChanged) -> None:
        name = copy_of(change.name)
        if name is None:
            return
        app = name.rpartition("-")[0]
        up = change.active == "active"
        if app in self.fenced:
            self._fenced(machine, name, self.fenced[app], up)
        elif not up:
            self._stopped(machine, name)

    # Never two where one was promised

    def _fenced(self, machine: Machine, name: str, app: Fenced, up: bool) -> None:
        now = self.world.loop.time()
        copy = self._copies.get((name, machine))
        if not up:
            if copy is not None and copy.told is None:
                # A stop that is waited for is over when it is; one by a timer may take all of its time.
                copy.told = now - app.stop_s if machine.systemd.awaited else now
                self.world.say(f"{machine.name}: {name} is told to stop")
            return
        self.world.say(f"{machine.name}: {name} starts")
        self._copies[name, machine] = Copy(now)
        for (other, elsewhere), one in self._copies.items():
            if (
                other == name
                and elsewhere is not machine
                and (one.told is None or one.told + app.stop_s > now)
            ):
                self.breach(f"{name} lives on {machine.name} and on {elsewhere.name}")

    def lost_power(self, machine: Machine) -> None:
        """Everything on it is gone at once."""
        for key in [key for key in self._copies if key[1] is machine]:
            del self._copies[key]

    # Running work is not harmed

    def _stopped(self, machine: Machine, name: str) -> None:
        if not machine.on or machine.agent is None:
            if machine.on:
                self.breach(f"{name} was stopped on {machine.name} with no agent there")
            return
        node = machine.agent.node
        assignment = node.assignment
        running = next((one for one in node.applied.instances.values() if _name(one.instance) == name), None)
        wanted = (
            next((one for one in assignment.instances if _name(one) == name), None) if assignment else None
        )
        if running is None or wanted is None or assignment is None:
            if assignment is None:
                self.breach(f"{name} was stopped on {machine.name}, which has no readable assignment")
            return
        # A hub that was put back may give a revision's number to something else.
        same = wanted.id == running.instance.id and assignment.app_of(wanted) == running.entry
        if same and not node.overrides:
            self.breach(f"{name} was stopped on {machine.name}, which is to run it")

    # Never backwards

    def look(self) -> None:
        """What each machine has accepted, and what the hub says of it."""
        self._declared.look()
        for machine in self.world.machines.values():
            if machine.agent is None or machine.agent.node.accepted is None:
                continue
            version = machine.agent.node.accepted.version
            before = self._accepted.get(machine)
            if before is not None and version < before:
                self.breach(f"{machine.name} went back from {before} to {version}")
            self._accepted[machine] = version

    async def keep_looking(self, every_s: float) -> None:
        """Until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(every_s)

    # A cold boot needs nobody

    def before_boot(self, machine: Machine) -> None:
        """The power goes: what must be up again."""
        if machine.agent is None:
            self._before[machine] = set()
            return
        node = machine.agent.node
        wanted = {(one.id, one.revision) for one in node.assignment.instances} if node.assignment else set()
        running = machine.systemd.running()
        self._before[machine] = {
            one.rendered.service
            for one in node.applied.instances.values()
            if one.rendered.lease is None
            and (one.instance.id, one.entry.revision) in wanted
            and one.rendered.service in running
        }

    def after_boot(self, machine: Machine) -> None:
        """It has had time to come up, if it is still on."""
        if not machine.on:
            return
        missing = self._before.pop(machine, set()) - machine.systemd.running()
        if machine.agent is not None and machine.agent.node.assignment is not None:
            here = {_name(one) for one in machine.agent.node.assignment.instances}
            missing = {unit for unit in missing if copy_of(unit) in here}
        if missing:
            self.breach(f"{', '.join(sorted(missing))} did not come up on {machine.name} after a boot")


def copy_of(unit: str) -> str | None:
    """`web-1` of `skerry-web-1.service`; None for what is no copy."""
    if not (unit.startswith("skerry-") and unit.endswith(".service")):
        return None
    name = unit.removeprefix("skerry-").removesuffix(".service")
    return name if name.rpartition("-")[2].isdecimal() else None


def _name(instance: object) -> str:
    app, number = instance.app, instance.number  # type: ignore[attr-defined]
    return f"{app}-{number}"
