"""What a change of an app asks of a copy that already runs: the one table that planner (node) and `apply` (hub) share.

Owns which field is of which class. It must know every field of `App`; a test holds it to that. The node's planner asks
`classify`; moving copies between nodes is the scheduler's matter and not in here.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from .app import App, Ha


class ChangeClass(IntEnum):
    """What the node does to a running copy. The worst of all changed fields counts."""

    NONE = 0  # nothing differs
    HUB = 1  # only the hub's decisions change; the node touches nothing
    LIVE = 2  # SetUnitProperties, or the agent's own checks: the process is not touched
    RESTART = 3  # the same instance, the same reservation, a new process
    REPLACE = 4  # another instance: nothing that is compared here, the copy itself has to go


# Dotted fields win over the field that holds them.
CLASSES: dict[str, ChangeClass] = {
    "name": ChangeClass.REPLACE,
    "run": ChangeClass.RESTART,
    "availability": ChangeClass.HUB,
    "artifacts": ChangeClass.RESTART,
    "replicas": ChangeClass.HUB,
    "per_node": ChangeClass.HUB,
    "ha": ChangeClass.HUB,
    "ha.lost_after_ms": ChangeClass.HUB,  # RESTART for a fenced copy: its lease target changes
    "ha.overlap": ChangeClass.RESTART,  # into or out of a lease target
    "ha.on_return": ChangeClass.HUB,
    "stop_timeout_ms": ChangeClass.RESTART,
    "place": ChangeClass.HUB,  # copies whose node it shuts out move; the others are not touched
    "resources": ChangeClass.LIVE,
    "health": ChangeClass.LIVE,
    "volumes": ChangeClass.RESTART,
    "files": ChangeClass.RESTART,
    "env": ChangeClass.RESTART,
    "schedule": ChangeClass.RESTART,
    "after": ChangeClass.RESTART,
    "user": ChangeClass.RESTART,
    "workdir": ChangeClass.RESTART,
    "restart": ChangeClass.RESTART,
    "rollback": ChangeClass.LIVE,
    "sandbox_allow": ChangeClass.RESTART,
    "network": ChangeClass.LIVE,  # rules and names, which no process has to notice
}


def changed_fields(old: App, new: App, arch: str | None = None) -> tuple[str, ...]:
    """The fields that differ, sorted; inside a table as `env.KEY`. `arch`: only that machine's archive counts."""
    found: list[str] = []
    for name in App.__struct_fields__:
        before, after = getattr(old, name), getattr(new, name)
        if name == "artifacts" and arch is not None:
            before, after = old.artifact_for(arch), new.artifact_for(arch)
            found += ["artifacts"] if before != after else []
        elif before != after:
            found += _inside(name, before, after)
    return tuple(sorted(found))


def _inside(name: str, before: object, after: object) -> list[str]:
    """`name`, or what differs inside it where both sides are tables of one kind."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = {str(key) for key in (*before, *after)}
        return [f"{name}.{key}" for key in keys if before.get(key) != after.get(key)]
    if isinstance(before, msgspec.Struct) and type(before) is type(after):
        fields = before.__struct_fields__
        return [f"{name}.{field}" for field in fields if getattr(before, field) != getattr(after, field)]
    return [name]


def class_of(field: str, old: App, new: App) -> ChangeClass:
    """The class of one changed field, as `changed_fields` names it."""
    if field == "ha":  # an app became ha or stopped being so
        return ChangeClass.RESTART if old.fenced != new.fenced else ChangeClass.HUB
    if field == "ha.lost_after_ms" and isinstance(new.ha, Ha) and new.fenced:
        return ChangeClass.RESTART
    if field in CLASSES:
        return CLASSES[field]
    return CLASSES[field.split(".", 1)[0]]


def classify(old: App, new: App, arch: str | None = None) -> ChangeClass:
    """What a running copy of `old` needs to become one of `new`: the worst class among the changed fields."""
    return max(
        (class_of(field, old, new) for field in changed_fields(old, new, arch)), default=ChangeClass.NONE
    )
