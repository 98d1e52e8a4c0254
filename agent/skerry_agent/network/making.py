"""What the kernel has: a plan is brought down to what it is to have (`lower`), compared with what it has, carried out.

Owns the hub's endpoint as it is sought, the direct ways to other nodes, and what was found out on the way. What fails
is said, and done in the next turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Network, ip_address

from msgspec import structs

from skerry_netplan.differ import Operation, diff
from skerry_netplan.firewall import Guarded
from skerry_netplan.kernel import forwarding
from skerry_netplan.kernel.kernel import Kernel, KernelError
from skerry_netplan.kernel.tunnels import PeerSeen, TunnelError
from skerry_netplan.lower import Here, lower
from skerry_netplan.slots import NoSlot, slots
from skerry_netplan.state import DIRECT, LINK, KeyRole, State
from skerry_protocol.ids import InstanceId, NodeName
from skerry_protocol.messages import Hint

from .breadths import Breadths
from .direct import Directs
from .files import Files
from .hubs import METERED_STALE_MS, STALE_MS
from .ping import ping
from .records import Found, Plan
from .seeking import Resolve, Seeker, written
from .sessions import Sessions

ENDPOINTS_KEPT = 1000
LAN_MOST = 4


@dataclass(frozen=True)
class Machine:
    """What this machine brings. `keys`: role → public key. `resolve`: an endpoint as written → one with an address.

    `now_ms`: CLOCK_BOOTTIME; `wall`: seconds since 1970. `forwards`: whether the machine forwarded anything before
    Skerry had it do so.
    """

    keys: Mapping[KeyRole, bytes]
    link_port: int
    direct_port: int
    boot: str
    now_ms: Callable[[], int]
    resolve: Resolve
    forwards: bool = False
    wall: Callable[[], float] = time.time


@dataclass
class Done:
    """What became of carrying a plan out. `whole`: the kernel has all of it. `linked`: it has the node's address."""

    spaces: tuple[InstanceId, ...] = ()
    whole: bool = False
    trouble: str = ""
    linked: bool = False
    mates: Mapping[NodeName, str] = field(default_factory=dict)
    """Other nodes → where their direct tunnel ends; empty: the way to them leads through the hub."""
    lan: tuple[str, ...] = ()
    """Where this node's end, by the machine's own addresses."""
    narrow: int = 0
    """What the way to the hub takes (bytes), where that is less than usual; 0: as much."""


class Making:
    """`look`: called when something became known that a turn is to use. `say`: to the journal."""

    def __init__(
        self,
        files: Files,
        machine: Machine,
        kernel: Kernel,
        look: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self._files, self._machine, self._kernel, self._log = files, machine, kernel, say
        self._seeker = Seeker(machine.resolve, machine.now_ms, look)
        self.directs = Directs(lambda: kernel.backend, machine.now_ms, machine.wall, look)
        self.breadths = Breadths(ping, machine.now_ms, look)
        self._sessions = Sessions()
        self._had: State | None = None

    @property
    def due_ms(self) -> int | None:
        """When to look again; None: never by itself."""
        return self._seeker.due_ms

    async def done(self, plan: Plan, hint: Hint) -> Done:
        """Carries it out as far as it goes."""
        try:
            return await self._carried_out(_sparing(plan) if plan.metered else plan, hint)
        except (KernelError, NoSlot) as error:
            return Done(trouble=str(error))
        finally:
            self.directs.wake()

    async def _carried_out(self, plan: Plan, hint: Hint) -> Done:
        there = await self._kernel.read()
        found = self._found(plan, hint)
        anew = self._seeker.take()
        known = self._known(plan, found)
        here = self._here(plan, found, known | self._seeker.at | self.directs.endpoints)
        wanted = lower(plan.network, here)
        operations, trouble = diff(wanted, there), ""
        try:
            await self._kernel.carry_out(operations)
            await self._set_anew(wanted, anew)
        except (KernelError, TunnelError) as error:
            trouble = str(error)
        if operations:
            if not trouble:
                self._put_back(wanted, operations)
            there = await self._kernel.read()
        if wanted.spaces and there.rules == wanted.rules:
            trouble = trouble or _forward()
        narrow = here.narrow.get(plan.network.hubs[0].key, 0)
        return replace(self._came_to(plan, wanted, there, trouble), narrow=narrow)

    def _came_to(self, plan: Plan, wanted: State, there: State, trouble: str) -> Done:
        whole = not diff(wanted, there)
        if whole:
            self._had = wanted
        spaces = sorted(one for one, space in wanted.spaces.items() if there.spaces.get(one) == space)
        link = there.tunnels.get(LINK)
        linked = link is not None and wanted.tunnels[LINK].addresses <= link.addresses
        return Done(tuple(spaces), whole and not trouble, trouble, linked, self._mates(plan), self._lan(plan))

    def _lan(self, plan: Plan) -> tuple[str, ...]:
        whole = IPv6Network(plan.network.whole)
        own = [text for text in self._kernel.outside if ip_address(text) not in whole]
        return tuple(written(text, self._machine.direct_port) for text in own[:LAN_MOST])

    def _mates(self, plan: Plan) -> dict[NodeName, str]:
        ends = self._ends(plan)
        return {mate.name: ends.get(mate.key, "") if mate.key else "" for mate in plan.network.mates}

    def _ends(self, plan: Plan) -> dict[bytes, str]:
        """Where the direct tunnels end that are used, by key."""
        seen = self._kernel.seen.get(DIRECT)
        direct = {mate.key for mate in plan.network.mates if mate.key and mate.name in self.directs.direct}
        peers = {key: seen.peers[key].peer for key in direct if key in seen.peers} if seen else {}
        return {key: peer.endpoint for key, peer in peers.items() if peer.endpoint}

    def _found(self, plan: Plan, hint: Hint) -> Found:
        """With what the tunnels show; and the hub is sought where it does not answer."""
        before = self._files.found()
        self.directs.know(plan.network, hint, before.endpoints)
        self.directs.looked(self._kernel.seen.get(DIRECT))
        link = self._kernel.seen.get(LINK)
        hubs = {hub.key for hub in plan.network.hubs}
        peers = {key: one for key, one in link.peers.items() if key in hubs} if link else {}
        heard = {key: one.peer.endpoint for key, one in peers.items() if one.handshake and one.peer.endpoint}
        endpoints = _newest(
            before.endpoints, {key.hex(): at for key, at in (heard | self._ends(plan)).items()}
        )
        chosen = slots(plan.network.addresses, before.slots, self._kernel.networks4)
        carrying = self._carrying(plan, peers)
        narrow = self.breadths.know(plan.network, carrying, self._kernel.outside, before.narrow)
        after = structs.replace(before, endpoints=endpoints, slots=chosen, narrow=narrow)
        if after != before:
            self._files.note(after)
        known = self._known(plan, after)
        handshakes = {key: one.handshake for key, one in peers.items()}
        self._seeker.look(
            plan.network.hubs, known, handshakes, METERED_STALE_MS if plan.metered else STALE_MS
        )
        return after

    def _carrying(self, plan: Plan, peers: Mapping[bytes, PeerSeen]) -> dict[bytes, str]:
        """Where the tunnels end that carry something now: those of `_ends`, and the hub's."""
        hub, now, wall = plan.network.hubs[0].key, self._machine.now_ms(), self._machine.wall()
        seen = peers.get(hub)
        lives = self._sessions.lives(hub, seen.handshake if seen else None, wall, now)
        return self._ends(plan) | ({hub: seen.peer.endpoint} if lives and seen and seen.peer.endpoint else {})

    def _known(self, plan: Plan, found: Found) -> dict[bytes, str]:
        """Where the hubs were last."""
        keys = {hub.key for hub in plan.network.hubs}
        return {key: at for text, at in found.endpoints.items() if (key := bytes.fromhex(text)) in keys}

    async def _set_anew(self, wanted: State, anew: Mapping[bytes, str]) -> None:
        """Hubs that were looked up again: what is an endpoint already, the differ leaves as it is."""
        for name in (LINK, DIRECT):
            peers = wanted.tunnels[name].peers if name in wanted.tunnels else {}
            for key, at in anew.items():
                if key in peers:
                    await self._kernel.backend.set_peer(name, peers[key], at)

    def _here(self, plan: Plan, found: Found, endpoints: Mapping[bytes, str]) -> Here:
        machine = self._machine
        guarded = {one: Guarded(app, plan.says[app]) for one, app in plan.apps.items() if app in plan.says}
        hosted = tuple(Guarded(app, plan.says[app]) for app in plan.hosted if app in plan.says)
        return Here(
            machine.keys, machine.link_port, machine.direct_port, endpoints=endpoints,
            direct=self.directs.direct, narrow={bytes.fromhex(key): mtu for key, mtu in found.narrow.items()},
            slots=found.slots, guarded=guarded, open_ports=plan.open_ports,
            forwards=machine.forwards, inner=self._kernel.inner, hosted=hosted, hold_open=not plan.metered,
        )  # fmt: skip

    def _put_back(self, wanted: State, operations: Iterable[Operation]) -> None:
        if wanted == self._had:
            kinds = sorted({type(one).__name__ for one in operations})
            self._log(f"put back what somebody else had changed ({', '.join(kinds)})")


def _sparing(plan: Plan) -> Plan:
    """With no tunnel but the hub's: what finds and holds direct ones sends all the time."""
    mates = tuple(structs.replace(mate, key=None) for mate in plan.network.mates)
    return structs.replace(plan, network=structs.replace(plan.network, mates=mates))


def _newest(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """What changed comes last, so that of too many the oldest go."""
    same = {key: at for key, at in before.items() if now.get(key, at) == at}
    return dict([*same.items(), *((key, at) for key, at in now.items() if key not in same)][-ENDPOINTS_KEPT:])


def _forward() -> str:
    """Why not. Not before the rules are there: without them a machine would forward for anybody."""
    try:
        forwarding.switch_on()
    except OSError as error:
        return f"cannot forward what instances send: {error}"
    return ""
