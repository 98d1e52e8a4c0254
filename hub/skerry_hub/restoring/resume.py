"""An operator's word on a hub that was restored, or made anew: whose state counts.

"nodes": what they hold becomes the truth here: apps, copies, claims, and the assignment itself. Between nodes, and
between a node and this store, the highest claim of a copy wins. "hub": they are overwritten, in a new epoch. Only nodes
that were named are covered.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from skerry_protocol.ids import AppName, NodeId
from skerry_protocol.messages import Assignment, Instance

from .. import journal
from ..clock import now_ms
from ..identity import Identity
from ..journal import Happened, note
from ..loops.fits import place_key
from ..loops.loops import UNSHOWN
from ..model import AppRow, ClaimRow, ClaimState, Placement
from ..store import Owner, Transaction, rows
from ..store import schema as s
from .paused import PausedRow, as_issued, opened, paused_rows, put_paused


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
    # In the place of one that this store made under the same number, before it knew: its node will not take that.
    await sign.put(s.assignments, rows.assignment_values(as_issued(row, assignment)))
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
    claims = {(row.app, row.number): row for row in await rows.claims(tx)}
    apps = {(entry.app.name, entry.revision): entry.app for entry in assignment.apps}
    has = {one.id for one in assignment.instances}
    for one in await rows.placements(tx):
        if one.node == assignment.node and one.instance not in has:
            await rows.end_placement(hand, one, now_ms(), "the node does not have it (resume)")
        elif one.node != assignment.node and (one.app, one.number) in _outbid(assignment, claims):
            await rows.end_placement(hand, one, now_ms(), "another node has a higher claim (resume)")
    for copy in assignment.instances:
        if (known := claims.get((copy.app, copy.number))) and _loses(copy, known, assignment.node):
            continue
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


def _loses(copy: Instance, known: ClaimRow, node: NodeId) -> bool:
    """Whether another node has a higher claim of this copy: what this one holds has ended since."""
    return copy.claim is not None and known.node != node and known.claim > copy.claim


def _outbid(
    assignment: Assignment, claims: Mapping[tuple[AppName, int], ClaimRow]
) -> frozenset[tuple[AppName, int]]:
    """The copies of which this node has a higher claim than the one that is known, on another node."""
    return frozenset(
        (copy.app, copy.number)
        for copy in assignment.instances
        if (known := claims.get((copy.app, copy.number)))
        and copy.claim is not None
        and known.node != assignment.node
        and known.claim < copy.claim
    )


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
