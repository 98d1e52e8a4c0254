"""Beats: what the node says to its hub at intervals, and what becomes of the answers.

Edge around `grants`: its state lives in /run, because it belongs to one boot. Order that matters: the moment is read
before a beat is sent, and a grant counts from then. One beat at a time, and an answer that did not come in time is
never heard: so the number that a beat gives back is always one that the hub expects. An agent that begins gives back 0,
because what the one before it was told last may be lost. Must never open a lease by itself: `grants` decides, `leases`
arms.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec import structs

from skerry_protocol.messages import FEATURES, Beat, BeatReply

from ..disk import sealed
from ..disk.disk import DiskError
from ..disk.files import REAL, Files, make_folder
from ..hublink.bus import BusError, NodeBus
from ..network.hinted import Beside
from ..switch.node import Node
from ..systemd import JobResult, LoadState, Outcome, Systemd, UnitState
from . import grants
from .fencing import SERVICE as FENCE
from .fencing import Fencing
from .grants import ArmLease, BeatNow, CloseLease, Grants
from .leases import RUN as TIMERS
from .leases import Armed, Leases

log = logging.getLogger(__name__)

RUN = Path("/run/skerry")
RECORD = "grants"
LEASE_TARGET = re.compile(r"skerry-lease-([0-9]{1,15})\.target")
RETRY_S = 5.0
TROUBLED_S = 30.0
TRIAL_S = 5.0
CLOSE_SECONDS = 60.0
OnReply = Callable[[BeatReply], Awaitable[None]]


def stored(run: Path = RUN) -> Grants | None:
    """The leases as the agent kept them last, in this boot or a former one."""
    found = sealed.message(Grants, sealed.read(run / RECORD), RECORD)
    return found if isinstance(found, Grants) else None


def nothing() -> None:
    """For whoever need not know."""


def takes(unit: UnitState) -> float:
    """How long it may take to stop (ms); what is not there takes nothing."""
    if unit.load is LoadState.NOT_FOUND:
        return 0.0
    return float("inf") if unit.stop_timeout_us is None else unit.stop_timeout_us / 1000


class Beating:
    """The node's leases and beats. `run` beats until cancelled."""

    def __init__(
        self, node: Node, systemd: Systemd, bus: NodeBus, on_reply: OnReply, version: str, run: Path = RUN,
        timers: Path = TIMERS, on_unfit: Callable[[], None] = nothing, files: Files = REAL,
        on_sending: Callable[[int], Beside] = lambda _at_ms: Beside(),
    ) -> None:  # fmt: skip
        self._node = node
        self._systemd = systemd
        self._bus = bus
        self._on_reply = on_reply
        self._version = version
        self._run = run
        self._on_unfit = on_unfit
        self._on_sending = on_sending
        self._files = files
        self._leases = Leases(systemd, timers, files)
        self._fencing = Fencing(systemd, run / "fence", files)
        self._unusable: dict[int, str] = {}  # why the last grant of a length was not used; it is said once
        self._now = asyncio.Event()
        self.trial = False
        """The way to the hub is on trial: an answer that is lost must not decide that."""
        self.heard_ms: int | None = None
        self.trouble: str | None = None
        self._at_us = 0
        self._pace = grants.pace(node.identity.node)
        self._one = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None
        self.state = structs.replace(grants.booted(stored(run), systemd.boot_id()), reply=0, sent={})

    def _keep(self, state: Grants) -> None:
        """What could not be kept costs a wait for the next grant after an agent's restart, no more."""
        if state == self.state:
            return
        self.state = state
        try:
            make_folder(self._run, files=self._files)
            sealed.write(self._run / RECORD, sealed.bytes_of(state), self._files)
        except DiskError as error:
            self._node.writing(RECORD, str(error))
        else:
            self._node.writing(RECORD, None)

    def boottime_ms(self) -> int:
        """CLOCK_BOOTTIME, in milliseconds."""
        return self._systemd.boottime_us() // 1000

    def every_s(self) -> float:
        """How long between beats."""
        apps = [entry.app for entry in self._node.assignment.apps] if self._node.assignment else []
        every_s = grants.beat_every_ms(apps, self.state.claims(), self._node.metered) / 1000 * self._pace
        # What could not be kept for want of room is offered anew with an answer.
        every_s = min(every_s, TROUBLED_S) if "disk" in self._node.conditions else every_s
        return min(every_s, TRIAL_S) if self.trial else every_s

    def beat_now(self) -> None:
        """Do not wait for the next turn."""
        self._now.set()

    async def look(self) -> None:
        """Leases that are not open have ended, or never opened because their units were not there yet."""
        for live in self.state.live:
            if not await self._leases.is_open(live.length_ms):
                self._keep(grants.lease_ended(self.state, live.length_ms))

    async def assigned(self) -> None:
        """What is accepted or applied has changed."""
        accepted = grants.holdings(self._node.assignment.instances if self._node.assignment else ())
        applied = grants.holdings(self._node.applied.may_run())
        state, actions = grants.assigned(self.state, accepted, applied)
        self._keep(state)
        await self._do(actions)
        for holding in self.state.former:
            # It left the applied state, and that is recorded only after its unit was seen to stop.
            if holding.instance not in self._node.applied.names():
                state, actions = grants.stopped(self.state, holding.instance)
                self._keep(state)
                await self._do(actions)
        await self._rest()

    def unit_changed(self, name: str, active: str) -> None:
        """A unit's state: the end of a lease target is the end of its lease."""
        if LEASE_TARGET.fullmatch(name) is not None and active == "inactive":
            self._looking = asyncio.create_task(self._look_again())

    async def _look_again(self) -> None:
        """A target that is just being opened was inactive a moment ago, so what it was then says nothing."""
        async with self._one:
            await self.look()  # the next turn asks anew for what has ended

    async def run(self) -> None:
        """Beats until cancelled. Without a connection it waits for one."""
        await self.look()
        await self.assigned()
        while True:
            await self._bus.connected.wait()
            self._now.clear()
            ok = await self.beat()
            try:
                async with asyncio.timeout(self.every_s() if ok else min(RETRY_S, self.every_s())):
                    await self._now.wait()
            except TimeoutError:
                continue

    async def beat(self, stopped: bool = False) -> bool:
        """One beat and its answer. Whether there was one."""
        async with self._one:
            return await self._beat(stopped)

    async def _beat(self, stopped: bool) -> bool:
        await self.look()
        at_us = self._at_us = max(self._systemd.boottime_us(), self._at_us + 1)
        state, number = grants.beat_sent(self.state, at_us // 1000)
        self._keep(state)
        beside = self._on_sending(at_us // 1000)
        try:
            reply = await self._bus.beat(self._message(stopped, at_us, beside))
        except BusError as error:
            self.trouble = str(error)
            return False
        self.heard_ms, self.trouble = self.boottime_ms(), reply.trouble
        state, actions = grants.replied(self.state, number, reply, self.boottime_ms())
        self._keep(state)
        await self._do(actions)
        await self._on_reply(reply)
        return True

    def _message(self, stopped: bool, at_us: int, beside: Beside) -> Beat:
        node = self._node
        return Beat(
            boot=self.state.boot,
            reply=self.state.reply,
            accepted=node.accepted,
            applied=node.applied.issued,
            claims=self.state.claims(),
            overrides=node.overrides,
            conditions=dict.fromkeys(node.conditions, 1),
            refused=node.refusal,
            stopped=stopped,
            features=FEATURES,
            agent=self._version,
            term=self.state.term,
            at_us=at_us,
            hint=beside.hint,
            lan=beside.ways.lan if beside.ways else None,
            narrow=beside.ways.narrow if beside.ways else None,
        )

    async def _do(self, actions: tuple[grants.Action, ...]) -> None:
        for action in actions:
            match action:
                case ArmLease():
                    await self._arm(action)
                case CloseLease():
                    await self._close(action.length_ms)
                case BeatNow():
                    self.beat_now()

    async def _rest(self) -> None:
        """What nothing needs any more is shut, also where an agent before this one did not come to it, or systemd did
        not answer: until then the fence guards it. Where nothing is fenced here at all, the fence ends."""
        needed = {one.length_ms for one in self.state.claims()} | {one.length_ms for one in self.state.live}
        for length_ms in {*self._fencing.lengths(), *self._unusable} - needed:
            await self._close(length_ms)
        if not needed:
            self._no_second_line(None)
            await self._fencing.rest()

    async def _close(self, length_ms: int) -> None:
        self._use(length_ms, None)
        if (await self._leases.drop(length_ms, CLOSE_SECONDS)).ok:
            self._fencing.forget(length_ms)

    async def _arm(self, action: ArmLease) -> None:
        """A grant that is not used makes nothing longer: what is open ends by the one before."""
        try:
            armed = await self._armed(action)
        except DiskError as error:
            self._use(action.length_ms, str(error), unwritten=True)
            self._keep(grants.lease_ended(self.state, action.length_ms))
            return
        refused = armed if isinstance(armed, Outcome) else None
        self._use(action.length_ms, (refused.reason or refused.result) if refused else None)
        if refused and refused.result is not JobResult.LATE:
            self._keep(grants.lease_ended(self.state, action.length_ms))

    async def _armed(self, action: ArmLease) -> Armed | Outcome | None:
        """The fence first: it must neither be stricter than systemd, nor come after what it guards. None: not now."""
        self._fencing.record(action.length_ms, action.deadline_ms)
        self._no_second_line(await self._fencing.awake())
        if action.opens and (await self._going_to_sleep() or await self._outlives(action.length_ms)):
            self._keep(grants.lease_ended(self.state, action.length_ms))
            return None
        return await self._leases.arm(action.length_ms, action.deadline_ms * 1000, action.opens)

    def _use(self, length_ms: int, trouble: str | None, unwritten: bool = False) -> None:
        """Why the newest grant of this length is not used, if so: to the log once, and told where people look."""
        kind = "unwritten" if unwritten else trouble  # what cannot be written has another name each time
        if kind is not None and self._unusable.get(length_ms) != kind:
            log.warning("cannot use a grant of %d ms: %s", length_ms, trouble)
        self._unusable.pop(length_ms, None)
        if kind is not None:
            self._unusable[length_ms] = kind
        self._node.writing(f"lease {length_ms}", trouble if unwritten else None)

    def _no_second_line(self, why: str | None) -> None:
        """Whether the fence runs, while there is something to fence. A grant is taken all the same: systemd ends it."""
        self._node.conditions.pop("fence", None)
        if why is not None:
            self._node.conditions["fence"] = (
                f"{FENCE} does not run: {why}; systemd alone ends leases (systemctl status {FENCE})"
            )

    async def _going_to_sleep(self) -> bool:
        """To open a lease then would keep the machine awake: its target conflicts with sleep.target."""
        shown = await self._systemd.show(["sleep.target"])
        return not isinstance(shown, Outcome) and shown[0].up

    async def _outlives(self, length_ms: int) -> bool:
        """Whether a copy that this lease would start takes longer to stop than it may: made so while no agent looked.

        The switch that is asked for then takes it out, and the next grant opens the lease for the others.
        """
        limits = self._node.stop_limits(length_ms)
        shown = await self._systemd.show(sorted(limits)) if limits else ()
        if isinstance(shown, Outcome):
            return True
        if all(takes(unit) <= limits[unit.name] for unit in shown):
            return False
        self._on_unfit()
        return True
