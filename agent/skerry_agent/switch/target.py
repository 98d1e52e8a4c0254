"""What a node is to run, rendered: an assignment with the node's overrides and policy taken into account. Pure.

Owns State (what was switched to) and Target (what is to be). Must never let one instance that cannot be rendered keep
the others from theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct, field, structs

from skerry_protocol.app import App
from skerry_protocol.ids import AppName, InstanceId
from skerry_protocol.messages import AppRevision, Assignment, Instance, Issued, Override

from ..units.policy import Policy
from ..units.render import NodeFacts, NotAllowed, Paths, Rendered, render, service_name
from .overrides import effective_revision, still_hold

# Per instance, what runs and what it can go back to without a download (`revisions`).
Kept = Mapping[InstanceId, tuple[AppRevision, ...]]


class Running(Struct, frozen=True):
    """One instance at one revision, as rendered for this node. `entry` is what runs, `instance` what is assigned."""

    instance: Instance
    entry: AppRevision
    rendered: Rendered


def same_place(old: Running, new: Running) -> bool:
    """Whether both are started by the same unit, and wanted by the same target."""
    return (old.rendered.starts, old.rendered.wanted_by) == (new.rendered.starts, new.rendered.wanted_by)


def same_process(old: Running, new: Running) -> bool:
    """Whether what was started as `old` may go on as `new`.

    What was assigned is the same where only its rendering differs: by a newer agent, whose upgrade no unit may notice.
    The new text then holds from the unit's next start. But whether the node has a network plan is assigned too.
    """
    same_network = old.rendered.namespace == new.rendered.namespace
    same_word = same_network and (old.instance, old.entry) == (new.instance, new.entry)
    return same_word or old.rendered.restart_key == new.rendered.restart_key


class State(Struct, frozen=True, omit_defaults=True):
    """What the node's units were switched to. `issued` lags while something of it waits that could still matter.

    `pending`: all that a switch was begun to and not settled, by failures or crashes; something of it may be in force.
    """

    issued: Issued | None = None
    instances: dict[InstanceId, Running] = field(default_factory=dict)
    pending: dict[InstanceId, tuple[Running, ...]] = field(default_factory=dict)

    def names(self) -> frozenset[InstanceId]:
        """Every instance of which something may be on disk or running."""
        return frozenset(self.instances) | frozenset(self.pending)

    def of(self, instance: InstanceId) -> tuple[Running, ...]:
        """Everything that may be in force of one instance."""
        settled = (self.instances[instance],) if instance in self.instances else ()
        return settled + self.pending.get(instance, ())

    def may_run(self) -> tuple[Instance, ...]:
        """Every instance that may run here, as it was assigned then: what a beat must name the claims of."""
        return tuple(one.instance for name in sorted(self.names()) for one in self.of(name))


class Ground(Struct, frozen=True):
    """What instances are rendered with, beside what is assigned."""

    policy: Policy
    paths: Paths
    node: NodeFacts

    def of(self, app: App) -> tuple[object, ...]:
        """The part of it that an app's rendering depends on."""
        beside = [self.node.neighbours.get(other) for other in app.after]
        return self.policy, self.paths, self.node.name, self.node.arch, self.node.network, beside


class Target(Struct, frozen=True):
    """What the units are to be. `refused`: what this node may or can not run, with reasons; `idle`: held back here.

    `ground` is what every instance was rendered with.
    """

    issued: Issued
    ground: Ground
    instances: dict[InstanceId, Running] = field(default_factory=dict)
    refused: dict[InstanceId, tuple[str, ...]] = field(default_factory=dict)
    idle: frozenset[InstanceId] = frozenset()


def build(
    assignment: Assignment,
    issued: Issued,
    overrides: Iterable[Override],
    kept: Kept,
    policy: Policy,
    paths: Paths,
    node: NodeFacts,
    former: Target | None = None,
) -> Target:
    """The target of an accepted assignment. `neighbours` and `network` of `node` are filled in from the assignment.

    What is the same in a `former` target is taken from there: rendering is most of the work, a change is of one app.
    """
    network = assignment.network is not None
    node = structs.replace(node, neighbours=_neighbours(assignment), network=network)
    ground = Ground(policy, paths, node)
    held = still_hold(tuple(overrides), assignment)
    apps = {(one.app.name, one.revision): one for one in assignment.apps}
    running: dict[InstanceId, Running] = {}
    refused: dict[InstanceId, tuple[str, ...]] = {}
    idle: set[InstanceId] = set()
    for instance in assignment.instances:
        entry = _entry(instance, apps, effective_revision(held, instance), kept)
        if entry is None:
            idle.add(instance.id)
            continue
        if (same := _again(former, ground, instance, entry)) is not None:
            running[instance.id] = same
            continue
        made = render(instance, entry.app, policy, paths, node)
        if isinstance(made, NotAllowed):
            refused[instance.id] = made.reasons
        else:
            running[instance.id] = Running(instance, entry, made)
    return Target(issued, ground, running, refused, frozenset(idle))


def _again(former: Target | None, ground: Ground, instance: Instance, entry: AppRevision) -> Running | None:
    """The very same, where it was rendered before: then to compare it costs nothing."""
    old = former.instances.get(instance.id) if former else None
    if former is None or old is None or (old.instance, old.entry) != (instance, entry):
        return None
    return old if former.ground.of(entry.app) == ground.of(entry.app) else None


def _entry(
    instance: Instance, apps: Mapping[tuple[AppName, int], AppRevision], revision: int, kept: Kept
) -> AppRevision | None:
    """The content of `revision`; None for 0. What is no longer here gives way to what is assigned."""
    if revision == 0:
        return None
    for entry in () if revision == instance.revision else kept.get(instance.id, ()):
        if entry.revision == revision:
            return entry
    return apps[instance.app, instance.revision]


def _neighbours(assignment: Assignment) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for instance in assignment.instances:
        found.setdefault(instance.app, []).append(service_name(instance))
    return {app: tuple(services) for app, services in found.items()}


def begin(state: State, target: Target, instance: InstanceId) -> State:
    """`state` after the action Begin(instance)."""
    new, begun = (
        target.instances.get(instance, state.instances.get(instance)),
        state.pending.get(instance, ()),
    )
    if new is None or new in begun:
        return state
    return structs.replace(state, pending={**state.pending, instance: (*begun, new)})


def settle(state: State, target: Target, instance: InstanceId) -> State:
    """`state` after the action Settle(instance)."""
    rest = {key: value for key, value in state.instances.items() if key != instance}
    pending = {key: value for key, value in state.pending.items() if key != instance}
    new = target.instances.get(instance)
    return State(state.issued, rest | ({instance: new} if new else {}), pending)


def finish(state: State, issued: Issued) -> State:
    """`state` after the action Finish."""
    return structs.replace(state, issued=issued)
