"""What a change would do, before it is committed: the control loops themselves, run on the state as it would be.

Used in the transaction of the change, so that what was judged is what is done. A change of apps goes further: the run
of the loops that it was judged by is kept with it (`carry_out`), and no other is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from skerry_protocol.app import App
from skerry_protocol.ids import AppName, NodeId

from ..model import AppRow, NodeRow
from ..operators import set_app
from ..store import Owner, Transaction, View, rows
from . import loops
from .changes import Proposal, what_would_change
from .compile import Withheld
from .loops import State
from .scheduler import Schedule

if TYPE_CHECKING:
    from ..hub import Hub


class NeedsConfirmation(ValueError):
    """The change removes most copies of some nodes, and nobody said that this is wanted. `nodes`: one line for each."""

    def __init__(self, nodes: tuple[str, ...]) -> None:
        super().__init__("cannot do this: most copies of a node would be removed")
        self.nodes = nodes


class Unheard(Exception):
    """Copies go only to nodes that were heard lately, and for the change `nodes` would have to be heard first."""

    def __init__(self, nodes: tuple[NodeId, ...]) -> None:
        super().__init__("cannot say yet where copies go: nodes have to be heard first")
        self.nodes = nodes


@dataclass(frozen=True)
class Carried:
    """What a change of apps did, and the newest revision of each. With refusals it must not be committed."""

    proposal: Proposal
    revisions: dict[AppName, int]


async def carry_out(
    hub: Hub,
    tx: Transaction,
    apps: Iterable[App],
    who: str,
    reason: str,
    *,
    confirmed: bool,
    leave_data: bool,
    asking: bool,
) -> Carried:
    """Makes these apps what is wanted, and in the same transaction all that follows: placements, claims, assignments.

    The caller raises where there are refusals, so that nothing is left behind. Raises NeedsConfirmation, and, with
    `asking`, Unheard.
    """
    state = await hub.reconciler.load(tx)
    was = {row.name: row.app for row in state.apps}
    differing = [app for app in apps if was.get(app.name) != app]
    new = [await set_app(tx, app.name, app, who, reason, confirmed) for app in differing]
    after = loops.with_apps(state, new)
    outcome = await hub.reconciler.decide(after)
    proposal = what_would_change(
        state.apps, after.apps, state.placements, state.nodes, lambda _: outcome.schedule,
        leave_data=leave_data, confirmed=confirmed,
    )  # fmt: skip
    if asking and proposal.ask:
        raise Unheard(proposal.ask)
    carried = Carried(proposal, {row.name: row.revision for row in after.apps})
    if proposal.refusals:
        return carried
    if needing := _newly_needing(hub, outcome.withheld):
        after = replace(after, nodes=await _confirm(tx, after, needing, confirmed, who))
        outcome = await hub.reconciler.decide(after)
    await hub.reconciler.keep(tx, after, outcome)
    return carried


async def _confirm(
    tx: Transaction, state: State, needing: Mapping[NodeId, str], confirmed: bool, who: str
) -> list[NodeRow]:
    """The nodes with the operator's confirmation on those that need it. Raises NeedsConfirmation."""
    if not confirmed:
        raise NeedsConfirmation(tuple(sorted(needing.values())))
    hand = tx.as_owner(Owner.OPERATORS)
    nodes = []
    for row in state.nodes:
        nodes.append(msgspec.structs.replace(row, confirmed_by=who) if row.id in needing else row)
        if row.id in needing:
            await rows.put_node(hand, nodes[-1])
    return nodes


async def propose(hub: Hub, view: View, new: Iterable[AppRow], leave_data: bool, confirmed: bool) -> Proposal:
    """What these revisions would do, as things are now."""
    state = await hub.reconciler.load(view)
    moment = hub.reconciler.bare_moment()
    wanted = {row.name: row for row in new}

    def plan(apps: list[AppRow]) -> Schedule:
        return loops.preview(loops.with_apps(state, apps), moment)[0]

    after = [wanted.pop(row.name, row) for row in state.apps] + list(wanted.values())
    return what_would_change(
        state.apps, after, state.placements, state.nodes, plan, leave_data=leave_data, confirmed=confirmed
    )


async def needing_confirmation(hub: Hub, view: View) -> dict[NodeId, str]:
    """The nodes that nothing is sent to before an operator confirmed that most of their copies go, with the reason."""
    state = await hub.reconciler.load(view)
    return _needing(loops.preview(state, hub.reconciler.bare_moment())[1])


def _needing(withheld: Mapping[NodeId, Withheld]) -> dict[NodeId, str]:
    return {node: why.reason for node, why in withheld.items() if why.needs_confirmation}


def _newly_needing(hub: Hub, withheld: Mapping[NodeId, Withheld]) -> dict[NodeId, str]:
    """Of these only what a change brought: what waited before it is confirmed by `skerry node confirm`."""
    last = hub.reconciler.last
    before = {node: one.reason for node, one in last.withheld.items()} if last else {}
    return {node: reason for node, reason in _needing(withheld).items() if before.get(node) != reason}


async def check_removals(hub: Hub, tx: Transaction, confirmed: bool, who: str) -> None:
    """After a change, in its transaction: raises NeedsConfirmation, or notes the confirmation on the nodes."""
    state = await hub.reconciler.load(tx)
    withheld = loops.preview(state, hub.reconciler.bare_moment())[1]
    if needing := _newly_needing(hub, withheld):
        await _confirm(tx, state, needing, confirmed, who)
