"""The region at a glance, and a backup of its store while it runs."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from litestar import Router, get
from litestar.response import Stream

from ..backup import make_backup
from ..hub import Hub
from ..natsedge import NONE
from ..resume import paused_rows
from ..store import rows
from .auth import ADMIN, VIEWER
from .faults import AnyRequest
from .views import StatusView

CHUNK = 1 << 18


@get("/healthz", opt={"public": True})
async def healthz() -> dict[str, str]:
    """Whether the hub answers; says nothing else."""
    return {"state": "ok"}


@get("/api/status", guards=[VIEWER])
async def status(request: AnyRequest) -> StatusView:
    """The region in a few numbers, with what everybody must see."""
    hub: Hub = request.app.state.hub
    async with hub.store.read() as store:
        mesh = await rows.mesh(store)
        nodes, apps = await rows.nodes(store), await rows.apps(store)
        paused = [one for one in await paused_rows(store) if not one.overwrite]
    assert mesh is not None
    return StatusView(
        mesh=mesh.mesh,
        region=mesh.region,
        epoch=mesh.epoch,
        term=hub.term,
        nodes=len(nodes),
        silent=len(hub.hearing.silent()),
        apps=sum(row.app is not None for row in apps),
        restored=mesh.restored,
        loud=tuple(_loud(hub, mesh.restored, len(paused))),
    )


def _loud(hub: Hub, restored: bool, paused: int) -> Iterator[str]:
    if restored:
        yield (
            f"RESTORED STORE: {paused} nodes are ahead and paused; no forbid copy gets a new claim"
            " until 'skerry hub resume'"
        )
    if hub.hearing.storm is not None:
        yield f"STORM BRAKE: {hub.hearing.storm}"
    if hub.reconciler.trouble is not None:
        yield hub.reconciler.trouble
    if hub.settings.nats != NONE and hub.bus.trouble is not None:
        yield f"NO NODES HEARD: {hub.bus.trouble}"


@get("/api/backup", guards=[ADMIN], media_type="application/vnd.sqlite3")
async def backup(request: AnyRequest) -> Stream:
    """A consistent copy of the store, as of now. The keys are not in it."""
    hub: Hub = request.app.state.hub
    folder = Path(tempfile.mkdtemp(dir=hub.identity.data, prefix=".backup-"))
    file = folder / "hub.db"
    try:
        await asyncio.to_thread(make_backup, hub.store.path, file)
    except BaseException:
        await asyncio.to_thread(_clear, folder)
        raise
    headers = {
        "Content-Disposition": f'attachment; filename="skerry-{hub.mesh.mesh}-{hub.mesh.region}.db"',
        "Content-Length": str(file.stat().st_size),
    }
    return Stream(_chunks(file, folder), headers=headers)


async def _chunks(file: Path, folder: Path) -> AsyncIterator[bytes]:
    try:
        with await asyncio.to_thread(file.open, "rb") as opened:
            while chunk := await asyncio.to_thread(opened.read, CHUNK):
                yield chunk
    finally:
        await asyncio.to_thread(_clear, folder)


def _clear(folder: Path) -> None:
    for file in folder.glob("*"):
        file.unlink(missing_ok=True)
    folder.rmdir()


ROUTER = Router("/", route_handlers=[healthz, status, backup], tags=["hub"])
