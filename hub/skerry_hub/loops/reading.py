"""What the control loops read of the store, as one State.

In a transaction (see `store.Transaction`) a table that nobody wrote since the last run is not read again: with many
copies, to read all of them costs more than to decide.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from skerry_protocol.app import App
from skerry_protocol.ids import AppName, InstanceId, NodeId
from skerry_protocol.messages import Issued

from ..identity import Identity
from ..journal import revision
from ..model import AppRow, AssignmentRow
from ..restoring import paused
from ..store import StoreError, View, Whole, rows
from ..store import schema as s
from .loops import State


@dataclass(frozen=True)
class Assignments:
    """All that are kept: by node, oldest first; every copy in any of them, and the revisions that those are to run."""

    by_node: Mapping[NodeId, Sequence[AssignmentRow]]
    instances: frozenset[InstanceId]
    used: frozenset[tuple[AppName, int]]


async def _assignments(view: View) -> Assignments:
    found = await rows.issued(view)
    return _by_node(found)


def _by_node(found: Collection[AssignmentRow]) -> Assignments:
    """Of rows in their order."""
    by_node: dict[NodeId, list[AssignmentRow]] = {}
    for row in found:
        by_node.setdefault(row.node, []).append(row)
    return Assignments(
        by_node,
        frozenset(instance for row in found for instance in row.instances),
        frozenset((copy.app, copy.revision) for row in found for copy in row.copies),
    )


def with_issued(
    kept: Assignments, new: Iterable[AssignmentRow], gone: Container[tuple[NodeId, Issued]]
) -> Assignments:
    """What is kept once `new` ones were added and `gone` ones taken away, as a reading would find it."""
    left = [row for rows in kept.by_node.values() for row in rows if (row.node, row.issued) not in gone]
    added = [msgspec.structs.replace(row, envelope=b"") for row in new]
    return _by_node(sorted([*left, *added], key=lambda row: (row.node, row.issued.version)))


APPS = Whole(rows.apps, s.apps)
ASSIGNMENTS = Whole(_assignments, s.assignments)
CLAIMS = Whole(rows.claims, s.claims)
FACTS = Whole(rows.facts, s.facts)
HEALTHY = Whole(rows.healthy_steps, s.steps, s.placements)
LOSSES = Whole(rows.losses, s.losses)
MESH = Whole(rows.mesh, s.meta)
NODES = Whole(rows.nodes, s.nodes)
PAUSED = Whole(paused.paused_rows, s.paused)
PLACEMENTS = Whole(rows.placements, s.placements)
TOLD = Whole(rows.told, s.steps)


class Reading:
    """Reads States."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._revisions: dict[tuple[AppName, int], AppRow] = {}

    async def state(self, view: View) -> State:
        """All that the loops read."""
        mesh = await view.whole(MESH)
        if mesh is None:
            raise StoreError("cannot run: the store has no mesh")
        placements = await view.whole(PLACEMENTS)
        apps = await view.whole(APPS)
        issued = await view.whole(ASSIGNMENTS)
        held = await view.whole(PAUSED)
        live = {one.instance for one in placements}
        gone = issued.instances - live
        used = {(one.app, one.revision) for one in placements} | issued.used
        return State(
            mesh=mesh,
            apps=apps,
            revisions=await self._all_revisions(view, apps, used),
            nodes=[msgspec.structs.replace(one, region=mesh.region) for one in await view.whole(NODES)],
            facts={fact.node: fact for fact in await view.whole(FACTS)},
            losses=await view.whole(LOSSES),
            placements=placements,
            claims=await view.whole(CLAIMS),
            issued=issued.by_node,
            steps=await view.whole(HEALTHY),
            told=await view.whole(TOLD),
            words=await rows.words(view, gone),
            paused=frozenset(one.node for one in held if not one.overwrite),
            unshown=frozenset(one.node for one in held if one.envelope is None),
            overwrites={one.node: one.issued for one in held if one.overwrite},
            holds={one.node: paused.holds(self._identity, one) for one in held if one.overwrite},
        )

    async def _all_revisions(
        self, view: View, apps: list[AppRow], used: Iterable[tuple[AppName, int]]
    ) -> dict[tuple[AppName, int], AppRow]:
        """The revisions that copies run, and the newest of each app. One never changes, so that it is read once."""
        found = {(row.name, row.revision): row for row in apps}
        for name, number in used:
            row = found.get((name, number)) or self._revisions.get((name, number))
            row = row or await _revision(view, name, number)
            if row is not None:
                found[name, number] = row
        self._revisions = found
        return found


async def _revision(view: View, name: AppName, number: int) -> AppRow | None:
    found = await revision(view, "app", name, number)
    if found is None:
        return None
    app = None if found.content is None else msgspec.json.decode(bytes(found.content), type=App)
    return AppRow(name, number, app, found.changer, found.reason, found.at_ms)
