"""What operators do to the stored state: apps and nodes, each change with its revision and its event.

Takes a transaction and a changer; judges nothing about what a change would do (`changes`) or who may ask (the API).
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from skerry_protocol.app import App
from skerry_protocol.ids import AppName

from .clock import now_ms
from .journal import Happened, Revision, keep, next_number, note, raw
from .model import AppRow, Mesh, NodeRow
from .store import Owner, Transaction, rows
from .store import schema as s


async def set_app(
    tx: Transaction, name: AppName, app: App | None, changer: str, reason: str, confirmed: bool = False
) -> AppRow:
    """A new revision of an app; None removes it (its revisions stay). `confirmed`: whatever it removes is wanted."""
    hand = tx.as_owner(Owner.OPERATORS)
    number = await next_number(tx, "app", name)
    row = AppRow(name, number, app, changer, reason, now_ms(), confirmed)
    await rows.put_app(hand, row)
    await keep(hand, Revision("app", name, number, row.changed_at_ms, changer, reason, raw(app)))
    what = "removed" if app is None else ("applied" if number == 1 else "changed")
    because = f": {reason}" if reason else ""
    text = f"{name} was {what} by {changer} (revision {number}){because}"
    await note(hand, Happened(f"app-{what}", text, app=name, changer=changer))
    return row


async def set_node(tx: Transaction, row: NodeRow, changer: str, what: str, reason: str = "") -> NodeRow:
    """The node as it is from now on, under the next revision. `what` completes "the node was …"."""
    hand = tx.as_owner(Owner.OPERATORS)
    number = await next_number(tx, "node", row.id)
    row = msgspec.structs.replace(row, revision=number)
    await rows.put_node(hand, row)
    await keep(hand, Revision("node", row.id, number, now_ms(), changer, reason or what, raw(row)))
    because = f": {reason}" if reason else ""
    text = f"{row.name} was {what} by {changer}{because}"
    await note(
        hand, Happened(f"node-{what.split(maxsplit=1)[0].rstrip(',')}", text, node=row.name, changer=changer)
    )
    return row


async def forget_node(tx: Transaction, row: NodeRow, changer: str, reason: str) -> None:
    """The node is no member any more; its machine key is remembered, so that it is refused for what it is."""
    hand = tx.as_owner(Owner.OPERATORS)
    number = await next_number(tx, "node", row.id)
    await hand.drop(s.nodes, s.nodes.c.id == row.id)
    # Nobody can resume it any more, and the region must not wait for that.
    await tx.as_owner(Owner.RESUME).drop(s.paused, s.paused.c.node == row.id)
    await hand.put(s.forgotten, {"id": row.id, "at_ms": now_ms(), "doc": rows.dump(row)})
    await keep(hand, Revision("node", row.id, number, now_ms(), changer, reason or "forgotten", None))
    because = f": {reason}" if reason else ""
    text = f"{row.name} was forgotten by {changer}{because}"
    await note(hand, Happened("node-forgotten", text, node=row.name, changer=changer))


async def set_region(tx: Transaction, row: Mesh, content: Struct, changer: str, reason: str) -> None:
    """The region's own settings as they are from now on; `content` is what the history keeps of them."""
    hand = tx.as_owner(Owner.RESUME)
    number = await next_number(tx, "region", row.region)
    await rows.put_mesh(hand, row)
    await keep(hand, Revision("region", row.region, number, now_ms(), changer, reason, raw(content)))
    hold = "until the nodes answer" if row.storm_hold_ms is None else f"for {row.storm_hold_ms / 1000:g} s"
    because = f": {reason}" if reason else ""
    text = f"{changer} set that the storm brake holds {hold} and {row.keep_events} events are kept{because}"
    await note(hand, Happened("region-set", text, changer=changer))
