"""Archives: people push them, machines fetch them, each piece by piece and never whole in memory."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator

from litestar import Response, Router, get, head, put
from litestar.params import FromPath
from litestar.response import Stream

from skerry_protocol.app import Artifact

from ..artifacts.artifacts import BadArtifact, NoArtifact
from ..clock import now_ms
from ..hub import Hub
from ..store import Owner
from ..store import schema as s
from ..store.store import Value
from .auth import OPERATOR, VIEWER
from .faults import AnyRequest, ApiError, nothing
from .machine import proven

OCTETS = "application/octet-stream"
RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")


@put("/api/artifacts/{sha256:str}", guards=[OPERATOR], request_max_body_size=None)
async def push(request: AnyRequest, sha256: FromPath[str]) -> Artifact:
    """Takes an archive; its digest is computed again here. One that is here already is not read."""
    hub: Hub = request.app.state.hub
    found = await asyncio.to_thread(hub.artifacts.find, sha256)
    if found is None:
        found = await _receive(hub, request, sha256)
    async with hub.store.write() as tx:
        row: dict[str, Value] = {"sha256": sha256, "size": found.size, "name": sha256, "at_ms": now_ms()}
        await tx.as_owner(Owner.OPERATORS).put(s.artifacts, row)
    return found


async def _receive(hub: Hub, request: AnyRequest, sha256: str) -> Artifact:
    try:
        receiving = hub.artifacts.receive(sha256)
        with receiving:
            async for piece in request.stream():
                await asyncio.to_thread(receiving.write, piece)
            return await asyncio.to_thread(receiving.finish)
    except BadArtifact as error:
        raise ApiError(400, f"cannot take artifact {sha256[:12]}: {error}") from error
    except OSError as error:
        raise ApiError(507, f"cannot keep artifact {sha256[:12]}: {error.strerror}") from error


@head("/api/artifacts/{sha256:str}", guards=[VIEWER])
async def has(request: AnyRequest, sha256: FromPath[str]) -> None:
    """Whether it is here."""
    hub: Hub = request.app.state.hub
    if await asyncio.to_thread(hub.artifacts.find, sha256) is None:
        raise nothing("artifact", sha256)


@get("/artifacts/{sha256:str}", media_type=OCTETS)
async def fetch(request: AnyRequest, sha256: FromPath[str]) -> Response[bytes] | Stream:
    """An archive for a machine that proves itself; `Range: bytes=N-` goes on where it was cut off."""
    hub: Hub = request.app.state.hub
    await proven(request)
    found = await asyncio.to_thread(hub.artifacts.find, sha256)
    if found is None:
        raise nothing("artifact", sha256)
    first, last = _range(request.headers.get("range"), found.size)
    headers = {"Accept-Ranges": "bytes", "Content-Length": str(max(0, last + 1 - first))}
    status = 200
    if (first, last) != (0, found.size - 1) or "range" in request.headers:
        headers["Content-Range"] = f"bytes {first}-{last}/{found.size}"
        status = 206
    try:
        pieces = await asyncio.to_thread(hub.artifacts.read, sha256, first)
    except NoArtifact as error:
        raise nothing("artifact", sha256) from error
    return Stream(_pieces(pieces, last + 1 - first), status_code=status, headers=headers, media_type=OCTETS)


def _range(text: str | None, size: int) -> tuple[int, int]:
    """First and last byte that are wanted. Raises 416 for what the archive has not."""
    match = RANGE.fullmatch(text.strip()) if text else None
    if match is None:
        return 0, size - 1
    first, last = int(match[1]), int(match[2]) if match[2] else size - 1
    if first >= size or last < first:
        raise ApiError(416, f"cannot give bytes from {first}: the archive has {size}")
    return first, min(last, size - 1)


async def _pieces(pieces: Iterator[bytes], left: int) -> AsyncIterator[bytes]:
    while left > 0:
        piece = await asyncio.to_thread(next, pieces, b"")
        if not piece:
            return
        yield piece[:left]
        left -= len(piece)


ROUTER = Router("/", route_handlers=[push, has, fetch], tags=["artifacts"])
