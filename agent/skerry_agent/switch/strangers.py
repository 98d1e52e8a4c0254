"""Units of Skerry's that no record of this node names: left by a former membership, or by records that were lost. Pure.

Nothing is deleted by absence: they stay and run on, `status` lists them, and an admin discards them. But no lease of
this node was granted for one, so that none may be started or kept alive by it: a fenced one is stopped. A unit's own
text says whether it is fenced. Must never name a unit that something applied or begun may need.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from skerry_protocol.ids import InstanceId

from ..units.leaseunits import PREFIX, length_of
from .actions import Action, DisableUnit, Reload, StopUnit
from .target import State

# What an instance's units are called; those that Skerry itself consists of have no number.
INSTANCES = re.compile(r"skerry-.+-[0-9]+\.(?:service|timer|socket)")
SHOWN = 5
NEEDS_LEASE = f"\nRequisite={PREFIX}"


def strangers(files: Mapping[str, str], known: Collection[str]) -> tuple[str, ...]:
    """The unit files of instances that are not `known`."""
    return tuple(name for name in sorted(files) if name not in known and INSTANCES.fullmatch(name))


def edited(
    state: State, files: Mapping[str, str], touched: Collection[InstanceId]
) -> dict[InstanceId, tuple[str, ...]]:
    """The unit files that somebody changed, of instances that are not `touched` now."""
    found = {
        name: tuple(
            unit for unit, text in sorted(one.rendered.units.items()) if files.get(unit, text) != text
        )
        for name, one in sorted(state.instances.items())
        if name not in touched and name not in state.pending
    }
    return {name: units for name, units in found.items() if units}


def by_hand(edited: Mapping[InstanceId, tuple[str, ...]]) -> str:
    """What to say of them."""
    names = [unit for units in edited.values() for unit in units]
    if not names:
        return ""
    what = f"{', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}"
    return f"changed by hand, and put back at the next boot: {what} ('systemctl edit' makes what stays)"


def fenced_end(
    files: Mapping[str, str],
    links: Collection[tuple[str, str]],
    active: Collection[str],
    known: Collection[str],
) -> list[Action]:
    """What keeps every fenced stranger from living under a lease. Its file stays."""
    fenced = {name for name in strangers(files, known) if NEEDS_LEASE in files[name]}
    linked = {(target, unit) for target, unit in links if length_of(target) is not None and unit not in known}
    found: list[Action] = [DisableUnit(None, unit, target) for target, unit in sorted(linked)]
    found += [StopUnit(None, unit) for unit in sorted(fenced & set(active))]
    return [*found, Reload()] if found else []
