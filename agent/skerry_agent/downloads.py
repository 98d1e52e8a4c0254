"""Brings what the node wants and does not have from its hub, over pinned HTTPS: artifacts, and large assignments.

Owns which downloads are under way, and when one is tried again. A download that is still wanted is never begun anew; one
that no longer is, is ended. Must never judge what it brings: digests and archives are `fetch`'s and `unpack`'s.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import logging
import random
from collections.abc import Callable, Iterable
from pathlib import Path

from skerry_protocol.app import Artifact
from skerry_protocol.messages import AssignmentAt
from skerry_protocol.signing import FETCH, fetch_words, sign

from .fetch import BadArtifact, FetchFailed, fetch_async
from .https import HttpsError, PinnedHttps
from .identity import Identity
from .unpack import unpack

log = logging.getLogger(__name__)

AT_ONCE = 2
RETRY_LEAST_S = 1.0
RETRY_MOST_S = 120.0
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
        self._few = asyncio.Semaphore(AT_ONCE)
        self._hurry = asyncio.Event()

    def want(self, artifacts: Iterable[Artifact]) -> None:
        """Exactly these are wanted from now on."""
        wanted = {artifact.sha256: artifact for artifact in artifacts}
        for sha in set(self._running) - set(wanted):
            self._running.pop(sha).cancel()
        for sha, artifact in wanted.items():
            if sha not in self._running:
                self._running[sha] = asyncio.create_task(self._bring(artifact))

    def hurry(self) -> None:
        """The hub can be reached again: do not wait out a pause."""
        self._hurry.set()
        self._hurry = asyncio.Event()

    async def close(self) -> None:
        """End all; what came so far is kept."""
        tasks = list(self._running.values())
        self.want(())
        await asyncio.gather(*tasks, return_exceptions=True)

    async def assignment(self, at: AssignmentAt) -> bytes:
        """The Envelope that is named. Raises HttpsError."""
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

    def _open(self, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        hub, proof = self._proven()
        return hub.open(path, headers | proof)

    async def _bring(self, artifact: Artifact) -> None:
        """Until it is here, or not wanted any more."""
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
                path = f"/artifacts/{artifact.sha256}"
                archive = await fetch_async(self._open, path, artifact, self._parts)
                await asyncio.to_thread(unpack, archive, artifact, self._artifacts)
                archive.unlink(missing_ok=True)
        except BadArtifact as error:
            (self._parts / f"{artifact.sha256}.tar").unlink(missing_ok=True)
            return f"the artifact cannot be used: {error}"
        except FetchFailed as error:
            return str(error)
        except OSError as error:
            return f"cannot keep the artifact: {error.strerror or error}"
        return ""

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(random.SystemRandom().uniform(seconds / 2, seconds)):
                await self._hurry.wait()
        except TimeoutError:
            return

