"""A restored hub: which nodes are ahead of it, their pause, and how an operator ends it.

A node is ahead when it, or the stream, holds an assignment that this store never issued. It is paused: it gets no new
assignment, and no fenced copy in the region gets a new claim, until an operator looked and resumed. "nodes": what the
nodes hold becomes the truth here. "hub": they are overwritten, in a new epoch. Only nodes that were named are covered.
"""

from __future__ import annotations

import logging

import msgspec
from msgspec import Struct
from sqlalchemy import select

from skerry_protocol import signing
from skerry_protocol.codec import WireError, decode
from skerry_protocol.ids import InstanceId, NodeId
from skerry_protocol.messages import Assignment, AssignmentAt, Issued

from .clock import now_ms
from .identity import Identity
from .journal import Happened, note
from .model import AssignmentRow
from .store import Owner, Store, Transaction, View, rows
from .store import schema as s

LOG = logging.getLogger(__name__)


class PausedRow(Struct, frozen=True):
    """What a paused node holds; `envelope`: its signed bytes where known; `overwrite`: the hub's word wins."""

    node: NodeId
    issued: Issued
    envelope: bytes | None = None
    overwrite: bool = False


async def paused_rows(view: View) -> list[PausedRow]:
    """Every node that is, or was resumed from, being ahead and has not come along yet."""
    found = await view.rows(select(s.paused.c.doc).order_by(s.paused.c.node))
    return [rows.load(PausedRow, row[0]) for row in found]


async def mark_ahead(store: Store, node: NodeId, issued: Issued, envelope: bytes | None) -> None:
    """Pauses a node that holds what this store never issued, and the region's new claims with it."""
    async with store.write() as tx:
        row, mesh = await rows.node(tx, node), await rows.mesh(tx)
        if row is None or mesh is None or await _known(tx, node, issued):
            return
        before = {one.node: one for one in await paused_rows(tx)}.get(node)
        if before is not None and before.issued == issued and (before.envelope or not envelope):
            return
        hand = tx.as_owner(Owner.RESUME)
        await put_paused(tx, PausedRow(node, issued, envelope))
        if not mesh.restored:
            await rows.put_mesh(hand, msgspec.structs.replace(mesh, restored=True))
        if before is None:
            text = f"{row.name} holds assignment {issued.version}, which this hub never issued: paused until resume"
            await note(hand, Happened("node-ahead", text, node=row.name, changer="hub"))


async def put_paused(tx: Transaction, row: PausedRow) -> None:
    """The pause of one node."""
    hand = tx.as_owner(Owner.RESUME)
    await hand.put(s.paused, {"node": row.node, "since_ms": now_ms(), "doc": rows.dump(row)})


async def may_replace(store: Store, identity: Identity, node: NodeId, held: bytes) -> bool:
    """Whether the hub may write over what the stream holds for a node; what it never issued shows that it is behind."""
    found = _read(identity, node, held)
    if found is None:
        return True  # nothing that this hub signed: nobody obeys it
    issued, envelope = found
    async with store.read() as view:
        if await _known(view, node, issued):
            return True
        newest = await rows.assignments(view, node, newest=1)
    if newest and newest[-1].issued.version > issued.version:
        return True
    await mark_ahead(store, node, issued, envelope)
    return False


def _read(identity: Identity, node: NodeId, held: bytes) -> tuple[Issued, bytes | None] | None:
    """What a message on the stream names. An envelope counts only where this hub signed it for this node."""
    try:
        envelope = decode(signing.Envelope, held)
        payload = signing.verify(
            signing.public_key(identity.hub_key), signing.ASSIGNMENT, envelope.assignment
        )
        assignment = decode(Assignment, payload)
        if assignment.node != node:
            return None
        return Issued(assignment.version, signing.digest(payload)), held
    except (WireError, signing.BadSignature):
        pass
    try:
        return decode(AssignmentAt, held).issued, None
    except WireError:
        return None


async def _known(view: View, node: NodeId, issued: Issued) -> bool:
    row = await rows.assignment(view, issued.digest)
    return row is not None and row.node == node


def opened(identity: Identity, row: PausedRow) -> Assignment | None:
    """The assignment that a paused node holds, where its signed bytes are here."""
    if row.envelope is None:
        return None
    try:
        envelope = decode(signing.Envelope, row.envelope)
        payload = signing.verify(
            signing.public_key(identity.hub_key), signing.ASSIGNMENT, envelope.assignment
        )
        return decode(Assignment, payload)
    except (WireError, signing.BadSignature) as error:
        LOG.warning("cannot read what %s holds: %s", row.node, error)
        return None


def holds(identity: Identity, row: PausedRow) -> tuple[InstanceId, ...]:
    """The instances that a node which is to be overwritten has."""
    found = opened(identity, row)
    return tuple(one.id for one in found.instances) if found else ()


def as_issued(row: PausedRow, assignment: Assignment) -> AssignmentRow:
    """What the node holds, as if this hub had issued it."""
    return AssignmentRow(
        node=row.node,
        issued=row.issued,
        envelope=row.envelope or b"",
        instances=tuple(one.id for one in assignment.instances),
        made_at_ms=now_ms(),
        copies=assignment.instances,
    )
