"""Does what the beats say (`beats`): answers, stores what must be stored before an answer, and ticks.

The one executor of `beats`: it awaits, `beats` decides. All actions of one event are done in their order; those that
come after a StoreBoot wait for its commit, the rest go to a queue, so that a beat is answered at once.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from typing import Protocol

import msgspec
from sqlalchemy import select

from skerry_protocol.ids import NodeId
from skerry_protocol.messages import Ask, AskPart, Beat, BeatReply, Issued

from ..clock import monotonic_ms, now_ms
from ..identity import Identity
from ..intake import Intake
from ..journal import Happened, note
from ..loops.loops import Moment, Outcome, State, ailing
from ..model import BootRow, Loss
from ..nats.bus import BusError, HubBus
from ..network.hinting import Hinting
from ..restoring.ahead import DOUBT_S, Ahead
from ..store import Owner, Store, StoreError, rows
from ..store import schema as s
from . import events as ev
from .beats import Beats
from .leader import LockLook, take_lead
from .terms import terms_of

LOG = logging.getLogger(__name__)
SOON_S = 0.25
DISK_S = 2.0  # until a disk that took nothing is tried again
TERM_LEAP = 1_000_000  # starts of a hub that a backup may have missed; more is no honest node's word
ASKED_S = 3.2  # a little more than `beats` waits for those who were asked

Forget = Callable[[NodeId, str], Awaitable[None]]


class Kick(Protocol):
    """Asks for a run of the loops; `pressing`: at once."""

    def __call__(self, pressing: bool = True, /) -> None: ...


def seconds() -> float:
    """The hub's monotonic clock, as `beats` counts."""
    return monotonic_ms() / 1000


class Hearing:
    """See the module. `storm` is what the storm brake says, None while it does not hold."""

    def __init__(
        self, store: Store, identity: Identity, intake: Intake, term: int, machine: str = ""
    ) -> None:
        """`machine` is `ids.machine_mark` of the machine that the hub runs on."""
        self.storm: str | None = None
        self._storm_told: tuple[bool, tuple[str, ...]] = (True, ())
        self.trouble: dict[NodeId, str] = {}
        self.last: dict[NodeId, Beat] = {}
        self._store = store
        self._intake = intake
        self._term = term
        self._leading = asyncio.Lock()
        self._leads = LockLook(store)
        self._machine = machine
        self._beats = Beats(ev.HubStarted(seconds(), term))
        self._terms: dict[NodeId, ev.NodeTerms] = {}
        self._names: dict[NodeId, str] = {}
        self._ephemeral: dict[NodeId, int] = {}
        # Whether a copy waits for a node to be heard, and whether one was since the loops last said so.
        self._awaited, self._came = True, False
        self._booted: dict[NodeId, BootRow] = {}  # not stored yet
        self._storing = asyncio.Lock()
        self._said: dict[NodeId, Beat] = {}  # what is new in beats, and not stored yet
        # What is to be stored, in order; and who is to be asked, which waits for no disk.
        self._todo: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._nudges: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._kick: Kick = lambda _pressing=True: None
        self._bus: HubBus | None = None
        self._arrived = asyncio.Event()
        self._forget: Forget | None = None
        self.hinting = Hinting(self._nudge)
        self._ahead = Ahead(store, identity, self._asked, self._run_again)

    def connect(self, kick: Kick, bus: HubBus, forget: Forget) -> None:
        """Who runs the loops, who reaches the nodes, who forgets an ephemeral one."""
        self._kick, self._bus, self._forget = kick, bus, forget

    async def begin(self) -> None:
        """With the boots and losses of the last commit."""
        async with self._store.read() as view:
            boots, losses = await rows.boots(view), await rows.losses(view)
        started = ev.HubStarted(seconds(), self._term, tuple(boots), tuple(losses))
        self._beats = Beats(started)

    def last_heard(self, node: NodeId) -> float | None:
        """Seconds since the node was heard; None where it was not heard since the start."""
        at = self._beats.last_heard(node)
        return None if at is None else seconds() - at

    def silent(self) -> frozenset[NodeId]:
        """Nodes that are lost for some length."""
        return self._beats.silent()

    def add_to(self, moment: Moment) -> Moment:
        """What was heard, for a run of the loops."""
        now = seconds()
        return replace(
            moment,
            fresh=self._beats.fresh(now),
            freed=self._beats.freed,
            in_doubt=self._ahead.in_doubt(now),
            listening_ms=int(self._beats.listening_s(now) * 1000),
            asked=self._beats.asked_in_vain(now)
            if self._bus is not None and self._bus.connected.is_set()
            else None,
        )

    async def wake(self, nodes: Iterable[NodeId], within_s: float = ASKED_S) -> None:
        """Asks nodes that are quiet because they have nothing to say; returns when all spoke, or after a while."""
        wanted = frozenset(nodes)
        if self._bus is None or not self._bus.connected.is_set():
            return
        self._beats.note_asked(tuple(sorted(wanted)), seconds())
        self._nudge(wanted)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not wanted <= self._beats.fresh(seconds()):
                    await self._arrived.wait()

    def gap(self) -> None:
        """The hub did not listen until now."""
        self._do(self._beats.handle(ev.Gap(seconds())))

    def learn(self, state: State, outcome: Outcome) -> None:
        """A run of the loops was committed."""
        terms = terms_of(state, outcome, self._machine)
        changed: dict[NodeId, ev.NodeTerms | None] = {
            node: one for node, one in terms.items() if self._terms.get(node) != one
        }
        changed.update(dict.fromkeys(self._terms.keys() - terms.keys()))
        self._terms = terms
        for kept in (self.last, self.trouble):
            for node in kept.keys() - terms.keys():
                del kept[node]
        self._names = {node.id: node.name for node in state.nodes}
        self._awaited = outcome.schedule.awaits_nodes
        if self._awaited and self._came:
            self._kick(False)  # perhaps after this run had looked who is there
        self._came = False
        self._ephemeral = {node.id: node.ephemeral_ms for node in state.nodes if node.ephemeral_ms}
        mesh = state.mesh
        event = ev.Learned(seconds(), changed, outcome.claims, mesh.restored, mesh.storm_hold_ms)
        self._do(self._beats.handle(event))
        if outcome.planner is not None:
            self.hinting.learn(outcome.planner, ailing(state, outcome, self.silent()))
        if outcome.schedule.ask:
            self._beats.note_asked(outcome.schedule.ask, seconds())
            self._nudge(outcome.schedule.ask)
            asyncio.get_running_loop().call_later(ASKED_S, self._kick)
        if outcome.again_ms is not None:
            asyncio.get_running_loop().call_later(outcome.again_ms / 1000 + SOON_S, self._kick)

    def on_beat(
        self, node: NodeId, beat: Beat, now_ms: int
    ) -> BeatReply | Awaitable[BeatReply | None] | None:
        """The answer, at once or, where something must be stored first, later; none where another hub may lead."""
        if not self._leads(now_ms):
            return None
        if node in self._terms and self._term < beat.term <= self._term + TERM_LEAP:
            return self._lead_above(node, beat, now_ms)
        new = not self._beats.is_fresh(node, now_ms / 1000)
        actions = self._beats.handle(ev.BeatHeard(now_ms / 1000, node, beat))
        reply = next((one.reply for one in actions if isinstance(one, ev.Reply)), None)
        if any(isinstance(one, ev.DropLate) for one in actions):
            return reply
        self._remember(node, beat, reply)
        if reply is not None and (told := self.hinting.heard(node, beat)) is not None:
            reply = msgspec.structs.replace(reply, hint=told)
        self._ahead.again(node, beat.accepted, now_ms / 1000)
        if new:
            self._arrived.set()
            self._arrived = asyncio.Event()
            self._came = True
            if self._awaited:
                self._kick(False)
        boots = [one.row for one in actions if isinstance(one, ev.StoreBoot)]
        self._do([one for one in actions if not isinstance(one, ev.Reply | ev.StoreBoot)])
        return self._after(boots, reply) if boots else reply

    async def _lead_above(self, node: NodeId, beat: Beat, now_ms: int) -> BeatReply | None:
        """The node has seen a later term: this store was put back, for its lock says that no other hub leads by it."""
        async with self._leading:
            if beat.term > self._term:
                self._term = await take_lead(self._store, secrets.token_hex(4), above=beat.term)
                self._do(self._beats.handle(ev.LeadRenewed(float("inf"), self._term)))
        answer = self.on_beat(node, beat, now_ms)
        return await answer if isinstance(answer, Awaitable) else answer

    @property
    def term(self) -> int:
        """The term of every reply from now on."""
        return self._term

    async def _after(self, boots: list[BootRow], reply: BeatReply | None) -> BeatReply | None:
        """The reply, once the boots are committed; none where they cannot be.

        Those that come meanwhile are one commit: a region whose power returns has thousands of new boots at once.
        """
        self._booted.update((row.node, row) for row in boots)
        async with self._storing:
            taken, self._booted = self._booted, {}
            if not taken:
                return reply  # whoever was before stored it with its own
            try:
                async with self._store.write() as tx:
                    await rows.put_boots(tx.as_owner(Owner.BOOTS), taken.values())
            except BaseException:
                self._booted = {
                    **taken,
                    **self._booted,
                }  # for whoever is next: others wait for theirs among these
                raise
        return reply

    def _remember(self, node: NodeId, beat: Beat, reply: BeatReply | None) -> None:
        if node not in self._terms:
            return
        self.last[node] = beat
        self.trouble.pop(node, None)
        if reply is not None and reply.trouble:
            self.trouble[node] = reply.trouble
        if self._intake.is_new(node, beat):
            if not self._said:
                self._todo.put_nowait(self._take_down)
            self._said[node] = beat

    async def _take_down(self) -> None:
        """What beats said that is new: thousands may at once, and that is one commit. One may not harm the others."""
        said, self._said = self._said, {}
        try:
            await self._intake.heard(said)
        except StoreError:
            self._said = {**said, **self._said}  # it is done again
            raise
        except Exception:
            if len(said) == 1:
                raise
            for node, beat in said.items():
                self._todo.put_nowait(partial(self._intake_one, node, beat))

    async def _intake_one(self, node: NodeId, beat: Beat) -> None:
        await self._intake.heard({node: beat})

    def machines(self, node: NodeId) -> tuple[str, ...]:
        """The boot ids of two machines with one identity; nothing where there is one machine."""
        return self._beats.machines(node)

    def name_machine(self, node: NodeId, boot: str) -> None:
        """An operator's word on which of two machines is the node."""
        actions = self._beats.handle(ev.OperatorNamed(seconds(), node, boot))
        boots = [one.row for one in actions if isinstance(one, ev.StoreBoot)]
        self._todo.put_nowait(lambda: self._store_boots(boots))

    async def _store_boots(self, boots: list[BootRow]) -> None:
        await self._after(boots, None)

    async def run(self) -> None:
        """Ticks and does what is queued, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ticks())
                group.create_task(self._queue(self._todo))
                group.create_task(self._queue(self._nudges))
        finally:
            await self._ahead.close()

    async def _ticks(self) -> None:
        while True:
            await asyncio.sleep(self._beats.due_in(seconds()))
            if self._bus is not None and not self._bus.connected.is_set():
                self.gap()  # without NATS nobody can be heard
            self._do(self._beats.handle(ev.Tick(seconds())))

    async def _queue(self, todo: asyncio.Queue[Callable[[], Awaitable[None]]]) -> None:
        while True:
            work = await todo.get()
            try:
                await self._stored(work)
            except Exception:  # one action that fails must not end the others
                LOG.exception("cannot do what the beats ask for")

    async def _stored(self, work: Callable[[], Awaitable[None]]) -> None:
        """Does it, as often as it takes while the disk takes nothing: a loss that was forgotten moves no copy."""
        said = False
        while True:
            try:
                return await work()
            except StoreError as error:
                if not said:
                    LOG.warning("%s (what the beats ask for waits for that)", error)
                said = True
                await asyncio.sleep(DISK_S)

    def _do(self, actions: Iterable[ev.Action]) -> None:
        for action in actions:
            match action:
                case ev.FreeClaim():
                    self._kick()
                case ev.PublishAgain():
                    if self._bus is not None:
                        self._bus.publish([action.node])
                case ev.AskNodes():
                    self._nudge(action.nodes)
                case ev.ReportStorm():
                    self._storm(action)
                case ev.ReportStormOver():
                    self.storm = None
                    self._say("storm-over", f"the storm brake is off: {action.reason}")
                case ev.ReportClone():
                    text = f"two machines use the identity of {self._name(action.node)}: {action.reason}"
                    self._say("two-machines", text, action.node)
                case ev.ReportAhead():
                    self._doubt(action.node, action.issued)
                case ev.DeclareSilent() | ev.DeclareReturned() | ev.ForgetLoss():
                    self._todo.put_nowait(partial(self._loss, action))
                case _:
                    pass

    async def _asked(self, node: NodeId, question: Ask) -> AsyncGenerator[AskPart, None]:
        """A node's answer. Raises BusError."""
        if self._bus is None:
            raise BusError("cannot ask: there is no connection")
        async with aclosing(self._bus.ask(node, question)) as parts:
            async for part in parts:
                yield part

    def _run_again(self) -> None:
        self._kick()

    def _doubt(self, node: NodeId, issued: Issued) -> None:
        self._ahead.claimed(node, issued, seconds())
        self._kick()
        asyncio.get_running_loop().call_later(DOUBT_S, self._kick)

    def _storm(self, action: ev.ReportStorm) -> None:
        """An event where it begins, where more is down than before, and where it holds no longer; not for each node."""
        news = (action.holds, action.down)
        if self.storm is None or news != self._storm_told:
            self._say("storm", action.reason)
        self.storm, self._storm_told = action.reason, news

    def _nudge(self, nodes: Iterable[NodeId]) -> None:
        chosen = list(nodes)
        self._nudges.put_nowait(lambda: self._nudged(chosen))

    async def _nudged(self, nodes: list[NodeId]) -> None:
        if self._bus is not None:
            try:
                await self._bus.nudge(nodes)
            except BusError as error:
                LOG.debug("%s", error)

    def _say(self, code: str, text: str, node: NodeId | None = None) -> None:
        event = Happened(code, text, node=self._name(node) if node else None, changer="hub")
        self._todo.put_nowait(lambda: self._note(event))

    async def _note(self, event: Happened) -> None:
        async with self._store.write() as tx:
            await note(tx.as_owner(Owner.SILENCE), event)

    def _name(self, node: NodeId) -> str:
        return self._names.get(node, str(node))

    async def _loss(self, action: ev.DeclareSilent | ev.DeclareReturned | ev.ForgetLoss) -> None:
        """The rows of losses as the action says, with an event for people."""
        t, name = s.losses, self._name(action.node)
        async with self._store.write() as tx:
            hand = tx.as_owner(Owner.SILENCE)
            if isinstance(action, ev.DeclareSilent):
                await rows.put_loss(hand, Loss(action.node, action.lost_after_ms, now_ms()))
                text = f"{name} has been silent for {action.lost_after_ms / 1000:g} s"
                await note(hand, Happened("node-silent", text, node=name, changer="hub"))
            elif isinstance(action, ev.ForgetLoss):
                await hand.drop(t, t.c.node == action.node, t.c.lost_after_ms == action.lost_after_ms)
            else:
                found = await tx.rows(select(t.c.doc).where(t.c.node == action.node))
                for row in (rows.load(Loss, one[0]) for one in found):
                    if row.lost_after_ms in action.lost_after_ms and row.returned_at_ms is None:
                        await rows.put_loss(hand, Loss(row.node, row.lost_after_ms, row.since_ms, now_ms()))
                await note(hand, Happened("node-back", f"{name} is back", node=name, changer="hub"))
        if isinstance(action, ev.DeclareSilent) and self._ephemeral.get(action.node) == action.lost_after_ms:
            self._todo.put_nowait(partial(self._gone, action.node))

    async def _gone(self, node: NodeId) -> None:
        if self._forget is not None:
            await self._forget(node, "ephemeral, and silent for longer than it may be")
