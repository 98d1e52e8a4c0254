"""What the node knows of itself, as data: `status` and `why` of the command line, answered by the agent, or, where no
agent runs, from the same files. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from skerry_protocol.ids import AppName, instance_name
from skerry_protocol.messages import AppRevision, Instance, Step, StepState

from ..health.steps import Book, reached
from ..leases.grants import Grants
from ..switch.node import Node
from ..systemd import UnitState
from .network import NetworkView, network


class InstanceView(Struct, frozen=True):
    """One instance. `revision` is what was asked for, `runs` what runs (0: nothing); `unit_state` is systemd's word."""

    name: str
    id: str
    app: str
    unit: str
    revision: int
    runs: int
    unit_state: str
    state: str
    reason: str = ""
    since_ms: int = 0
    lease_ms_left: int | None = None
    changer: str = ""
    change_reason: str = ""


class StatusView(Struct, frozen=True):
    """The whole node. Empty `hub` means that it is in touch; else why not. `left_over`: units of no assignment.

    `network` is None where it has none of the mesh.
    """

    node: str
    name: str
    mesh: str
    region: str
    agent: str
    hub: str
    accepted: str
    applied: str
    instances: tuple[InstanceView, ...] = ()
    overrides: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    refusal: str = ""
    left_over: tuple[str, ...] = ()
    network: NetworkView | None = None


def unit_names(node: Node) -> list[str]:
    """The units whose states `status` wants."""
    return [*(one.rendered.starts for one in node.applied.instances.values()), *node.left_over()]


def status(
    node: Node,
    units: Mapping[str, UnitState],
    book: Book,
    grants: Grants | None,
    hub: str,
    agent: str,
    boottime_ms: int,
) -> StatusView:
    """`hub`: why the hub is not reached, or nothing; `agent`: the agent's state in a word."""
    identity = node.identity
    assigned = node.assignment.instances if node.assignment else ()
    known = {instance.id: instance for instance in assigned}
    known |= {name: one.instance for name, one in node.applied.instances.items() if name not in known}
    return StatusView(
        node=identity.node,
        name=node.assignment.node_name if node.assignment and node.assignment.node_name else identity.name,
        mesh=identity.mesh,
        region=identity.region,
        agent=agent,
        hub=hub,
        accepted=str(node.accepted.version) if node.accepted else "",
        applied=str(node.applied.issued.version) if node.applied.issued else "",
        instances=tuple(
            _instance(node, known[name], units, book, grants, boottime_ms) for name in sorted(known)
        ),
        overrides=tuple(
            f"{one.app}: revision {one.instead} instead of {one.revision}, by {one.by}: {one.reason}"
            for one in node.overrides
        ),
        conditions=tuple(f"{code}: {text}" for code, text in sorted(node.conditions.items())),
        refusal=node.refusal or "",
        left_over=tuple(f"{name}: {_state(units.get(name))}" for name in node.left_over()),
        network=network(node.telling, boottime_ms),
    )


def _state(unit: UnitState | None) -> str:
    return f"{unit.active} ({unit.sub})" if unit else "not there"


def _instance(
    node: Node,
    instance: Instance,
    units: Mapping[str, UnitState],
    book: Book,
    grants: Grants | None,
    boottime_ms: int,
) -> InstanceView:
    running = node.applied.instances.get(instance.id)
    unit = units.get(running.rendered.starts) if running else None
    step = reached(book, instance.id)
    deadline = grants.deadline(instance.lease.length_ms) if grants and instance.lease else None
    entry = running.entry if running else None
    asked = _asked(node, instance) or entry
    return InstanceView(
        name=instance_name(instance.app, instance.number),
        id=instance.id,
        app=instance.app,
        unit=running.rendered.starts if running else "",
        revision=instance.revision,
        runs=entry.revision if entry and unit and unit.up else 0,
        unit_state=_state(unit),
        state=f"{step.step} {step.state}" if step else "",
        reason=_reason(step, unit, node.edited.get(instance.id, ())),
        since_ms=step.since_ms if step else 0,
        lease_ms_left=None if deadline is None else max(0, deadline - boottime_ms),
        changer=asked.changer if asked else "",
        change_reason=asked.reason if asked else "",
    )


def _reason(step: Step | None, unit: UnitState | None, edited: Sequence[str]) -> str:
    """Where no agent looks, the step that was told last may be older than its unit's end."""
    if step is not None and step.state is StepState.DONE and unit is not None and not unit.up:
        return "that was before its unit went down"
    parts = [step.reason] if step and step.reason else []
    if edited:
        parts.append(f"{', '.join(edited)} was changed by hand, and is put back at the next boot")
    return "; ".join(parts)


def _asked(node: Node, instance: Instance) -> AppRevision | None:
    """What the assignment says of it; nothing where it is about to go."""
    held = node.assignment
    return held.app_of(instance) if held is not None and instance in held.instances else None


def of_app(view: StatusView, app: AppName) -> tuple[InstanceView, ...]:
    """The instances of one app."""
    return tuple(one for one in view.instances if one.app == app)
