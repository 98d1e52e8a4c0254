"""Downloads an artifact, going on where an earlier attempt was cut off. Edge: HTTP and files; blocking.

Owns `<folder>/<sha256>.part`, which grows across attempts, and `<folder>/<sha256>.tar`, which is whole and has the
right digest. When to try again, and whom to ask, is the caller's business: `fetch_async` runs one attempt in a thread.
The opener brings the connection (pinned TLS): it gives the response for a path and headers, or raises OSError or
HTTPException.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import threading
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from skerry_protocol.app import Artifact
from skerry_protocol.archive import BadArtifact

if TYPE_CHECKING:
    from http.client import HTTPResponse

__all__ = ["BadArtifact", "FetchFailed", "Opener", "fetch", "fetch_async"]

Opener = Callable[[str, dict[str, str]], "HTTPResponse"]
Progress = Callable[[int, int], None]  # bytes that are there, bytes in all

PIECE = 256 << 10
_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/(?:[0-9]{1,15}|\*)")


class FetchFailed(OSError):
    """An attempt that did not get to the end; what came is kept. Another may. `status` is the HTTP status, if any."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


def _failures() -> tuple[type[Exception], ...]:
    """What an opener and its response raise. Looked up when one does: a node at rest keeps no HTTP in memory."""
    from http.client import HTTPException  # noqa: PLC0415

    return HTTPException, OSError


def _nothing(_there: int, _whole: int) -> None:
    pass


def fetch(
    opener: Opener,
    path: str,
    artifact: Artifact,
    folder: Path,
    progress: Progress = _nothing,
    stop: threading.Event | None = None,
) -> Path:
    """The archive's file, downloaded from `path` unless it is there already. One call at a time for one digest.

    Raises FetchFailed (try again), BadArtifact (what came is not the artifact; nothing of it is kept) and OSError
    (disk). `stop`, once set, ends the download with FetchFailed after the piece that is under way.
    """
    whole, part = folder / f"{artifact.sha256}.tar", folder / f"{artifact.sha256}.part"
    if whole.is_file():
        whole.rename(part)  # left by an earlier start: it has to be the right one still
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with part.open("ab") as file:
        if file.tell() > artifact.size:
            _empty(file)
        if file.tell() < artifact.size:
            _download(opener, path, artifact, file, progress, stop or threading.Event())
        file.flush()
        os.fsync(file.fileno())
    _verify(part, artifact)
    part.rename(whole)
    return whole


async def fetch_async(
    opener: Opener, path: str, artifact: Artifact, folder: Path, progress: Progress = _nothing
) -> Path:
    """As `fetch`, in a thread. When cancelled, the thread ends after its piece; the opener's timeout bounds that."""
    stop = threading.Event()
    try:
        return await asyncio.to_thread(fetch, opener, path, artifact, folder, progress, stop)
    finally:
        stop.set()


def _download(
    opener: Opener, path: str, artifact: Artifact, file: BinaryIO, progress: Progress, stop: threading.Event
) -> None:
    start = file.seek(0, os.SEEK_END)
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        response = opener(path, headers | {"Accept-Encoding": "identity"})
    except _failures() as error:
        raise FetchFailed(f"cannot fetch {path}: {_words(error)}") from error
    try:
        _begin(response, start, file)
        _copy(response, artifact, file, progress, stop)
    finally:
        response.close()


def _read(response: HTTPResponse, most: int) -> bytes:
    try:
        return response.read1(most)
    except _failures() as error:
        raise FetchFailed(f"the download was cut off: {_words(error)}") from error


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _empty(file: BinaryIO) -> None:
    file.truncate(0)
    file.seek(0)


def _begin(response: HTTPResponse, start: int, file: BinaryIO) -> None:
    """Whether the answer goes on at `start`, or begins anew; else FetchFailed."""
    if response.status == HTTPStatus.OK:
        _empty(file)
    elif response.status == HTTPStatus.PARTIAL_CONTENT and start:
        match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != start:
            _empty(file)
            raise FetchFailed("the hub answered with another part than was asked for", response.status)
    else:
        if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            _empty(file)
        raise FetchFailed(f"the hub answered {response.status} {response.reason[:80]}", response.status)


def _copy(
    response: HTTPResponse,
    artifact: Artifact,
    file: BinaryIO,
    progress: Progress,
    stop: threading.Event,
) -> None:
    there = file.seek(0, os.SEEK_END)
    while there < artifact.size and not stop.is_set():
        piece = _read(response, min(PIECE, artifact.size - there))
        if not piece:
            break
        file.write(piece)
        there += len(piece)
        progress(there, artifact.size)
    if there < artifact.size:
        why = "was stopped" if stop.is_set() else "ended"
        raise FetchFailed(f"the download {why} after {there} of {artifact.size} bytes")
    # A longer answer has the right beginning at best; its digest would not fit what the hub calls by this name.
    if _read(response, 1):
        _empty(file)
        raise BadArtifact(f"the hub sent more than {artifact.size} bytes")


def _verify(part: Path, artifact: Artifact) -> None:
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != artifact.sha256:
        part.unlink()
        raise BadArtifact(f"what came has the sha256 {found}, not {artifact.sha256}")
