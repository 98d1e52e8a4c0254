"""The node's own word that one instance is not to run one revision: when it is made, what it does, when it ends.

Pure. An override is per instance and revision. It ends when an assignment brings another revision of that app, when its
instance is no longer assigned, or when it is cleared. It never adds or removes an instance, and never changes an
instance's id, claim or lease.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from skerry_protocol.ids import AppName, InstanceId
from skerry_protocol.messages import Assignment, Instance, Override


class NotPossible(Struct, frozen=True):
    """No override can be made, and why."""

    reason: str


def make(
    assignment: Assignment,
    kept: Mapping[InstanceId, Sequence[int]],
    instance: Instance,
    by: str,
    reason: str,
    now_ms: int,
) -> Override | NotPossible:
    """An override that puts `instance` back to a revision that the node keeps: the newest older one, else the newest.

    `kept` names the revisions whose content and artifacts are here.
    """
    if all(one.id != instance.id for one in assignment.instances):
        return NotPossible(
            f"cannot roll back {instance.id}: this node is not assigned it (see 'skerry-agent status')"
        )
    others = sorted(set(kept.get(instance.id, ())) - {instance.revision})
    if not others:
        text = f"cannot roll back {instance.id}: this node keeps no other revision than {instance.revision}"
        return NotPossible(f"{text} (go back for all nodes with 'skerry rollback {instance.app}')")
    older = [revision for revision in others if revision < instance.revision]
    return Override(instance.id, instance.app, instance.revision, max(older or others), by, reason, now_ms)


def add(held: tuple[Override, ...], new: Override) -> tuple[Override, ...]:
    """`held` with `new` in the place of any of the same instance."""
    return (*(one for one in held if one.instance != new.instance), new)


def still_hold(held: tuple[Override, ...], assignment: Assignment) -> tuple[Override, ...]:
    """Those that go on under `assignment`: it has their instance, at the revision that they refuse."""
    assigned = {instance.id: instance.revision for instance in assignment.instances}
    return tuple(one for one in held if assigned.get(one.instance) == one.revision)


def clear(held: tuple[Override, ...], app: AppName | None = None) -> tuple[Override, ...]:
    """`held` without those of `app`, or without all."""
    return tuple(one for one in held if app is not None and one.app != app)


def effective_revision(held: tuple[Override, ...], instance: Instance) -> int:
    """The revision that `instance` is to run; 0: none."""
    for one in held:
        if one.instance == instance.id and one.revision == instance.revision:
            return one.instead
    return instance.revision
