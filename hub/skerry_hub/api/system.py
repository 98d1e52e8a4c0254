"""The region at a glance, and a backup of its store while it runs."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

from litestar import Router, get
from litestar.response import Stream

from ..hub import Hub
from ..restoring.backup import make_backup
from ..restoring.paused import paused_rows
from ..store import StoreError, rows
from .auth import ADMIN, VIEWER
from .faults import AnyRequest
from .views import StatusView

CHUNK = 1 << 18
LITTLE_ROOM = 64 << 20


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
        term=hub.hearing.term,
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
    elif paused:
        yield f"PAUSED: {paused} nodes claim to hold what this hub never issued ('skerry hub resume' shows them)"
    if hub.store.trouble is not None:
        yield f"NOTHING IS DECIDED: {hub.store.trouble}"
    elif (free := shutil.disk_usage(hub.identity.data).free) < LITTLE_ROOM:
        yield f"LITTLE ROOM: {free >> 20} MB are free on the disk of {hub.identity.data}"
    outcome = hub.reconciler.last
    for one in outcome.withheld.values() if outcome is not None else ():
        if one.needs_confirmation:
            yield f"WITHHELD: {one.text}"
    if hub.hearing.storm is not None:
        yield f"STORM BRAKE: {hub.hearing.storm}"
    if hub.reconciler.trouble is not None and hub.store.trouble is None:
        yield hub.reconciler.trouble
    if hub.bus.probing.trouble is not None:
        yield f"REPORTS WAIT: {hub.bus.probing.trouble} (look at the disk that NATS has its store on)"
    if hub.tunnel is not None and hub.tunnel.trouble is not None:
        yield f"NO TUNNELS: {hub.tunnel.trouble}"
    if hub.nats.trouble is not None:
        yield f"NO NODES HEARD: {hub.nats.trouble}"


@get("/api/backup", guards=[ADMIN], media_type="application/vnd.sqlite3")
async def backup(request: AnyRequest) -> Stream:
    """A consistent copy of the store, as of now. The keys are not in it."""
    hub: Hub = request.app.state.hub
    opened = await asyncio.to_thread(_backup, hub)
    headers = {
        "Content-Disposition": f'attachment; filename="skerry-{hub.mesh.mesh}-{hub.mesh.region}.db"',
        "Content-Length": str(os.fstat(opened.fileno()).st_size),
    }
    return Stream(_chunks(opened), headers=headers)


def _backup(hub: Hub) -> BinaryIO:
    """A copy that has no name any more: whatever happens to the download, nothing is left behind."""
    data = hub.identity.data
    try:
        with tempfile.TemporaryDirectory(dir=data, prefix=".backup-") as folder:
            file = Path(folder) / "hub.db"
            make_backup(hub.store.path, file)
            return file.open("rb")
    except OSError as error:
        raise StoreError(
            f"cannot write a backup in {data}: {error.strerror} (look at the hub's disk)"
        ) from error


async def _chunks(opened: BinaryIO) -> AsyncIterator[bytes]:
    with opened:
        while chunk := await asyncio.to_thread(opened.read, CHUNK):
            yield chunk


ROUTER = Router("/", route_handlers=[healthz, status, backup], tags=["hub"])
