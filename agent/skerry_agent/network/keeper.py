"""skerry-net: the kernel has what the plan says, from the boot on, with the agent and the hub or without.

Each turn: what was offered, confirmed or ran out of time is judged (`confirm`), the plan in use is brought down to what
the kernel is to have (`lower`), compared with what it has, and the difference carried out. A turn that fails is said in
the status and made again. Must never act on a plan that the linter finds fault with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from msgspec import Struct, structs

from skerry_netplan.differ import diff
from skerry_netplan.firewall import Guarded
from skerry_netplan.kernel import forwarding
from skerry_netplan.kernel.kernel import Kernel, KernelError
from skerry_netplan.kernel.nft import NftError
from skerry_netplan.kernel.tunnels import TunnelError
from skerry_netplan.linter import faults
from skerry_netplan.lower import Here, lower
from skerry_netplan.slots import NoSlot, slots
from skerry_netplan.state import KeyRole

from ..disk import sealed
from ..disk.files import DiskError, make_folder
from ..disk.sealed import Damaged, Twice
from .confirm import Standing, confirmed, due_ms, looked_at, offered
from .records import FOUND, KEPT, REACHED, STATUS, WANTED, Found, Kept, Plan, Reached, Status

AGAIN_S = 30.0
LATELY_MS = 6 * 60_000  # a node with best-effort work alone beats every five minutes
T = TypeVar("T", bound=Struct)


@dataclass(frozen=True)
class Places:
    """Where its files are."""

    state: Path
    run: Path


@dataclass(frozen=True)
class Machine:
    """What this machine brings. `keys`: role → public key. `resolve`: an endpoint as written → one with an address.

    `now_ms`: CLOCK_BOOTTIME. `forwards`: whether the machine forwarded anything before Skerry had it do so.
    """

    keys: Mapping[KeyRole, bytes]
    link_port: int
    direct_port: int
    boot: str
    now_ms: Callable[[], int]
    resolve: Callable[[str], str | None]
    forwards: bool = False


class Keeper:
    """One run of skerry-net."""

    def __init__(self, places: Places, machine: Machine, kernel: Kernel) -> None:
        self._places = places
        self._machine = machine
        self._kernel = kernel
        self._word = asyncio.Event()
        self._due_ms: int | None = None

    def look(self) -> None:
        """Something may have changed: a file, an interface, the rules."""
        self._word.set()

    async def run(self, ready: Callable[[], None]) -> None:
        """Until cancelled. `ready` is told once, after the first turn."""
        await self.turn()
        ready()
        while True:
            await self._asleep()
            await self.turn()

    async def turn(self) -> Status:
        """Looks, and does what is to be done."""
        self._word.clear()
        standing, trouble = Standing(), ""
        try:
            wanted = self._read(WANTED, Plan)
            trouble = "; ".join(faults(wanted.network)) if wanted else ""
            kept, unwritten = self._judged(None if trouble else wanted)
            standing, trouble = kept.standing, trouble or unwritten
            plan = kept.plans.get(standing.in_use or "")
            if plan is not None:
                await self._carry_out(plan)
        except (DiskError, KernelError, TunnelError, NftError, NoSlot) as error:
            trouble = str(error)
        self._due_ms = due_ms(standing)
        failed = standing.failed
        held = f"{failed.digest[:12]}: {failed.reason}" if failed and failed.held else ""
        status = Status(standing.in_use or "", trouble, self._kernel.backend.name, held)
        self._say(status)
        return status

    async def _asleep(self) -> None:
        try:
            async with asyncio.timeout(self.due_s()):
                await self._word.wait()
        except TimeoutError:
            return

    def due_s(self) -> float:
        """For how long it sleeps where nobody wakes it."""
        if self._due_ms is None:
            return AGAIN_S
        return min(AGAIN_S, max(0.0, (self._due_ms - self._machine.now_ms()) / 1000))

    def _judged(self, wanted: Plan | None) -> tuple[Kept, str]:
        """What is kept, after what was offered and what became of it; and why that could not be written.

        A trial is on disk before it begins. To go back needs no disk: it is judged the same again in the next turn.
        """
        kept = self._kept()
        before, now = kept.standing, self._machine.now_ms()
        answered = self._answered(before.in_use, now)
        standing = confirmed(before) if answered else looked_at(before, self._machine.boot, now)
        if wanted is not None:
            standing = offered(standing, wanted.digest, answered, self._machine.boot, now)
        if standing == before:
            return kept, ""
        known = kept.plans | ({wanted.digest: wanted} if wanted else {})
        names = {standing.confirmed, standing.in_use}
        after = Kept(standing, {digest: plan for digest, plan in known.items() if digest in names})
        try:
            self._write(KEPT, after)
        except DiskError as error:
            if standing.trial is not None:
                raise
            return after, str(error)
        return after, ""

    async def _carry_out(self, plan: Plan) -> None:
        found = self._read(FOUND, Found) or Found()
        chosen = structs.replace(found, slots=slots(plan.network.addresses, found.slots))
        if chosen != found:
            self._write(FOUND, chosen)
        wanted = lower(plan.network, self._here(plan, chosen))
        if wanted.spaces:
            self._forward()
        await self._kernel.carry_out(diff(wanted, await self._kernel.read()))

    def _forward(self) -> None:
        try:
            forwarding.switch_on()
        except OSError as error:
            raise KernelError(f"cannot forward what instances send: {error}") from error

    def _here(self, plan: Plan, found: Found) -> Here:
        machine = self._machine
        guarded = {one: Guarded(app, plan.says[app]) for one, app in plan.apps.items() if app in plan.says}
        return Here(
            machine.keys, machine.link_port, machine.direct_port, endpoints=self._endpoints(plan, found),
            direct=frozenset(found.direct), slots=found.slots, guarded=guarded, open_ports=plan.open_ports,
            forwards=machine.forwards,
        )  # fmt: skip

    def _endpoints(self, plan: Plan, found: Found) -> dict[bytes, str]:
        """Where peers were last; a hub that was nowhere yet is looked up."""
        known = {bytes.fromhex(key): at for key, at in found.endpoints.items()}
        for hub in plan.network.hubs:
            at = known.get(hub.key) or next(filter(None, map(self._machine.resolve, hub.endpoints)), None)
            if at is not None:
                known[hub.key] = at
        return known

    # Files

    def _kept(self) -> Kept:
        return self._read(KEPT, Kept) or Kept()

    def _answered(self, digest: str | None, now_ms: int) -> bool:
        """Whether the hub was reached under this plan lately."""
        found = sealed.message(Reached, sealed.read(self._places.run / REACHED), REACHED)
        if not isinstance(found, Reached) or (found.digest, found.boot) != (digest, self._machine.boot):
            return False
        return now_ms - found.at_ms < LATELY_MS

    def _read(self, name: str, kind: type[T]) -> T | None:
        """The record; none where there is none. Raises DiskError where it cannot be read."""
        found = sealed.read_twice(self._places.state / name)
        record = sealed.message(kind, found.data, name) if isinstance(found, Twice) else found
        if isinstance(record, Damaged):
            raise DiskError(0, f"cannot use {self._places.state / name}: {record.text}")
        return record

    def _write(self, name: str, record: Struct) -> None:
        path = self._places.state / name
        make_folder(path.parent)
        sealed.write_twice(path, sealed.bytes_of(record))

    def _say(self, status: Status) -> None:
        path = self._places.run / STATUS
        try:
            make_folder(path.parent)
            sealed.write(path, sealed.bytes_of(status))
        except DiskError:
            return  # the agent sees that nothing new is said
