"""Resuming a restored hub: what is ahead of it, and an operator's word on whose state counts."""

from __future__ import annotations

from collections.abc import Mapping

from litestar import Router, get, post
from litestar.params import JSONBody

from skerry_protocol.ids import NodeId

from ..hub import Hub
from ..loops.loops import UNSHOWN
from ..model import NodeRow
from ..restoring.gaps import gaps
from ..restoring.paused import PausedRow, opened, paused_rows
from ..restoring.resume import ResumeRefused, resume
from ..store import Transaction, View, rows
from .auth import ADMIN, VIEWER
from .change import call_of
from .faults import AnyRequest, ApiError
from .views import Paused, ResumeAsk, ResumeView


@get("/resume", guards=[VIEWER])
async def show(request: AnyRequest) -> ResumeView:
    """Which nodes are ahead of this hub and paused, and which were not heard yet."""
    hub: Hub = request.app.state.hub
    async with hub.store.read() as store:
        return await _view(hub, store)


async def _view(hub: Hub, store: View) -> ResumeView:
    mesh = await rows.mesh(store)
    nodes = {row.id: row for row in await rows.nodes(store)}
    newest = {row.node: row.issued.version for row in await rows.issued(store)}
    held = [one for one in await paused_rows(store) if one.node in nodes and not one.overwrite]
    held.sort(key=lambda one: nodes[one.node].name)
    paused = tuple(
        Paused(
            nodes[one.node].name, str(one.issued.version), str(newest.get(one.node, "nothing")), _text(one)
        )
        for one in held
    )
    # What a node holds may be known from the stream before it is heard: then a resume covers it.
    known = {one.node for one in held}
    unheard = (row for row in nodes.values() if hub.hearing.last_heard(row.id) is None)
    away = tuple(sorted(row.name for row in unheard if row.id not in known))
    lost = _gaps(hub, held, nodes) if mesh is not None and mesh.rebuilt and (mesh.restored or held) else ()
    return ResumeView(mesh is not None and mesh.restored, paused, away, lost)


def _gaps(hub: Hub, held: list[PausedRow], nodes: Mapping[NodeId, NodeRow]) -> tuple[str, ...]:
    """What is not known, as far as those tell who are to be resumed."""
    shown = {row.node: found for row in held if (found := opened(hub.identity, row)) is not None}
    names = {node: row.name for node, row in nodes.items()}
    return gaps(shown, names, {one.sha256 for one in hub.artifacts.list()})


def _text(one: PausedRow) -> str:
    if one.envelope is None:
        return f"it {UNSHOWN}: only the hub's word can be taken"
    return "what it holds is known, and signed by this hub"


@post("/resume", guards=[ADMIN], status_code=200)
async def do(request: AnyRequest, data: JSONBody[ResumeAsk]) -> ResumeView:
    """Ends the pause of the nodes that are named, by their word or by the hub's."""
    if data.take not in {"nodes", "hub"}:
        raise ApiError(400, f"cannot resume: {data.take[:40]!r} is no word to take", "nodes or hub")
    hub: Hub = request.app.state.hub
    call = await call_of(request)

    async def effect(tx: Transaction) -> ResumeView:
        try:
            await resume(tx, hub.identity, data.nodes, data.take, call.person.name, data.reason)
        except ResumeRefused as refused:
            raise ApiError(409, str(refused)) from refused
        return await _view(hub, tx)

    return await call.change(ResumeView, effect)


ROUTER = Router("/api", route_handlers=[show, do], tags=["resume"])
