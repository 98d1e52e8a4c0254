"""Members of a region whose hub was lost: each shows the assignment that it holds, and is known again by it.

Only for a hub that was rebuilt. What proves a machine is its own key; that it was a member, the root's word for the hub
that signed its assignment. It comes in paused: what it holds counts when an operator resumes it. Must never let in who
was forgotten since, nor give one machine another's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from skerry_protocol import signing
from skerry_protocol.codec import WireError, decode
from skerry_protocol.ids import NodeId, NodeName, is_name, node_id
from skerry_protocol.messages import Assignment, Issued, JoinReply, Returning

from ..clock import now_ms
from ..model import NodeRow
from ..operators import set_node
from ..restoring.paused import PausedRow, is_known, opened_envelope, put_paused
from ..store import Transaction, rows
from ..store import schema as s
from .joining import ARCHES, FORGOTTEN, JoinRefused, reply, said_to_both, with_keys

if TYPE_CHECKING:
    from ..hub import Hub


async def returned(hub: Hub, signed: signing.Signed, host: str | None) -> JoinReply:
    """Lets a former member in again, or raises JoinRefused. `host` is the name by which it reached this hub."""
    if not hub.mesh.rebuilt:
        raise JoinRefused("cannot return: this hub was not rebuilt, and knows its members", "join anew")
    asked = _proven(hub, signed)
    node = node_id(asked.machine_key)
    assignment, issued = _held(hub, asked, node)
    async with said_to_both(hub), hub.store.write() as tx:
        row = await rows.node(tx, node)
        if row is None or row.id != node:
            row = await _made(tx, asked, node, assignment)
        row = await with_keys(tx, hub, row, asked.link_key, asked.direct_key, host)
        if not await is_known(tx, node, issued):
            await put_paused(tx, PausedRow(node, issued, asked.envelope))
    await hub.reconciler.caught_up()
    return await reply(hub, row, host)


def _proven(hub: Hub, signed: signing.Signed) -> Returning:
    try:
        asked = decode(Returning, signed.payload)
        signing.verify(asked.machine_key, signing.RETURN, signed)
    except (WireError, signing.BadSignature) as error:
        raise JoinRefused(f"cannot return: {error}", status=400) from error
    if asked.tls_key != hub.identity.tls_pin:
        raise JoinRefused("cannot return: the request is for another hub")
    return asked


def _held(hub: Hub, asked: Returning, node: NodeId) -> tuple[Assignment, Issued]:
    """What the machine holds, if a hub of this mesh and region gave it to this very machine."""
    try:
        payload = opened_envelope(hub.identity, asked.envelope)
        assignment = decode(Assignment, payload)
    except (WireError, signing.BadSignature) as error:
        raise JoinRefused(
            f"cannot return: what it holds is no word of this mesh: {error}", "join anew"
        ) from error
    if assignment.node != node:
        raise JoinRefused("cannot return: what it holds was given to another machine", "join anew")
    return assignment, Issued(assignment.version, signing.digest(payload))


async def _made(tx: Transaction, asked: Returning, node: NodeId, assignment: Assignment) -> NodeRow:
    if await tx.one(select(s.forgotten.c.id).where(s.forgotten.c.id == node)):
        then = "join with a new key"
        raise JoinRefused("cannot return: this machine was forgotten under its key", then, FORGOTTEN)
    name = assignment.node_name if is_name(assignment.node_name) else NodeName(f"node-{node[:8]}")
    if await rows.node(tx, name) is not None:
        then = f"let an operator forget {name}, or join anew under another name"
        raise JoinRefused(f"cannot return as {name}: another machine has that name", then, 409)
    row = NodeRow(
        id=node,
        name=name,
        machine_key=asked.machine_key,
        labels=dict(assignment.labels),
        arch=ARCHES.get(asked.arch, asked.arch[:40]),
        memory_bytes=max(0, min(asked.memory_bytes, 1 << 62)),
        cpu_milli=max(0, min(asked.cpu_milli, 1 << 40)),
        joined_at_ms=now_ms(),
        machine=asked.machine[:64],
    )
    return await set_node(tx, row, "rebuild", "returned", f"it holds assignment {assignment.version}")
