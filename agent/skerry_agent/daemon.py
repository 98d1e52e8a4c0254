"""The running agent: one event loop that keeps this node in step with its hub, and can be ended at any moment.

Composition only; each loop is in its own module. Order of a start: the disk is read, the local socket opens, systemd is
told READY; only then leases are looked at and the hub is sought. Order of an end: no beat may follow the last one, and
the connection goes last. No instance depends on any of this.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Iterable

from skerry_protocol.messages import BeatReply, Override
from skerry_protocol.signing import Delegation

from .artifacts.downloads import Downloads
from .assignments.offers import Offers
from .disk.disk import DiskError
from .disk.files import REAL, Files
from .health import health
from .health.lives import Lives
from .hublink import pinned
from .hublink.bus import Handlers, Login, NodeBus
from .hublink.renewing import Renewed, Renewing
from .joining.identity import Identity, machine_key
from .leases.beating import Beating
from .network.records import STATUS
from .notify import notify, watchdog_seconds
from .release import version
from .reports.reporter import Reporter, now_ms
from .switch.node import Node
from .switch.overrides import NotPossible
from .switch.places import Places
from .switch.strangers import INSTANCES
from .switch.switching import Switching
from .switch.target import Running
from .systemd import Outcome, Resync, Systemd
from .units import filewatch
from .units.filewatch import Watch
from .view.answering import Answering
from .view.local import LocalServer
from .view.status import StatusView, status, unit_names

log = logging.getLogger(__name__)

LAST_BEAT_S = 3.0
RESYNC_S = 5.0
END_S = 0.5
ENDS = 10
HEALTH = "health"


class Agent:
    """One run of the agent. `watch`: how it hears of changed files."""

    def __init__(
        self,
        places: Places,
        identity: Identity,
        systemd: Systemd,
        files: Files = REAL,
        watch: Watch = filewatch.watch,
    ) -> None:
        self._watch = watch
        self.node = Node(places, identity, systemd, files)
        self.node.open()
        self._systemd = systemd
        key = machine_key(places.state)
        self.reporter = Reporter(self.node.disk, self.node.writing, systemd.boot_id())
        if (damage := self.node.conditions.get("damaged")) is not None:
            self.reporter.event("assignment-damaged", damage)
        self.lives = Lives(systemd, self._health_says, self._lived, places.run_units)
        self.downloads = Downloads(identity, key, places.state, self._fetched)
        self.switching = Switching(self.node, self.lives, self.downloads, self.reporter, self._applied)
        self.answering = Answering(self.node, self.view, self._overridden)
        self.offers = Offers(self.node, self.downloads, self.reporter, self._taken)
        self.renewing = Renewing(identity, key, places.state, self._renewed, self.node.disk.envelope)
        self.bus = NodeBus(
            identity.region,
            Login(identity.node, identity.credentials, key),
            lambda: self.renewing.identity.nats,
            lambda: pinned.context(pinned.only(lambda: {self._newest_word().tls_key})),
            Handlers(
                self._offered, self.answering.ask, self._nudged, self._connected, self.renewing.shut_out
            ),
            self._beat_every_s,
        )
        self.beating = Beating(
            self.node, systemd, self.bus, self._answered, version(), places.run, places.run_units,
            self.switching.due, on_sending=self.node.telling.sending,
        )  # fmt: skip
        self._net: tuple[object, ...] = ()
        self._way = ""
        self.node.on_trouble = (
            self.beating.beat_now
        )  # the hub is to hear of it, and not only with the next turn
        self._local = LocalServer(self.answering.local, places.run / "agent.sock")

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping` is set."""
        await self._listen()
        notify("READY=1")
        self.switching.due()
        connection, *others = [asyncio.create_task(self._kept_up(loop)) for loop in self._loops()]
        await stopping.wait()
        notify("STOPPING=1")
        await ended(others)
        await self._last_beat()
        await ended([connection])
        await self.downloads.close()
        await self.lives.close()
        await self._local.close()
        self.reporter.save()

    async def _listen(self) -> None:
        try:
            await self._local.start()
        except OSError as error:
            self.node.conditions["socket"] = f"the command line cannot talk to the agent: {error}"

    def _loops(self) -> list[Callable[[], Awaitable[None]]]:
        return [
            self.bus.run, self.beating.run, self.switching.run, self._watch_units, self._watchdog,
            lambda: self.reporter.run(self.bus), lambda: self.offers.run(self.bus),
            self._watch_policy, self._watch_unit_files, self._watch_network,
        ]  # fmt: skip

    async def _kept_up(self, loop: Callable[[], Awaitable[None]]) -> None:
        """A fault in one loop must not end the others; it is said and the loop begins again."""
        while True:
            try:
                await loop()
                return
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
                self.lives.look_at_all()
                self.switching.due()
            else:
                self.beating.unit_changed(change.name, change.active)
                self.lives.changed(change)

    async def _watch_policy(self) -> None:
        policy = self.node.places.policy
        await self._watch(policy.parent, lambda name: name == policy.name, self.switching.due)

    async def _watch_unit_files(self) -> None:
        await self._watch(
            self.node.places.units, lambda name: INSTANCES.fullmatch(name) is not None, self.switching.due
        )

    async def _watch_network(self) -> None:
        said = self.node.places.run / STATUS
        await self._watch(said.parent, lambda name: name == said.name, self._network_said)

    def _network_said(self) -> None:
        """Whoever waits for it goes on, and the hub is told of trouble and of other ways. The rest changes nothing."""
        if self.node.telling.ways_changed():
            self.beating.beat_now()
        status = self.node.telling.status()
        if status is not None and status.way != self._way:
            self._way = status.way
            self.beating.beat_now()  # only the answer to a beat shows that the hub is reached by it
        self.beating.trial = status is not None and status.trial
        said = (status.spaces, status.trouble, status.taken_back) if status else ()
        if said == self._net:
            return
        self._net = said
        self.node.network_looked_at()
        self.switching.due()

    def _beat_every_s(self) -> float:
        return self.beating.every_s()

    # From the hub

    def _newest_word(self) -> Delegation:
        """The root's newest word for the hub: what came with a join or a renewal, or with an assignment."""
        joined, seen = self.renewing.identity.word, self.node.delegation
        return seen if seen is not None and seen.serial > joined.serial else joined

    def _renewed(self, found: Renewed) -> None:
        identity = found.identity
        if found.network is not None:
            self.node.let_in_by(found.network)
        self.downloads.renewed(identity)
        self.bus.log_in(Login(identity.node, identity.credentials, machine_key(self.node.places.state)))

    async def _connected(self) -> None:
        self.node.telling.connected()
        self.renewing.let_in()
        self.beating.beat_now()
        self.downloads.hurry()
        self.reporter.wake()

    async def _offered(self, data: bytes) -> None:
        """Before skerry-net hears of it, which may lead elsewhere."""
        self.node.telling.heard(self._systemd.boot_id(), self.beating.boottime_ms())
        await self.offers.offered(data)

    async def _nudged(self) -> None:
        self.beating.beat_now()

    async def _answered(self, reply: BeatReply) -> None:
        self.node.telling.answered(self._systemd.boot_id(), reply)
        self.offers.newest_is(reply.newest)
        if reply.retell:
            self.reporter.retell()

    def _taken(self) -> None:
        self.switching.due()
        self.beating.beat_now()

    # From the node itself

    def _lived(self, running: Running, life: health.Life) -> None:
        self.switching.lived(running, life)

    def _fetched(self, sha256: str, reason: str) -> None:
        self.switching.fetched(sha256, reason)

    async def _applied(self) -> None:
        await self.beating.assigned()
        if self.node.accepted == self.node.applied.issued:
            self.beating.beat_now()

    async def _health_says(self, running: Running, action: health.Action) -> None:
        app, instance = running.entry.app.name, running.instance
        if isinstance(action, health.Restart):
            self.reporter.event("restarted", f"{instance.id} is restarted: {action.reason}", app, instance.id)
            rendered = running.rendered
            await self._systemd.restart(
                rendered.service, rendered.stop_ms / 1000 + 90, rendered.lease is not None
            )
            return
        if self.node.assigned(instance.id) != instance:
            return  # something newer is on its way, and an override of this revision would hold nothing back
        try:
            word = self.node.roll_back(instance, "health", action.reason, now_ms())
        except DiskError as error:
            self.node.writing(HEALTH, str(error))
            raise
        self.node.writing(HEALTH, None)
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
        hub = (
            ""
            if self.bus.connected.is_set()
            else (self.renewing.trouble or self.bus.trouble or "not connected")
        )
        hub = hub or self.beating.trouble or ""
        return status(
            self.node,
            units,
            self.reporter.book,
            self.beating.state,
            hub,
            "running",
            self.beating.boottime_ms(),
        )

    async def _last_beat(self) -> None:
        """At a clean shutdown the hub is told that all fenced copies have stopped, so that the next boot need not wait.

        They have by then: lease targets are ordered after the agent's own unit, so systemd stops them first.
        """
        if not self.bus.connected.is_set() or await self._systemd.system_state() != "stopping":
            return
        units = await self._systemd.units(["skerry-*"])
        fenced = self.node.fenced_units()
        if isinstance(units, Outcome) or any(unit.up for unit in units if unit.name in fenced):
            return
        try:
            async with asyncio.timeout(LAST_BEAT_S):
                await self.beating.beat(stopped=True)
        except TimeoutError:
            log.info("the hub did not answer the last beat")


async def until_signal(agent: Agent) -> None:
    """Run the agent until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await agent.run(stopping)


async def ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    """They are cancelled, and over. More than once: asyncio.wait_for, which the NATS client uses, may lose one."""
    pending = set(tasks)
    for _ in range(ENDS):
        for task in pending:
            task.cancel()
        if pending:
            _, pending = await asyncio.wait(pending, timeout=END_S)
