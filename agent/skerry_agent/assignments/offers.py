"""Assignments on their way in: judged as they come, and looked for where a beat's answer names a newer one.

Owns what follows from a decision of `node.offer`: that it is said once, and that the units are switched. Looking for a
newer one is a loop of its own, because a large assignment on a slow line must not hold up beats.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from skerry_protocol.codec import WireError, decode
from skerry_protocol.messages import AssignmentAt, Issued

from ..artifacts.downloads import Downloads
from ..disk.disk import DiskError
from ..hublink.bus import BusError, NodeBus
from ..hublink.https import HttpsError
from ..reports.reporter import Reporter
from ..switch.node import Node
from .accept import Alarm, Decision, Refuse, Repeat, Take

log = logging.getLogger(__name__)

AT_MAX = 4096
AGAIN_LEAST_S = 2.0
AGAIN_MOST_S = 60.0


class Offers:
    """See the module. `taken` is called when what is held may have changed."""

    def __init__(
        self, node: Node, downloads: Downloads, reporter: Reporter, taken: Callable[[], None]
    ) -> None:
        self._node = node
        self._downloads = downloads
        self._reporter = reporter
        self._taken = taken
        self._behind = asyncio.Event()
        self._pause_s = AGAIN_LEAST_S

    def newest_is(self, newest: Issued | None) -> None:
        """A beat's answer: every beat is anti-entropy."""
        held = self._node.accepted
        if newest is None or (held is not None and newest.version < held.version):
            return
        if newest != held or self._node.assignment is None:
            self._behind.set()

    async def run(self, bus: NodeBus) -> None:
        """Fetches what is newer, until cancelled. What fails is tried again after the next beat."""
        while True:
            await self._behind.wait()
            self._behind.clear()
            try:
                data = await bus.newest()
            except BusError as error:
                log.info("%s", error)
                continue
            if data is not None:
                await self.offered(data)

    async def offered(self, data: bytes) -> None:
        """Bytes on our assign subject: an Envelope, or where to fetch it."""
        try:
            at = decode(AssignmentAt, data, limit=AT_MAX)
        except WireError:
            self.judge(data)
            return
        if at.issued == self._node.accepted and self._node.assignment is not None:
            return
        try:
            self.judge(await self._downloads.assignment(at))
        except HttpsError as error:
            log.warning("cannot fetch assignment %s: %s", at.issued.version, error)

    def judge(self, envelope: bytes) -> None:
        """The bytes of an Envelope."""
        before = (self._node.accepted, self._node.assignment is None)
        refusal = self._node.refusal
        try:
            decision = self._node.offer(envelope)
        except DiskError as error:
            self._node.writing("assignment", str(error))
            log.warning("%s", error)
            self._again()
        else:
            self._node.writing("assignment", None)
            self._pause_s = AGAIN_LEAST_S
            if self._node.refusal != refusal:  # a hub that says the same at every beat is heard once
                self._say(decision)
        if (self._node.accepted, self._node.assignment is None) != before:
            log.info("accepted %s", self._node.accepted.version if self._node.accepted else None)
            self._taken()

    def _again(self) -> None:
        """A disk that took nothing is tried with the newest there is by then, as switches are."""
        asyncio.get_running_loop().call_later(self._pause_s, self._behind.set)
        self._pause_s = min(2 * self._pause_s, AGAIN_MOST_S)

    def _say(self, decision: Decision) -> None:
        match decision:
            case Refuse():
                self._reporter.event(f"refused-{decision.code}", decision.text)
            case Alarm():
                self._reporter.event("alarm", decision.text)
            case Take() | Repeat():
                return
