"""Nodes that are ahead of this hub, and the proof of it.

A node is ahead when it, or the stream, holds an assignment that this store never issued. It is paused: it gets no new
assignment, and no fenced copy in the region gets a new claim, until an operator looked and resumed. A node that only
claims so, and cannot show what this hub signed, is paused alone. Must never believe what no hub of this region signed.
"""

from __future__ import annotations

import logging

from msgspec import Struct
from sqlalchemy import select

from skerry_protocol import signing
from skerry_protocol.codec import WireError, decode
from skerry_protocol.ids import InstanceId, NodeId
from skerry_protocol.messages import Assignment, AssignmentAt, Issued

from ..clock import now_ms
from ..identity import Identity
from ..journal import Happened, note
from ..loops.loops import UNSHOWN
from ..model import AssignmentRow
from ..store import Owner, Store, Transaction, View, rows
from ..store import schema as s

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
    """Pauses a node that holds what this store never issued; with proof (see `shown`) the region's new claims too."""
    async with store.write() as tx:
        row, mesh = await rows.node(tx, node), await rows.mesh(tx)
        if row is None or mesh is None or await is_known(tx, node, issued):
            return
        before = {one.node: one for one in await paused_rows(tx)}.get(node)
        if before is not None and before.issued == issued and (before.envelope or not envelope):
            return
        word = before is not None and before.issued == issued and before.overwrite
        await put_paused(tx, PausedRow(node, issued, envelope, overwrite=word))
        if envelope is not None and not mesh.restored:
            await rows.put_mesh(tx.as_owner(Owner.RESUME), mesh.put_back(now_ms()))
            await rows.forget_steps(tx.as_owner(Owner.INTAKE))  # the nodes are asked for them once more
        if before is None or (envelope and not before.envelope):
            await note(tx.as_owner(Owner.RESUME), _ahead_event(row.name, issued, envelope is not None))


def _ahead_event(name: str, issued: Issued, proven: bool) -> Happened:
    if proven:
        text = f"{name} holds assignment {issued.version}, which this hub never issued: paused until resume"
        return Happened("node-ahead", text, node=name, changer="hub")
    text = f"{name} {UNSHOWN} (assignment {issued.version}): it alone is paused until resume"
    return Happened("node-ahead-unshown", text, node=name, changer="hub")


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
        if await is_known(view, node, issued):
            return True
        newest = await rows.assignments(view, node, newest=1)
    if newest and newest[-1].issued.version > issued.version:
        return True
    await mark_ahead(store, node, issued, envelope)
    return False


def _read(identity: Identity, node: NodeId, held: bytes) -> tuple[Issued, bytes | None] | None:
    """What a message on the stream names. An envelope counts only where this hub signed it for this node."""
    try:
        payload = opened_envelope(identity, held)
        assignment = decode(Assignment, payload)
        if assignment.node != node:
            return None
        return Issued(assignment.version, signing.digest(payload)), held
    except (WireError, signing.BadSignature):
        pass  # no envelope of ours: it may be what stands on the stream for one that is too large
    try:
        return decode(AssignmentAt, held).issued, None
    except WireError:
        return None  # nothing that any hub wrote: there is nothing to ask about before it is written over


def opened_envelope(identity: Identity, held: bytes) -> bytes:
    """The signed bytes in an Envelope. Raises WireError, BadSignature.

    By this hub's key, or that of a newer word of the root's; a hub that was rebuilt believes the one before it too.
    """
    envelope = decode(signing.Envelope, held)
    key = signing.public_key(identity.hub_key)
    if envelope.delegation != identity.delegation:
        word = signing.open_delegation(envelope.delegation, identity.pin)
        counts = word.serial > identity.serial or identity.rebuilt
        if counts and (word.mesh, word.region) == (identity.mesh, identity.region):
            key = word.hub_key
    return signing.verify(key, signing.ASSIGNMENT, envelope.assignment)


def shown(identity: Identity, node: NodeId, issued: Issued, data: bytes) -> bytes | None:
    """The node's proof: `data`, where it is the Envelope of exactly that assignment of it; else None."""
    found = _read(identity, node, data)
    return data if found is not None and found == (issued, data) else None


async def is_known(view: View, node: NodeId, issued: Issued) -> bool:
    """Whether this store issued it; also what is older than all that is kept, which was issued and is forgotten."""
    row = await rows.assignment(view, issued.digest)
    if row is not None:
        return row.node == node
    oldest = await rows.oldest_version(view, node)
    return oldest is not None and issued.version < oldest


def opened(identity: Identity, row: PausedRow) -> Assignment | None:
    """The assignment that a paused node holds, where its signed bytes are here."""
    if row.envelope is None:
        return None
    try:
        return decode(Assignment, opened_envelope(identity, row.envelope))
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
