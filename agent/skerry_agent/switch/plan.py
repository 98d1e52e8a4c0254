"""(applied, target, observed) → actions, what waits, and what is to be fetched. Pure.

Owns what is done to reach an assignment, and in which order: removals; content and unit files; one daemon-reload, and
only where systemd would otherwise use an old text; then a start, a restart or a live change per instance. Must never
touch an instance that does not change, stop one because something of it is missing, delete data, or name a file that
is not one of Skerry's own. An unchanged instance that an admin stopped stays stopped.
"""

from __future__ import annotations

from msgspec import Struct

from skerry_protocol.app import Artifact
from skerry_protocol.ids import InstanceId
from skerry_protocol.messages import StepName, StepState

from ..network.records import Status
from ..network.wanted import waits
from ..units.leaseunits import length_of, shared
from ..units.render import Rendered
from .actions import (
    Action,
    Begin,
    CheckStop,
    DisableUnit,
    DropProperties,
    EnableUnit,
    Finish,
    Reload,
    RemoveInstance,
    RemoveUnit,
    RestartUnit,
    SetProperties,
    Settle,
    StartUnit,
    StopUnit,
    SwitchTree,
    WriteUnit,
)
from .observed import Observed
from .putback import by_name, tree
from .strangers import fenced_end
from .target import Running, State, Target, same_place, same_process


class Waiting(Struct, frozen=True):
    """An instance that does not go ahead, at which step, and why. It keeps what it ran before."""

    instance: InstanceId
    step: StepName
    state: StepState
    reason: str


class Plan(Struct, frozen=True):
    """What to do, in order. `fetches`: the archives that are wanted and not here, by sha256.

    `gone`: unit files of instances that do not change, which somebody removed: they are put back.
    """

    actions: tuple[Action, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    fetches: tuple[Artifact, ...] = ()
    gone: tuple[str, ...] = ()


def plan(
    applied: State,
    target: Target,
    observed: Observed,
    artifacts: frozenset[str],
    network: Status | None = None,
) -> Plan:
    """Everything to do now to get from `applied` to `target`.

    `artifacts` are those unpacked on this node; `network` is what skerry-net says, if it says anything.
    """
    return _Planner(applied, target, observed, artifacts, network).plan()


class _Planner:
    """One planning; its lists become the plan's phases."""

    def __init__(
        self,
        applied: State,
        target: Target,
        observed: Observed,
        artifacts: frozenset[str],
        network: Status | None,
    ) -> None:
        self.applied, self.target, self.seen = applied, target, observed
        self.artifacts, self.network = artifacts, network
        # What will be so once the actions planned up to here are done.
        self.files, self.links, self.active = dict(observed.files), set(observed.links), set(observed.active)
        self.waiting: list[Waiting] = []
        self.fetches: dict[str, Artifact] = {}
        self.blocked = False
        self.go: list[Running] = []
        self.gone: list[InstanceId] = []
        self.kept: list[InstanceId] = []

    def plan(self) -> Plan:
        self._sort_out()
        # Before any removal: an instance that goes may leave its file to one that takes over its unit's name.
        changing = [one.instance.id for one in self.go if self._old(one) != one.rendered]
        begins = [Begin(name) for name in (*self.gone, *changing)]
        removals = [action for name in self.gone for action in self._remove(name)]
        missing = self._missing()
        writes = self._write_shared() + missing + [action for one in self.go for action in self._write(one)]
        reload: list[Action] = [Reload()] if self._needs_reload(removals + writes) else []
        checks = [action for one in self.go for action in self._check_and_enable(one)]
        relink: list[Action] = [Reload()] if self._needs_relink(checks) else []
        switches = [action for one in self.go for action in self._switch(one)]
        ends = [*self._unfit(), *self._unused_leases(), *self._finish()]
        actions = (
            *begins,
            *self._strangers(),
            *removals,
            *writes,
            *reload,
            *checks,
            *relink,
            *switches,
            *ends,
        )
        fetches = tuple(self.fetches[key] for key in sorted(self.fetches))
        gone = tuple(action.name for action in missing if isinstance(action, WriteUnit))
        return Plan(actions, tuple(self.waiting), fetches, gone)

    def _strangers(self) -> list[Action]:
        every = [one.rendered for one in self.go] + self._renderings(sorted(self.applied.names()))
        known = {unit for one in every for unit in one.units}
        return fenced_end(self.seen.files, self.seen.links, self.seen.active, known)

    # Who goes ahead, who goes, who keeps what it has.

    def _sort_out(self) -> None:
        self.gone = sorted(self.applied.names() - {*self.target.instances, *self.target.refused})
        for name, reasons in sorted(self.target.refused.items()):
            self._keep(name, StepName.VERIFIED, StepState.FAILED, "; ".join(reasons))
        for name in sorted(self.target.idle):
            self.waiting.append(Waiting(name, StepName.STARTED, StepState.HELD, "an override holds it back"))
        for one in by_name(self.target.instances):
            self._sort_out_one(one)

    def _sort_out_one(self, one: Running) -> None:
        name, digest = one.instance.id, one.rendered.artifact
        if digest is not None and digest not in self.artifacts:
            artifact = next(item for item in one.entry.app.artifacts.values() if item.sha256 == digest)
            self.fetches[digest] = artifact
            self._keep(name, StepName.FETCHED, StepState.WAITING, f"artifact {digest[:12]} is not here yet")
        elif self.applied.of(name) == (one,) and name in self.applied.instances:
            self.kept.append(name)
        elif one.rendered.namespace and (wait := waits(name, self.network)) is not None:
            self._keep(name, StepName.NETWORK, *wait)
        else:
            self.go.append(one)

    def _keep(self, name: InstanceId, step: StepName, state: StepState, reason: str) -> None:
        self.waiting.append(Waiting(name, step, state, reason))
        self.kept.append(name)
        # Its lease may be longer than the new assignment says, so the hub must not count by the new one yet.
        self.blocked = self.blocked or any(one.rendered.lease is not None for one in self.applied.of(name))

    def _renderings(self, names: list[InstanceId]) -> list[Rendered]:
        return [one.rendered for name in names for one in self.applied.of(name)]

    def _old(self, one: Running) -> Rendered | None:
        """What is surely in force of an instance; None where it is new, or was left half done."""
        old = self.applied.instances.get(one.instance.id)
        return old.rendered if old and one.instance.id not in self.applied.pending else None

    # Phases.

    def _remove(self, name: InstanceId) -> list[Action]:
        """Disabled first, so that a reboot in between does not bring it back."""
        rest = [*(one.rendered for one in self.go), *self._renderings(self.kept)]
        still = {unit for other in rest for unit in other.units}
        found: list[Action] = []
        for old in self._renderings([name]):
            found += self._unlink(name, old) + self._stops(name, old)
            found += self._drops(name, sorted(set(old.units) - still))
        found += self._leftovers(name)
        found += [] if name in self.target.idle else [RemoveInstance(name)]
        return [*found, Settle(name)]

    def _unlink(self, name: InstanceId, old: Rendered) -> list[Action]:
        link = (old.wanted_by, old.starts)
        if link not in self.links:
            return []
        self.links.discard(link)
        return [DisableUnit(name, old.starts, old.wanted_by)]

    def _stops(self, name: InstanceId, old: Rendered) -> list[Action]:
        """A timer goes first, so that it does not start what was just stopped.

        What seems to be down is stopped as well where a timer or a lease could start it before the plan gets there.
        """
        units = sorted(old.units, key=lambda unit: (unit != old.starts, unit))
        known = self.seen.loaded | self.active
        return [StopUnit(name, unit) for unit in units if old.lease is not None or unit in known]

    def _drops(self, name: InstanceId | None, units: list[str]) -> list[Action]:
        found: list[Action] = [RemoveUnit(name, unit) for unit in units if unit in self.files]
        self.files = {unit: text for unit, text in self.files.items() if unit not in units}
        return found

    def _texts(self, name: InstanceId | None, texts: dict[str, str]) -> list[Action]:
        found: list[Action] = [
            WriteUnit(name, unit, text)
            for unit, text in sorted(texts.items())
            if self.files.get(unit) != text
        ]
        self.files |= texts
        return found

    def _write_shared(self) -> list[Action]:
        needed = [*(one.rendered for one in self.go), *self._renderings(self.kept)]
        lengths = sorted({one.lease.length_ms for one in needed if one.lease})
        return [action for length in lengths for action in self._texts(None, shared(length))]

    def _missing(self) -> list[Action]:
        """Without its file a unit that ends is not started again. One that was changed by hand stays until a boot."""
        return [
            action
            for name in self.kept
            for old in self._renderings([name])
            for action in self._texts(
                name, {unit: text for unit, text in old.units.items() if unit not in self.files}
            )
        ]

    def _write(self, one: Running) -> list[Action]:
        name, old, new = one.instance.id, self._old(one), one.rendered
        if old == new:
            return []
        found: list[Action] = []
        for other in self._renderings([name]):
            if (other.starts, other.wanted_by) != (new.starts, new.wanted_by):
                # Stopped before its files say otherwise: what systemd reads then would no longer end it with its lease.
                found += self._unlink(name, other) + self._stops(name, other)
                found += self._drops(name, sorted(set(other.units) - set(new.units)))
        found += tree(one, self.seen) + self._texts(name, new.units)
        if old is not None:
            return found + self._live(name, old, new)
        return found + (self._live_again(one) if self._alike(one) else self._leftovers(name))

    def _alike(self, one: Running) -> bool:
        """Whether a switch that broke off left no doubt: a process of this instance is what `one` would start."""
        others = self.applied.of(one.instance.id)
        return bool(others) and all(same_place(it, one) and same_process(it, one) for it in others)

    def _settled_alike(self, one: Running) -> bool:
        old = self.applied.instances.get(one.instance.id)
        return old is not None and same_process(old, one)

    def _live_again(self, one: Running) -> list[Action]:
        """What a live change that broke off may not have set yet."""
        name, new = one.instance.id, one.rendered
        others = self._renderings([name])
        changed = {
            key: value
            for key, value in new.properties.items()
            if any(other.properties.get(key) != value for other in others)
        }
        if not changed or new.service not in self.active:
            return self._leftovers(name)
        return [SetProperties(name, new.service, changed), DropProperties(name, new.service)]

    def _leftovers(self, name: InstanceId) -> list[Action]:
        """A live change that broke off may have left its drop-ins, which would win over the unit file."""
        services = {one.rendered.service for one in self.applied.pending.get(name, ())}
        return [DropProperties(name, service) for service in sorted(services)]

    def _live(self, name: InstanceId, old: Rendered, new: Rendered) -> list[Action]:
        """SetUnitProperties where nothing else changed: no restart, and no drop-in that would outlive it."""
        changed = {key: value for key, value in new.properties.items() if old.properties.get(key) != value}
        if not changed or old.restart_key != new.restart_key or new.service not in self.active:
            return []
        return [SetProperties(name, new.service, changed), DropProperties(name, new.service)]

    def _needs_reload(self, before: list[Action]) -> bool:
        """A unit that systemd does not have loaded is read afresh; any other keeps its old text without a reload."""
        known = self.seen.loaded | self.seen.active
        written = {action.name for action in before if isinstance(action, WriteUnit | RemoveUnit)}
        changing = [one.rendered for one in self.go if self._old(one) != one.rendered]
        going = {unit for one in (*changing, *self._renderings(self.gone)) for unit in one.units}
        return bool(written & known or going & self.seen.stale or (going & known and self.gone))

    def _check_and_enable(self, one: Running) -> list[Action]:
        """A fenced unit is wanted by its lease only after its stop timeout was seen to fit."""
        name, new = one.instance.id, one.rendered
        found: list[Action] = []
        if self._old(one) == new:
            return found
        if new.lease is not None:
            found.append(CheckStop(name, new.service, new.lease.stop_ms))
        if (new.wanted_by, new.starts) not in self.links:
            self.links.add((new.wanted_by, new.starts))
            found.append(EnableUnit(name, new.starts, new.wanted_by))
        return found

    def _needs_relink(self, checks: list[Action]) -> bool:
        """A loaded lease target does not see a new wants link, and would open without the new copy."""
        enabled = {action.target for action in checks if isinstance(action, EnableUnit)}
        leases = {one.rendered.wanted_by for one in self.go if one.rendered.lease}
        return bool(enabled & leases & (self.seen.loaded | self.seen.active))

    def _switch(self, one: Running) -> list[Action]:
        name, old, new = one.instance.id, self._old(one), one.rendered
        if old == new:
            return [Settle(name)]
        found: list[Action] = []
        if self.seen.current.get(name) != new.tree_name:
            found.append(SwitchTree(name, new.tree_name))
        lease = new.wanted_by if new.lease else None
        if lease is None or lease in self.seen.active:
            if name in self.applied.pending and self._alike(one):
                found.append(StartUnit(name, new.starts, lease))
            elif name in self.applied.pending or (old is None and self._foreign(one)):
                # Half done, or of no record: nobody knows from what it was started.
                found.append(RestartUnit(name, new.starts, lease))
            elif old is None or (old.starts, old.wanted_by) != (new.starts, new.wanted_by):
                found.append(StartUnit(name, new.starts, lease))
            elif self._must_restart(old, one):
                found.append(RestartUnit(name, new.starts, lease))
        elif old is None or (old.starts, old.wanted_by) != (new.starts, new.wanted_by):
            # Refused while there is no lease. One that opened since this was planned did not see the new link.
            found.append(StartUnit(name, new.starts, lease))
        return [*found, Settle(name)]

    def _foreign(self, one: Running) -> bool:
        """Whether what runs under this unit's name was started from something else, which no record names."""
        service, tree = one.rendered.service, self.seen.current.get(one.instance.id)
        same = self.seen.files.get(service) == one.rendered.units[service] and tree == one.rendered.tree_name
        return service in self.seen.active and not same

    def _must_restart(self, old: Rendered, one: Running) -> bool:
        """A scheduled app's run is not cut short: the next one is the new revision."""
        new = one.rendered
        if new.starts != new.service:
            return old.units[old.starts] != new.units[new.starts]
        return not self._settled_alike(one)

    def _unfit(self) -> list[Action]:
        """A fenced copy whose stop timeout somebody made longer must not live on under its lease."""
        found: list[Action] = []
        for name in self.kept:
            for new in self._renderings([name]):
                takes = self.seen.stop_ms.get(new.service, 0)
                if new.lease is None or takes <= new.lease.stop_ms:
                    continue
                reason = f"a drop-in gives it {takes} ms to stop, its lease allows {new.lease.stop_ms} ms"
                text = f"{reason} (systemctl revert {new.service})"
                self.waiting.append(Waiting(name, StepName.STARTED, StepState.HELD, text))
                ends = self._unlink(name, new) + (
                    self._stops(name, new) if self.active & set(new.units) else []
                )
                found += [Begin(name), *ends] if ends else []  # half done: looked at anew by the next plan
        return found

    def _unused_leases(self) -> list[Action]:
        """The targets of lengths that nothing here has any more."""
        rest = [*(one.rendered for one in self.go), *self._renderings(self.kept)]
        needed = {one.lease.length_ms for one in rest if one.lease}
        names = sorted(name for name in self.files if length_of(name) not in {None, *needed})
        stops: list[Action] = [StopUnit(None, name) for name in names if name in self.active]
        return stops + self._drops(None, names)

    def _finish(self) -> list[Action]:
        return (
            [] if self.blocked or self.applied.issued == self.target.issued else [Finish(self.target.issued)]
        )
