"""What the node tells its hub beside beats: steps and events, kept on disk until the transport has taken them.

Edge around `steps` and `outbox`. Order that matters: the outbox with its new numbers is on disk before a batch is sent,
so that a number is never given twice. A disk that cannot be written holds reports back, never the work.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable

from msgspec import Struct, field, structs

from skerry_protocol.ids import AppName, InstanceId
from skerry_protocol.messages import Event, Instance, Step, StepName, StepState, Version

from ..disk.disk import TOLD, Damaged, DiskError, StateDir
from ..health import steps
from ..health.steps import Book
from ..hublink.bus import BusError, NodeBus
from . import outbox
from .outbox import Outbox

log = logging.getLogger(__name__)

RECORD = TOLD
GATHER_S = 0.05  # changes come in bursts: one write and one message for all of them
RETRY_S = 5.0


# What could or could not be kept, and why not (see Node.writing).
Writing = Callable[[str, str | None], None]


def _unheard(_what: str, _trouble: str | None) -> None:
    """For whoever does not care."""


class Told(Struct, frozen=True, omit_defaults=True):
    """The record on disk. `boot`: in which boot it was written; empty where nobody knows."""

    box: Outbox
    book: Book = field(default_factory=Book)
    boot: str = ""


def now_ms() -> int:
    """The wall clock, for people: milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Reporter:
    """Takes steps and events at any time; `run` sends them."""

    def __init__(self, disk: StateDir, writing: Writing = _unheard, boot: str = "") -> None:
        self._disk = disk
        self._writing = writing
        self._dirty = asyncio.Event()
        self.trouble: str | None = None
        found = disk.saved(RECORD, Told)
        # A new outbox has a new id: the hub counts its numbers apart from those of a lost one. Steps have no such id,
        # so a new book begins above every number that a lost one may have given.
        fresh = Told(Outbox(secrets.token_hex(8)), Book(time.time_ns() // 1000))
        before = found if isinstance(found, Told) else fresh
        self._told = structs.replace(before, boot=boot)
        if before.boot not in ("", boot):
            self._told = structs.replace(self._told, book=steps.booted(before.book))
            self.event("booted", "the machine has booted")
        if isinstance(found, Damaged):
            self.event("outbox-damaged", f"{found.text}: what was not reported yet is lost")

    @property
    def book(self) -> Book:
        """Where each instance is."""
        return self._told.book

    def step(
        self,
        instance: Instance,
        revision: int,
        version: Version,
        name: StepName,
        state: StepState,
        reason: str = "",
    ) -> None:
        """An instance's step is in this state now; nothing is said twice."""
        book, new = steps.note(self._told.book, instance, revision, version, name, state, now_ms(), reason)
        if new is not None:
            self._set(outbox.add_step(self._told.box, new), book)

    def event(
        self, code: str, text: str, app: AppName | None = None, instance: InstanceId | None = None
    ) -> None:
        """Something happened that people want to know."""
        log.info("%s", text)
        box = outbox.add_event(self._told.box, Event(code, text, now_ms(), app, instance))
        self._set(box, self._told.book)

    def keep_only(self, instances: Iterable[InstanceId]) -> None:
        """Forget the steps of instances that are gone."""
        book = steps.forget(self._told.book, instances)
        if book != self._told.book:
            self._set(self._told.box, book)

    def newest(self) -> tuple[Step, ...]:
        """Every step that is known."""
        return tuple(step for of_one in self._told.book.steps.values() for step in of_one.values())

    def retell(self) -> None:
        """The hub lost what it was told: every known step is sent again, as it is."""
        box = self._told.box
        for step in self.newest():
            box = outbox.add_step(box, step)
        self._set(box, self._told.book)

    def _set(self, box: Outbox, book: Book) -> None:
        self._told = structs.replace(self._told, box=box, book=book)
        self._dirty.set()

    def save(self) -> bool:
        """Put it on disk. Whether that was done; if not, `trouble` says why and `run` tries again."""
        try:
            self._disk.save(RECORD, self._told)
            self.trouble = None
        except DiskError as error:
            self.trouble = f"cannot keep reports: {error}"
        self._writing("reports", self.trouble)
        return self.trouble is None

    def _again(self) -> None:
        asyncio.get_running_loop().call_later(RETRY_S, self._dirty.set)

    async def run(self, bus: NodeBus) -> None:
        """Saves and sends until cancelled."""
        while True:
            await self._dirty.wait()
            await asyncio.sleep(GATHER_S)
            self._dirty.clear()
            if not self.save():
                self._again()
            elif bus.connected.is_set():
                await self._send_all(bus)

    def wake(self) -> None:
        """There is a connection again."""
        self._dirty.set()

    async def _send_all(self, bus: NodeBus) -> None:
        while True:
            box, batch = outbox.next_batch(self._told.box, now_ms())
            if batch is None:
                return
            self._told = structs.replace(self._told, box=box)
            if not self.save():
                break  # the numbers are not on disk: after a crash others would get them
            try:
                await bus.report(batch)
            except BusError as error:
                log.info("%s", error)
                break
            self._told = structs.replace(self._told, box=outbox.acknowledged(self._told.box, batch))
            if not self.save():
                break
        self._again()
