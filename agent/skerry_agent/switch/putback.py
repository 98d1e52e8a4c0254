"""What puts back files and links of a state that are missing or differ. Pure; stops and starts nothing."""

from __future__ import annotations

from skerry_protocol.ids import InstanceId

from ..units.leaseunits import shared
from .actions import Action, EnableUnit, SwitchTree, WriteTree, WriteUnit
from .observed import Observed
from .target import Running, State


def restore(applied: State, observed: Observed) -> tuple[Action, ...]:
    """What puts back files and links of the applied state that are missing or differ. Stops and starts nothing."""
    found: list[Action] = []
    lengths = {one.rendered.lease.length_ms for one in applied.instances.values() if one.rendered.lease}
    found += [
        WriteUnit(None, name, text)
        for length in sorted(lengths)
        for name, text in shared(length).items()
        if observed.files.get(name) != text
    ]
    for one in by_name(applied.instances):
        new = one.rendered
        found += tree(one, observed)
        found += _files(one, observed)
        if observed.current.get(one.instance.id) != new.tree_name:
            found.append(SwitchTree(one.instance.id, new.tree_name))
        if (new.wanted_by, new.starts) not in observed.links:
            found.append(EnableUnit(one.instance.id, new.starts, new.wanted_by))
    return tuple(found)


def by_name(instances: dict[InstanceId, Running]) -> list[Running]:
    """The instances in the order of their names."""
    return [instances[key] for key in sorted(instances)]


def tree(one: Running, observed: Observed) -> list[Action]:
    """Its content folder, where that is not there whole."""
    new = one.rendered
    if (one.instance.id, new.tree_name) in observed.trees:
        return []
    return [WriteTree(one.instance.id, new.tree_name, new.tree, new.artifact)]


def _files(one: Running, observed: Observed) -> list[Action]:
    return [
        WriteUnit(one.instance.id, name, text)
        for name, text in sorted(one.rendered.units.items())
        if observed.files.get(name) != text
    ]
