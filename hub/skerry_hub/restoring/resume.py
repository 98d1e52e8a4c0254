"""A restored hub: which nodes are ahead of it, their pause, and how an operator ends it.

A node is ahead when it, or the stream, holds an assignment that this store never issued. It is paused: it gets no new
assignment, and no fenced copy in the region gets a new claim, until an operator looked and resumed. A node that only
claims so, and cannot show what this hub signed, is paused alone. "nodes": what the nodes hold becomes the truth here.
"hub": they are overwritten, in a new epoch. Only nodes that were named are covered.
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

from .. import journal
from ..clock import now_ms
from ..identity import Identity
from ..journal import Happened, note
from ..loops.fits import place_key
from ..loops.loops import UNSHOWN
from ..model import AppRow, AssignmentRow, ClaimRow, ClaimState, Placement
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
        payload = _payload(identity, held)
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


def _payload(identity: Identity, held: bytes) -> bytes:
    """The signed bytes in an Envelope, by this hub's key or by the root's newer word. WireError, BadSignature."""
    envelope = decode(signing.Envelope, held)
    key = signing.public_key(identity.hub_key)
    if envelope.delegation != identity.delegation:
        word = signing.open_delegation(envelope.delegation, identity.pin)
        if (word.mesh, word.region) == (identity.mesh, identity.region) and word.serial > identity.serial:
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
        return decode(Assignment, _payload(identity, row.envelope))
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
    by_name = {row.name: row for row in await rows.nodes(tx)}
    held = {one.node: one for one in await paused_rows(tx) if not one.overwrite}
    if mesh is None or not (mesh.restored or held):
        raise ResumeRefused("cannot resume: this hub's store was not restored")
    chosen = []
    for name in names:
        node = next((row for label, row in by_name.items() if label == name), None)
        if node is None or node.id not in held:
            raise ResumeRefused(f"cannot resume {name}: it is not paused")
        chosen.append(held[node.id])
    members = {node.id: node for node in by_name.values()}
    for row in chosen:
        if take == "nodes":
            await _take_node(tx, identity, row, members[row.node].name)
        else:
            await put_paused(tx, _overwritten(row))
            await _end_claims(tx, identity, row)
            # Whoever overwrites a node means what that removes.
            confirmed = msgspec.structs.replace(members[row.node], confirmed_by=who)
            await rows.put_node(tx.as_owner(Owner.OPERATORS), confirmed)
    covered = {row.node for row in chosen}
    left = [row for row in held.values() if row.envelope is not None and row.node not in covered]
    hand = tx.as_owner(Owner.RESUME)
    epoch = mesh.epoch + 1 if take == "hub" and chosen else mesh.epoch
    epoch = max([epoch, *(row.issued.version.epoch + (take == "hub") for row in chosen)])
    await rows.put_mesh(
        hand, msgspec.structs.replace(mesh, restored=mesh.restored and bool(left), epoch=epoch)
    )
    because = f": {reason}" if reason else ""
    text = f"{who} resumed {', '.join(names) or 'the hub'}, taking the word of the {take}{because}"
    await note(hand, Happened("resumed", text, changer=who))


def _overwritten(row: PausedRow) -> PausedRow:
    return msgspec.structs.replace(row, overwrite=True)


async def _take_node(tx: Transaction, identity: Identity, row: PausedRow, name: str) -> None:
    """What the node holds becomes what this store has: apps, copies, claims, and the assignment itself."""
    assignment = opened(identity, row)
    if assignment is None:
        what = f"cannot take the word of {name}: it {UNSHOWN}"
        raise ResumeRefused(f"{what} (name the other nodes, and take the hub's word for this one)")
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
            await rows.end_placement(hand, one, now_ms(), "the node does not have it (resume)")
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


async def _end_claims(tx: Transaction, identity: Identity, row: PausedRow) -> None:
    """Claims that this store has on a node which let them go since: somebody that is away may have the next one."""
    held = {(one.id, one.claim) for one in found.instances} if (found := opened(identity, row)) else set()
    for claim in await rows.claims(tx):
        ours = claim.node == row.node and claim.state is ClaimState.HELD
        if ours and (claim.instance, claim.claim) not in held:
            ended = msgspec.structs.replace(claim, state=ClaimState.ENDING)
            await rows.put_claim(tx.as_owner(Owner.CLAIM), ended)


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
