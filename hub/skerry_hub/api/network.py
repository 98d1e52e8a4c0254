"""The network plan of each node, and what would change with it."""

from __future__ import annotations

from litestar import Router, get
from litestar.params import FromPath

from skerry_netplan.planner import Planner
from skerry_netplan.show import changes, lines
from skerry_protocol import signing
from skerry_protocol.codec import decode
from skerry_protocol.messages import Assignment
from skerry_protocol.network import Network

from ..hub import Hub
from ..model import NodeRow
from ..network.region import plan
from ..store import View, rows
from .auth import VIEWER
from .faults import AnyRequest, nothing
from .views import NetworkView


@get("/network", guards=[VIEWER])
async def all_plans(request: AnyRequest) -> list[NetworkView]:
    """Every node's network plan, by name."""
    hub: Hub = request.app.state.hub
    async with hub.store.read() as store:
        found = sorted(await rows.nodes(store), key=lambda row: row.name)
        return [await _view(hub, store, row) for row in found]


@get("/nodes/{name:str}/network", guards=[VIEWER])
async def one_plan(request: AnyRequest, name: FromPath[str]) -> NetworkView:
    """One node's network plan, by its name or id."""
    hub: Hub = request.app.state.hub
    async with hub.store.read() as store:
        row = await rows.node(store, name)
        if row is None:
            raise nothing("node", name)
        return await _view(hub, store, row)


async def _view(hub: Hub, store: View, row: NodeRow) -> NetworkView:
    outcome = hub.reconciler.last
    now = _planned(hub, outcome.planner, row) if outcome is not None and outcome.planner is not None else None
    return NetworkView(row.name, lines(now) if now else (), changes(await _held(hub, store, row), now))


def _planned(hub: Hub, planner: Planner, row: NodeRow) -> Network | None:
    return plan(planner, hub.door, row) if hub.door is not None else None


async def _held(hub: Hub, store: View, row: NodeRow) -> Network | None:
    """What the node last said that it accepted; until then, what it was told when it joined."""
    fact = hub.intake.facts.get(row.id)
    if fact is None or fact.accepted is None:
        return await hub.first_plan(row)
    kept = await rows.assignment(store, fact.accepted.digest)
    if kept is None:
        return None
    return decode(Assignment, decode(signing.Envelope, kept.envelope).assignment.payload).network


ROUTER = Router("/api", route_handlers=[all_plans, one_plan], tags=["nodes"])
