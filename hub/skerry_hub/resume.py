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

from . import journal
from .clock import now_ms
from .fits import place_key
from .identity import Identity
from .journal import Happened, note
from .model import AppRow, AssignmentRow, ClaimRow, Placement
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


class ResumeRefused(ValueError):
    """Why a resume cannot be done; nothing was changed."""


async def resume(
    tx: Transaction, identity: Identity, names: tuple[str, ...], take: str, who: str, reason: str
) -> None:
    """Ends the pause of these nodes (names), and with the last one the region's; raises ResumeRefused.

    "nodes": what they hold is taken over, the highest claim wins. "hub": a new epoch begins, and their next assignment
    names what it overwrites.
    """
    mesh = await rows.mesh(tx)
    if mesh is None or not mesh.restored:
        raise ResumeRefused("cannot resume: this hub's store was not restored")
    by_name = {row.name: row for row in await rows.nodes(tx)}
    held = {one.node: one for one in await paused_rows(tx) if not one.overwrite}
    chosen = []
    for name in names:
        node = next((row for label, row in by_name.items() if label == name), None)
        if node is None or node.id not in held:
            raise ResumeRefused(f"cannot resume {name}: it is not paused")
        chosen.append(held[node.id])
    for row in chosen:
        await (_take_node(tx, identity, row) if take == "nodes" else put_paused(tx, _overwritten(row)))
    left = held.keys() - {row.node for row in chosen}
    hand = tx.as_owner(Owner.RESUME)
    epoch = mesh.epoch + 1 if take == "hub" and chosen else mesh.epoch
    epoch = max([epoch, *(row.issued.version.epoch + (take == "hub") for row in chosen)])
    await rows.put_mesh(hand, msgspec.structs.replace(mesh, restored=bool(left), epoch=epoch))
    because = f": {reason}" if reason else ""
    text = f"{who} resumed {', '.join(names) or 'the hub'}, taking the word of the {take}{because}"
    await note(hand, Happened("resumed", text, changer=who))


def _overwritten(row: PausedRow) -> PausedRow:
    return msgspec.structs.replace(row, overwrite=True)


async def _take_node(tx: Transaction, identity: Identity, row: PausedRow) -> None:
    """What the node holds becomes what this store has: apps, copies, claims, and the assignment itself."""
    assignment = opened(identity, row)
    if assignment is None:
        raise ResumeRefused(
            f"cannot take the word of {row.node}: what it holds is not known here (take the hub's)"
        )
    await _take_apps(tx, assignment)
    await _take_copies(tx, assignment)
    await _take_claims(tx, assignment)
    sign = tx.as_owner(Owner.SIGN)
    await sign.add(s.assignments, [rows.assignment_values(as_issued(row, assignment))])
    await tx.as_owner(Owner.RESUME).drop(s.paused, s.paused.c.node == row.node)


async def _take_apps(tx: Transaction, assignment: Assignment) -> None:
    """Revisions that this store does not have; the newest of each app is what is wanted."""
    hand = tx.as_owner(Owner.OPERATORS)
    for entry in assignment.apps:
        name = entry.app.name
        if await journal.revision(tx, "app", name, entry.revision) is None:
            revision = journal.Revision(
                "app",
                name,
                entry.revision,
                entry.changed_at_ms,
                entry.changer,
                entry.reason,
                journal.raw(entry.app),
            )
            await journal.keep(hand, revision)
        now = await rows.app(tx, name)
        if now is None or now.revision < entry.revision:
            row = AppRow(name, entry.revision, entry.app, entry.changer, entry.reason, entry.changed_at_ms)
            await rows.put_app(hand, row)


async def _take_copies(tx: Transaction, assignment: Assignment) -> None:
    """The node's copies are placed there; what this store had placed there and the node does not have has ended."""
    hand = tx.as_owner(Owner.SCHEDULE)
    apps = {(entry.app.name, entry.revision): entry.app for entry in assignment.apps}
    has = {one.id for one in assignment.instances}
    for one in await rows.placements(tx):
        if one.node == assignment.node and one.instance not in has:
            await rows.end_placement(hand, one.instance, now_ms(), "the node does not have it (resume)")
    for copy in assignment.instances:
        app = apps[copy.app, copy.revision]
        placed = Placement(
            copy.id,
            copy.app,
            copy.number,
            assignment.node,
            "the node has it (resume)",
            now_ms(),
            revision=copy.revision,
            place=place_key(app),
        )
        await hand.put(s.placements, rows.placement_values(placed))


async def _take_claims(tx: Transaction, assignment: Assignment) -> None:
    """The highest claim of each copy wins, between nodes and this store."""
    hand = tx.as_owner(Owner.CLAIM)
    known = {(row.app, row.number): row for row in await rows.claims(tx)}
    for copy in assignment.instances:
        if copy.claim is None or copy.lease is None:
            continue
        before = known.get((copy.app, copy.number))
        if before is None or before.claim < copy.claim:
            row = ClaimRow(
                copy.app,
                copy.number,
                copy.claim,
                assignment.node,
                copy.id,
                copy.lease.lost_after_ms,
                lengths=(copy.lease.length_ms,),
            )
            await rows.put_claim(hand, row)
