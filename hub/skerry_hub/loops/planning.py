"""What a change would do, before it is committed: the control loops themselves, run on the state as it would be.

Used in the transaction of the change, so that what was judged is what is done. Judges, and writes nothing but an
operator's confirmation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from skerry_protocol.ids import NodeId

from ..model import AppRow
from ..store import Owner, Transaction, View, rows
from . import loops
from .changes import Proposal, what_would_change
from .scheduler import Schedule

if TYPE_CHECKING:
    from ..hub import Hub


class NeedsConfirmation(ValueError):
    """The change removes most copies of some nodes, and nobody said that this is wanted. `nodes`: one line for each."""

    def __init__(self, nodes: tuple[str, ...]) -> None:
        super().__init__("cannot do this: most copies of a node would be removed")
        self.nodes = nodes


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
    _, withheld = loops.preview(state, hub.reconciler.bare_moment())
    return {node: why.reason for node, why in withheld.items() if why.needs_confirmation}


async def check_removals(hub: Hub, tx: Transaction, confirmed: bool, who: str) -> None:
    """After a change, in its transaction: raises NeedsConfirmation, or notes the confirmation on the nodes.

    Looks only at what this change brought: what waited before it is confirmed by `skerry node confirm`.
    """
    last = hub.reconciler.last
    before = {node: one.reason for node, one in last.withheld.items()} if last else {}
    found = await needing_confirmation(hub, tx)
    needing = {node: reason for node, reason in found.items() if before.get(node) != reason}
    if not needing:
        return
    if not confirmed:
        raise NeedsConfirmation(tuple(sorted(needing.values())))
    hand = tx.as_owner(Owner.OPERATORS)
    for row in await rows.nodes(tx):
        if row.id in needing:
            await rows.put_node(hand, msgspec.structs.replace(row, confirmed_by=who))
