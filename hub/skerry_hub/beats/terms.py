"""What `beats` has to know of each node, from a commit. Pure.

It must be handed to `Beats` before anything of the same commit is published, so that a node that is quick to beat finds
its claim known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from skerry_protocol.ids import InstanceId, NodeId, instance_name

from ..loops.claims import may_run
from ..loops.loops import Outcome, Revisions, State
from ..model import AssignmentRow, Fact, NodeRow, NodeState, Placement
from .events import NodeTerms


def terms_of(state: State, outcome: Outcome, machine: str = "") -> dict[NodeId, NodeTerms]:
    """Every node's terms after a run of the loops. `machine`: the mark of the hub's own machine, if known."""
    made = {row.node: row for row in outcome.assignments}
    placed: dict[NodeId, list[Placement]] = {}
    for one in outcome.schedule.placements:
        placed.setdefault(one.node, []).append(one)
    found = {}
    for node in state.nodes:
        issued = [*state.issued.get(node.id, ()), *([made[node.id]] if node.id in made else [])]
        here, fact = placed.get(node.id, []), state.facts.get(node.id)
        found[node.id] = node_terms(
            node,
            here,
            state.revisions,
            issued,
            fact,
            own_machine=bool(machine) and node.machine == machine,
            retell=bool(_untold(here, state.told) & _applied(issued, fact)),
            paused=node.id in state.paused,
        )
    return found


def node_terms(
    node: NodeRow,
    placements: Iterable[Placement],
    revisions: Revisions,
    issued: Sequence[AssignmentRow],
    fact: Fact | None,
    *,
    own_machine: bool = False,
    retell: bool = False,
    paused: bool = False,
) -> NodeTerms:
    """One node's terms. `issued`: its assignments, at least from the applied one on.

    A `paused` node beats as often as what it holds asks for, which is not what this store knows: it is not lost.
    For silence only what is placed now counts; leases of copies that have ended, but may still run, are in `issued`.
    """
    rows = sorted(issued, key=lambda row: row.issued.version)
    lengths = {node.ephemeral_ms} if node.ephemeral_ms is not None else set()
    fenced = []
    for one in placements:
        row = revisions.get((one.app, one.revision))
        if one.node != node.id or row is None or row.app is None or row.app.ha is None:
            continue
        lengths.add(row.app.ha.lost_after_ms)
        if row.app.fenced:
            fenced.append(instance_name(one.app, one.number))
    return NodeTerms(
        node=node.id,
        name=node.name,
        newest=rows[-1].issued if rows else None,
        issued=tuple(may_run(rows, fact)),
        lost_after_ms=frozenset() if paused else frozenset(lengths),
        fenced=tuple(sorted(fenced)),
        own_machine=own_machine,
        alive=node.state not in {NodeState.DEAD, NodeState.WAITING},
        retell=retell,
    )


def _untold(placements: Iterable[Placement], told: frozenset[InstanceId]) -> frozenset[InstanceId]:
    """Copies of which their node said nothing, as far as this store knows: it may be a restored one."""
    return frozenset(one.instance for one in placements if one.instance not in told)


def _applied(issued: Iterable[AssignmentRow], fact: Fact | None) -> frozenset[InstanceId]:
    """The copies of the assignment that the node applied."""
    if fact is None or fact.applied is None:
        return frozenset()
    return frozenset(copy.id for row in issued if row.issued == fact.applied for copy in row.copies)
