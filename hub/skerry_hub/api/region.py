"""What an operator sets for the whole region: how long the storm brake holds, how many events are kept."""

from __future__ import annotations

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody

from ..hub import Hub
from ..model import Mesh
from ..operators import set_region
from ..store import Transaction, rows
from .auth import ADMIN, VIEWER
from .change import call_of
from .faults import AnyRequest, ApiError
from .views import RegionAsk, RegionView

KEEP_LEAST, KEEP_MOST = 1_000, 100_000_000


@get("/region", guards=[VIEWER])
async def show(request: AnyRequest) -> RegionView:
    """What holds for the region."""
    hub: Hub = request.app.state.hub
    async with hub.store.read() as store:
        mesh = await rows.mesh(store)
    assert mesh is not None
    return _view(mesh)


def _view(mesh: Mesh) -> RegionView:
    return RegionView(mesh.storm_hold_ms, mesh.keep_events)


@post("/region", guards=[ADMIN], status_code=200)
async def change(request: AnyRequest, data: JSONBody[RegionAsk]) -> RegionView:
    """Sets both, at once; a storm brake that holds already goes by the new word."""
    faults = tuple(_faults(data))
    if faults:
        raise ApiError(400, "cannot set this for the region", faults=faults)
    call = await call_of(request)

    async def effect(tx: Transaction) -> RegionView:
        before = await rows.mesh(tx)
        assert before is not None
        after = msgspec.structs.replace(
            before, storm_hold_ms=data.storm_hold_ms, keep_events=data.keep_events
        )
        if after != before:
            await set_region(tx, after, _view(after), call.person.name, data.reason)
        return _view(after)

    return await call.change(RegionView, effect)


def _faults(data: RegionAsk) -> list[str]:
    faults = []
    if data.storm_hold_ms is not None and data.storm_hold_ms < 0:
        faults.append(f"storm_hold_ms: found {data.storm_hold_ms}, expected 0 or more, or null for ever")
    if not KEEP_LEAST <= data.keep_events <= KEEP_MOST:
        faults.append(f"keep_events: found {data.keep_events}, expected {KEEP_LEAST} to {KEEP_MOST}")
    return faults


ROUTER = Router("/api", route_handlers=[show, change], tags=["hub"])
