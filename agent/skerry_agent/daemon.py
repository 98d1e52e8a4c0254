"""The running agent: one event loop that keeps this node in step with its hub, and can be ended at any moment.

Composition only; each loop is in its own module. Order of a start: the disk is read, the local socket opens, systemd is
told READY; only then leases are looked at and the hub is sought. No instance depends on any of this.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from importlib.metadata import version

import msgspec

from skerry_protocol.codec import WireError, decode
from skerry_protocol.messages import AssignmentAt, BeatReply, Override

from . import health, pinned
from .accept import Alarm, Refuse, Take
from .answering import Answering
from .beating import Beating
from .bus import BusError, Handlers, Login, NodeBus
from .disk import DiskError
from .downloads import Downloads
from .https import HttpsError
from .identity import Identity, machine_key
from .lives import Lives
from .local import LocalServer
from .node import Node, Places
from .notify import notify, watchdog_seconds
from .overrides import NotPossible
from .reporter import Reporter, now_ms
from .status import StatusView, status, unit_names
from .switching import Switching
from .systemd import Outcome, Resync, Systemd
from .target import Running

log = logging.getLogger(__name__)

LAST_BEAT_S = 3.0
RESYNC_S = 5.0


class Agent:
    """One run of the agent."""

    def __init__(self, places: Places, identity: Identity, systemd: Systemd) -> None:
        self.node = Node(places, identity, systemd)
        self.node.open()
        self._systemd = systemd
        key = machine_key(places.state)
        self.reporter = Reporter(self.node.disk)
        self.lives = Lives(systemd, self._health_says, lambda running, life: self.switching.lived(running, life))
        self.downloads = Downloads(identity, key, places.state, lambda sha, why: self.switching.fetched(sha, why))
        self.switching = Switching(self.node, self.lives, self.downloads, self.reporter, self._applied)
        self.answering = Answering(self.node, self.view, self._overridden)
        self.bus = NodeBus(
            identity.region,
            Login(identity.node, identity.credentials, key),
            lambda: identity.nats,
            lambda: pinned.context(pinned.only(lambda: {identity.word.tls_key})),
            Handlers(self._offered, self.answering.ask, self._nudged, self._connected),
        )
        self.beating = Beating(self.node, systemd, self.bus, self._answered, version("skerry"))

    async def run(self) -> None:
        """Until SIGTERM."""
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        local = LocalServer(self.answering.local)
        await local.start()
        notify("READY=1")
        await self.beating.look()
        await self.beating.assigned()
        self.switching.due()
        tasks = [asyncio.create_task(self._kept_up(loop)) for loop in self._loops()]
        await stopping.wait()
        notify("STOPPING=1")
        await self._last_beat()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.downloads.close()
        await self.lives.close()
        await local.close()
        self.reporter.save()

    def _loops(self) -> list[Callable[[], object]]:
        return [
            self.bus.run, self.beating.run, self.switching.run, self._watch_units, self._watchdog,
            lambda: self.reporter.run(self.bus),
        ]  # fmt: skip

    async def _kept_up(self, loop: Callable[[], object]) -> None:
        """A fault in one loop must not end the others; it is said and the loop begins again."""
        while True:
            try:
                await loop()  # type: ignore[misc]
                return
            except DiskError as error:
                log.warning("%s", error)
                self.node.conditions["disk"] = str(error)
            except Exception:
                log.exception("a loop of the agent failed and begins again")
            await asyncio.sleep(RESYNC_S)

    async def _watchdog(self) -> None:
        seconds = watchdog_seconds()
        while seconds is not None:
            notify("WATCHDOG=1")
            await asyncio.sleep(seconds)

    async def _watch_units(self) -> None:
        async for change in self._systemd.changes():
            if isinstance(change, Resync):
                await self.lives.refresh_all()
                self.switching.due()
            else:
                self.beating.unit_changed(change.name, change.active)
                await self.lives.changed(change)

    # From the hub

    async def _connected(self) -> None:
        self.beating.beat_now()
        self.downloads.hurry()
        self.reporter.wake()

    async def _nudged(self) -> None:
        self.beating.beat_now()

    async def _offered(self, data: bytes) -> None:
        """Bytes on our assign subject: an Envelope, or where to fetch it."""
        try:
            at = decode(AssignmentAt, data, limit=4096)
        except WireError:
            self._judge(data)
            return
        try:
            self._judge(await self.downloads.assignment(at))
        except HttpsError as error:
            log.warning("cannot fetch assignment %s: %s", at.issued.version, error)

    def _judge(self, envelope: bytes) -> None:
        try:
            decision = self.node.offer(envelope)
        except DiskError as error:
            self.node.conditions["disk"] = str(error)
            self.reporter.event("disk", str(error))
            return
        self.node.conditions.pop("disk", None)
        match decision:
            case Take():
                log.info("accepted %s", decision.issued.version)
                self.switching.due()
                self.beating.beat_now()
            case Refuse():
                self.reporter.event(f"refused-{decision.code}", decision.text)
            case Alarm():
                self.reporter.event("alarm", decision.text)
            case _:
                return

    async def _answered(self, reply: BeatReply) -> None:
        """Every beat is anti-entropy: what the hub issued last is compared with what is held."""
        newest, held = reply.newest, self.node.accepted
        if newest is None or newest == held or (held is not None and newest.version < held.version):
            return
        try:
            data = await self.bus.newest()
        except BusError as error:
            log.info("%s", error)
            return
        if data is not None:
            await self._offered(data)

    # From the node itself

    async def _applied(self) -> None:
        await self.beating.assigned()
        if self.node.accepted == self.node.applied.issued:
            self.beating.beat_now()

    async def _health_says(self, running: Running, action: health.Action) -> None:
        app, instance = running.entry.app.name, running.instance
        if isinstance(action, health.Restart):
            self.reporter.event("restarted", f"{instance.id} is restarted: {action.reason}", app, instance.id)
            await self._systemd.restart(running.rendered.service, running.rendered.stop_ms / 1000 + 90)
            return
        word = self.node.roll_back(instance, "health", action.reason, now_ms())
        if isinstance(word, NotPossible):
            self.reporter.event("rollback-not-possible", f"{word.reason}; {action.reason}", app, instance.id)
            return
        self._overridden(f"{instance.id} is put back to revision {word.instead}: {action.reason}", word)

    def _overridden(self, text: str, word: Override | None) -> None:
        self.reporter.event("override", text, word.app if word else None, word.instance if word else None)
        self.switching.due()
        self.beating.beat_now()

    async def view(self) -> StatusView:
        """The node's status, as it is now."""
        shown = await self._systemd.show(unit_names(self.node))
        units = {} if isinstance(shown, Outcome) else {unit.name: unit for unit in shown}
        hub = "" if self.bus.connected.is_set() else (self.bus.trouble or "not connected")
        hub = hub or self.beating.trouble or ""
        return status(
            self.node, units, self.reporter.book, self.beating.state, hub, "running", self.beating.boottime_ms()
        )

    async def _last_beat(self) -> None:
        """At a clean shutdown the hub is told that all fenced copies have stopped, so that the next boot need not wait."""
        if not self.bus.connected.is_set() or await self._systemd.system_state() != "stopping":
            return
        units = await self._systemd.units(["skerry-*"])
        fenced = {one.rendered.service for one in self.node.applied.instances.values() if one.rendered.lease}
        if isinstance(units, Outcome) or any(unit.up for unit in units if unit.name in fenced):
            return
        try:
            async with asyncio.timeout(LAST_BEAT_S):
                await self.beating.beat(stopped=True)
        except TimeoutError:
            log.info("the hub did not answer the last beat")


def as_json(view: StatusView) -> bytes:
    """For the command line."""
    return msgspec.json.encode(view)
