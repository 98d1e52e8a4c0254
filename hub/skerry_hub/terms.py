"""Rows → what `beats` has to know of each node. Pure; called after every commit with the nodes that changed.

What is learned must be handed to `Beats` before anything of the same commit is published, so that a node that is quick
to beat finds its claim known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from skerry_protocol.app import App
from skerry_protocol.ids import AppName, instance_name

from .beat_events import NodeTerms
from .claims import may_run
from .model import AssignmentRow, Fact, NodeRow, NodeState, Placement


def terms_of(
    node: NodeRow,
    placements: Iterable[Placement],
    apps: Mapping[tuple[AppName, int], App],
    issued: Sequence[AssignmentRow],
    fact: Fact | None,
    *,
    own_machine: bool = False,
) -> NodeTerms:
    """One node's terms. `placements` are those on it; `issued` any of its assignments, at least from the applied on.

    For silence only what is placed now counts; leases of copies that have ended, but that may still run, are in
    `issued`.
    """
    here = [(one, apps.get((one.app, one.revision))) for one in placements if one.node == node.id]
    rows = sorted(issued, key=lambda row: row.issued.version)
    return NodeTerms(
        node=node.id,
        name=node.name,
        newest=rows[-1].issued if rows else None,
        issued=tuple(may_run(rows, fact)),
        lost_after_ms=frozenset(
            app.ha.lost_after_ms for _, app in here if app is not None and app.ha is not None
        ),
        fenced=tuple(
            sorted(instance_name(one.app, one.number) for one, app in here if app is not None and app.fenced)
        ),
        own_machine=own_machine,
        alive=node.state in {NodeState.READY, NodeState.DRAINING},
    )
