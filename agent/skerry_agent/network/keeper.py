"""skerry-net: the kernel has what the plan says, from the boot on, with the agent and the hub or without.

Each turn: which plan is to be used (`choosing`), the kernel is made to have it (`making`), what else follows from it is
done, and all of that is told. What fails is said in the status and tried again. Must never take anything away because a
plan is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from skerry_netplan.kernel.kernel import Kernel, KernelError
from skerry_netplan.state import LINK
from skerry_protocol.messages import Hint

from .breadths import Breadths
from .choosing import Choosing, Chosen
from .confirm import Standing, due_ms
from .direct import Directs
from .files import Files, Places
from .making import Done, Machine, Making
from .proof import Proof
from .records import Plan, Status

AGAIN_S = 30.0
TRIAL_S = (
    3.0  # during one: the agent's word that the hub answered is looked for, rather than watched for always
)
SOONER_S = 1.0  # after a turn that failed; twice as long after each, up to AGAIN_S
Follow = Callable[[Plan, Hint], Awaitable[str]]
"""What else follows from the plan in use, once the node has its address; what was wrong with it."""


async def nothing(plan: Plan, hint: Hint) -> str:
    """For whoever has nothing that follows."""
    return ""


class Keeper:
    """One run of skerry-net. `say`: to the journal."""

    def __init__(
        self,
        places: Places,
        machine: Machine,
        kernel: Kernel,
        say: Callable[[str], None] = lambda text: None,
        follow: Follow = nothing,
    ) -> None:
        self._files = Files(places)
        self._now_ms = machine.now_ms
        self._choosing = Choosing(self._files, machine.boot, machine.now_ms)
        self._proof = Proof(machine.resolve)
        machine = replace(machine, resolve=self._proof.resolve)
        self._making = Making(self._files, machine, kernel, self.look, say)
        self._kernel, self._backend = kernel, kernel.backend.name
        self._log, self._follow = say, follow
        self._word = asyncio.Event()
        self._ending = False
        self._due_ms: int | None = None
        self._failures = 0
        self._trying = False
        self._status = Status()

    def look(self) -> None:
        """Something may have changed: a file, an interface, the rules."""
        self._word.set()

    def end(self) -> None:
        """`run` returns after the turn. All stays as it is."""
        self._ending = True
        self._word.set()

    async def run(self, ready: Callable[[], None]) -> None:
        """Until `end`. `ready` is told once, after the first turn."""
        await self.turn()
        ready()
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(one.run()) for one in (self.directs, self.breadths)]
            while not self._ending:
                await self._asleep()
                if not self._ending:
                    await self.turn()
            for task in beside:
                task.cancel()

    @property
    def directs(self) -> Directs:
        """The ways to other nodes."""
        return self._making.directs

    @property
    def breadths(self) -> Breadths:
        """How much ways take."""
        return self._making.breadths

    async def turn(self) -> Status:
        """Looks, and does what is to be done."""
        self._word.clear()
        self._files.troubles.clear()
        chosen, hint = self._choosing.chosen(await self._proven()), self._files.hint()
        done = await self._making.done(chosen.plan, hint) if chosen.plan else Done()
        self._looked(chosen.plan)
        follows = await self._follow(chosen.plan, hint) if chosen.plan and done.linked else ""
        self._trying = chosen.standing.trial is not None
        self._failures = self._failures + 1 if done.trouble or follows else 0
        self._due_ms = min(filter(None, (due_ms(chosen.standing), self._making.due_ms)), default=None)
        self._tell(self._said(chosen, done, follows), chosen.standing)
        return self._status

    async def _proven(self) -> bool:
        """Whether the hub answered by the way on trial."""
        plan, answered = self._choosing.on_trial(), self._files.reached()
        if plan is None or answered is None:
            return False
        try:
            await self._kernel.read()
        except KernelError:
            return False
        self._looked(plan)
        return self._proof.proves(answered)

    def _looked(self, plan: Plan | None) -> None:
        link = self._kernel.seen.get(LINK)
        if plan is not None:
            self._proof.look(plan, link.peers if link else {}, self._now_ms())

    def due_s(self) -> float:
        """For how long it sleeps where nobody wakes it."""
        most = TRIAL_S if self._trying else AGAIN_S
        again = min(most, SOONER_S * 2 ** min(self._failures - 1, 8)) if self._failures else most
        if self._due_ms is None:
            return again
        return min(again, max(0.0, (self._due_ms - self._now_ms()) / 1000))

    async def _asleep(self) -> None:
        try:
            async with asyncio.timeout(self.due_s()):
                await self._word.wait()
        except TimeoutError:
            return

    def _said(self, chosen: Chosen, done: Done, follows: str) -> Status:
        standing, newest, failed = chosen.standing, chosen.newest, chosen.standing.failed
        has = newest.digest if newest and done.whole and newest.way == standing.in_use else ""
        back = ""
        if failed and newest and failed.way == newest.way:
            back = f"{at(newest)}: {failed.reason}" + (", twice" if failed.held else "")
        trouble = "; ".join(filter(None, (*chosen.troubles, *self._files.troubles, done.trouble, follows)))
        way, mates = standing.in_use or "", dict(done.mates)
        trial = standing.trial is not None
        return Status(
            way, has, done.spaces, trouble, self._backend, back, trial, mates, done.lan, done.narrow
        )

    def _tell(self, status: Status, standing: Standing) -> None:
        """Each trouble once, as long as it lasts."""
        if status.trouble and status.trouble != self._status.trouble:
            self._log(status.trouble)
        if status.way != self._status.way and standing.failed and standing.trial is None:
            self._log(f"took back the way to {status.taken_back or 'the hub'}")
        self._status = status
        self._files.say(status)


def at(plan: Plan) -> str:
    """Where a plan's hub is, for people."""
    hub = plan.network.hubs[0]
    return f"hub {hub.address} by {', '.join(hub.endpoints)}, key {hub.key.hex()[:16]}"
