"""Brings what the node wants and does not have from its hub, over pinned HTTPS: artifacts, large assignments.

Owns which downloads are under way, and when one is tried again. A download that is still wanted is never begun anew;
one that no longer is, is ended. Must never judge what it brings: digests and archives are `fetch`'s and `unpack`'s.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from skerry_protocol.app import Artifact
from skerry_protocol.codec import MESSAGE_MAX
from skerry_protocol.messages import AssignmentAt
from skerry_protocol.signing import FETCH, fetch_words, sign

from ..hublink.https import HttpsError, PinnedHttps
from ..joining.identity import Identity
from .fetch import BadArtifact, FetchFailed, fetch
from .unpack import unpack

if TYPE_CHECKING:
    from http.client import HTTPResponse

log = logging.getLogger(__name__)

AT_ONCE = 2
RETRY_LEAST_S = 1.0
RETRY_MOST_S = 120.0
CLOSE_S = 1.0
HTTP_OK = 200
# (sha256, reason): empty when it is here.
OnResult = Callable[[str, str], None]


class Downloads:
    """See the module."""

    def __init__(self, identity: Identity, machine_key: bytes, state: Path, on_result: OnResult) -> None:
        self._identity = identity
        self._key = machine_key
        self._artifacts = state / "artifacts"
        self._parts = state / "downloads"
        self._on_result = on_result
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._few = asyncio.Semaphore(AT_ONCE)
        self._hurry = asyncio.Event()

    def renewed(self, identity: Identity) -> None:
        """The node learned other addresses of its hubs, or another key."""
        self._identity = identity

    def want(self, artifacts: Iterable[Artifact]) -> None:
        """Exactly these are wanted from now on."""
        wanted = {artifact.sha256: artifact for artifact in artifacts}
        for sha in set(self._running) - set(wanted):
            self._end(sha)
        for sha, artifact in wanted.items():
            if sha not in self._running:
                self._running[sha] = asyncio.create_task(self._bring(artifact, self._ending.get(sha)))
        self._sweep()

    def _end(self, sha: str) -> None:
        task = self._running.pop(sha)
        task.cancel()
        self._ending[sha] = task
        task.add_done_callback(lambda _: self._gone(sha, task))

    def _gone(self, sha: str, task: asyncio.Task[None]) -> None:
        if self._ending.get(sha) is task:
            del self._ending[sha]
        self._sweep()

    def _sweep(self) -> None:
        """What came of a download that nobody wants any more is removed."""
        busy = {*self._running, *self._ending}
        for path in self._parts.glob("*") if self._parts.is_dir() else ():
            if path.stem not in busy:
                with suppress(OSError):
                    path.unlink()

    def hurry(self) -> None:
        """The hub can be reached again: do not wait out a pause."""
        self._hurry.set()
        self._hurry = asyncio.Event()

    async def close(self) -> None:
        """End all; what came so far is kept."""
        tasks = [*self._running.values(), *self._ending.values()]
        for task in tasks:
            task.cancel()
        self._running.clear()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_S)

    async def assignment(self, at: AssignmentAt) -> bytes:
        """The Envelope that is named. Raises HttpsError."""
        if not 0 < at.size <= MESSAGE_MAX:
            raise HttpsError(
                f"cannot fetch an assignment of {at.size} bytes: at most {MESSAGE_MAX} are taken"
            )
        path = f"/assignments/{at.issued.digest.hex()}"
        return await asyncio.to_thread(self._get, path, at.size + 4096)

    def _get(self, path: str, limit: int) -> bytes:
        hub, headers = self._proven()
        reply = hub.request("GET", path, headers=headers, limit=limit)
        if reply.status != HTTP_OK:
            raise HttpsError(f"cannot fetch {path}: the hub answers {reply.status}")
        return reply.body

    def _proven(self) -> tuple[PinnedHttps, dict[str, str]]:
        """A hub that proved itself, and the header that proves this node to it."""
        met = PinnedHttps(self._identity.hubs, self._identity.pin, self._identity.word.serial).introduce()
        words = fetch_words(self._identity.node, met.delegation.tls_key)
        signature = base64.b64encode(sign(self._key, FETCH, words).signature).decode()
        headers = {"Authorization": f"Skerry-Node {self._identity.node} {signature}"}
        return PinnedHttps((met.hub,), self._identity.pin, met.delegation.serial), headers

    def _open(self, path: str, headers: dict[str, str]) -> HTTPResponse:
        hub, proof = self._proven()
        return hub.open(path, headers | proof)

    async def _bring(self, artifact: Artifact, before: asyncio.Task[None] | None) -> None:
        """Until it is here, or not wanted any more. One at a time for one digest: `before` is let end first."""
        if before is not None:
            await asyncio.wait([before])
        pause = RETRY_LEAST_S
        while True:
            reason = await self._attempt(artifact)
            if not reason:
                break
            self._on_result(artifact.sha256, reason)
            await self._pause(pause)
            pause = min(2 * pause, RETRY_MOST_S)
        self._running.pop(artifact.sha256, None)
        self._on_result(artifact.sha256, "")

    async def _attempt(self, artifact: Artifact) -> str:
        """Why it is not here yet, or nothing."""
        try:
            async with self._few:
                await self._in_thread(artifact)
        except BadArtifact as error:
            (self._parts / f"{artifact.sha256}.tar").unlink(missing_ok=True)
            return f"the artifact cannot be used: {error}"
        except FetchFailed as error:
            return str(error)
        except OSError as error:
            return f"cannot keep the artifact: {error.strerror or error}"
        except Exception as error:  # else nothing would ever try again
            log.exception("a download failed")
            return f"cannot fetch the artifact: {error}"
        return ""

    async def _in_thread(self, artifact: Artifact) -> None:
        """When cancelled it ends only once the thread has: two of them must not write the same files."""
        stop = threading.Event()
        work = asyncio.get_running_loop().run_in_executor(None, self._get_and_unpack, artifact, stop)
        work.add_done_callback(
            lambda done: done.cancelled() or done.exception()
        )  # nobody may be left to hear it
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([work])
            raise
        work.result()

    def _get_and_unpack(self, artifact: Artifact, stop: threading.Event) -> None:
        archive = fetch(self._open, f"/artifacts/{artifact.sha256}", artifact, self._parts, stop=stop)
        unpack(archive, artifact, self._artifacts)
        archive.unlink(missing_ok=True)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(random.SystemRandom().uniform(seconds / 2, seconds)):
                await self._hurry.wait()
        except TimeoutError:
            return
