"""The region at a glance, and a backup of its store while it runs."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from litestar import Router, get
from litestar.response import Stream

from ..backup import make_backup
from ..hub import Hub
from .auth import ADMIN
from .faults import AnyRequest

CHUNK = 1 << 18


@get("/healthz", opt={"public": True})
async def healthz() -> dict[str, str]:
    """Whether the hub answers; says nothing else."""
    return {"state": "ok"}


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


ROUTER = Router("/", route_handlers=[healthz, backup], tags=["hub"])
