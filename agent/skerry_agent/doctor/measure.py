"""Measures this node, all of it at once and each part for a bounded time. Reads files itself, and needs no agent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from skerry_netplan.kernel.runners import answers, fitting
from skerry_netplan.kernel.tunnels import PeerSeen, TunnelError, TunnelSeen
from skerry_netplan.kernel.userspace import SOCKETS, Userspace
from skerry_netplan.state import LINK
from skerry_protocol.messages import Hint
from skerry_protocol.network import HubAt, Network
from skerry_protocol.signing import Delegation

from ..assignments.records import SEEN_RECORD, Seen
from ..disk import sealed
from ..disk.files import STATE, DiskError
from ..disk.sealed import Twice
from ..joining.identity import Identity, IdentityError, load
from ..network import wanted
from ..network.ping import HEADERS, ping
from ..network.records import HINT, Status
from ..network.run import RUN
from ..network.telling import Telling, told
from . import probes
from .judging import LEAST_MTU
from .measured import HubInside, Link, Measured, Way

READ_S, PING_S, TUNNEL_S = 3.0, 6.0, 12.0
SMALL = HEADERS + 8
INTERFACES = Path("/sys/class/net")
UP = 1  # IFF_UP


async def measure(state: Path = STATE, run: Path = RUN) -> Measured:
    """All that this machine can find out by itself."""
    async with asyncio.TaskGroup() as group:
        systemd = group.create_task(probes.systemd())
        disks = group.create_task(probes.apart(lambda: probes.disks((state, run))))
        member = group.create_task(_member(state, run))
    said, units = systemd.result()
    return replace(member.result(), systemd=said, services=units, disks=disks.result())


async def _member(state: Path, run: Path) -> Measured:
    """What only a member of a mesh has."""
    identity = await probes.apart(lambda: _identity(state), READ_S)
    if not isinstance(identity, Identity):
        return Measured(stranger="its records could not be read in time" if identity is None else identity)
    plan = told(state)
    network = plan.network if plan is not None else None
    word, said = _newest_word(identity, state), Telling(state, run).status()
    async with asyncio.TaskGroup() as group:
        damaged = group.create_task(probes.apart(lambda: probes.damaged(state)))
        names = group.create_task(probes.names(_endpoints(identity, network)))
        https = group.create_task(probes.apart(lambda: probes.https(identity, word)))
        nats = group.create_task(probes.apart(lambda: probes.nats(identity.nats, word.tls_key)))
        agent = group.create_task(probes.apart(probes.agent))
        firewall = group.create_task(probes.firewall())
        inside = group.create_task(_within(network.hubs if network is not None else (), said))
    link, hubs = inside.result()
    return Measured(
        member=f"{identity.name} ({identity.node}), mesh {identity.mesh}, region {identity.region}",
        planned=network is not None,
        damaged=damaged.result(),
        net=wanted.ails(said),
        link=link,
        firewall=firewall.result(),
        names=names.result(),
        https=https.result(),
        hubs=hubs,
        ways=await probes.apart(lambda: _ways(network, said, state), READ_S) or (),
        nats=nats.result(),
        agent=agent.result(),
    )


def _identity(state: Path) -> Identity | str:
    """Or why there is none."""
    try:
        return load(state) or "this machine has not joined a mesh"
    except (IdentityError, DiskError) as error:
        return str(error)


def _newest_word(identity: Identity, state: Path) -> Delegation:
    """The root's, for the hub: what came with the join, or with a later assignment."""
    joined, found = identity.word, sealed.read_twice(state / SEEN_RECORD)
    kept = sealed.message(Seen, found.data, SEEN_RECORD) if isinstance(found, Twice) else None
    seen = kept.delegation if isinstance(kept, Seen) else None
    newer = seen is not None and seen.region == identity.region and seen.serial > joined.serial
    return seen if newer and seen is not None else joined


def _endpoints(identity: Identity, network: Network | None) -> list[str]:
    """All the places where a hub is said to be."""
    by_https = [one for one in identity.hubs if not one.startswith("unix:")]
    return by_https + [one for hub in (network.hubs if network is not None else ()) for one in hub.endpoints]


def _ways(network: Network | None, said: Status | None, state: Path) -> tuple[Way, ...]:
    """To the nodes that apps here talk to, as skerry-net says; where they may be, as the hub said last."""
    if network is None or said is None:
        return ()
    found = sealed.read_twice(state / HINT)
    hint = sealed.message(Hint, found.data, HINT) if isinstance(found, Twice) else None
    tried = hint.endpoints if isinstance(hint, Hint) else {}
    mates = [one for one in network.mates if one.name in said.mates]
    return tuple(
        Way(one.name, said.mates[one.name], one.key is not None, tried.get(one.name, ())) for one in mates
    )


async def _within(hubs: Sequence[HubAt], said: Status | None) -> tuple[Link, tuple[HubInside, ...]]:
    with suppress(TimeoutError):
        async with asyncio.timeout(TUNNEL_S):
            return await _inside(hubs, said.narrow if said else 0)
    return Link(fault="it does not answer"), tuple(HubInside(hub.address) for hub in hubs)


async def _inside(hubs: Sequence[HubAt], narrow: int) -> tuple[Link, tuple[HubInside, ...]]:
    """The tunnel, and what comes back through it."""
    link = replace(_interface(), narrow=narrow)
    before = await _tunnel()
    if isinstance(before, str):
        return replace(link, fault=before), tuple(HubInside(hub.address) for hub in hubs)
    sizes = dict.fromkeys((SMALL, LEAST_MTU, narrow or LEAST_MTU, link.mtu or LEAST_MTU))
    async with asyncio.TaskGroup() as group:
        pings = [group.create_task(ping(hub.address, sizes, PING_S)) for hub in hubs]
    after = await _tunnel()
    if isinstance(after, str):
        return replace(link, fault=after), tuple(HubInside(hub.address) for hub in hubs)
    seen = (_hub(hub, before, after, one.result()) for hub, one in zip(hubs, pings, strict=True))
    return link, tuple(seen)


def _interface() -> Link:
    """As the kernel shows it to everybody."""
    folder, backend = INTERFACES / LINK, "wireguard-go" if answers(SOCKETS, LINK) else "kernel"
    with suppress(OSError, ValueError):
        mtu = int((folder / "mtu").read_text("ascii"))
        up = int((folder / "flags").read_text("ascii"), 16) & UP
        return Link(backend, mtu, bool(up))
    return Link(backend)


async def _tunnel() -> TunnelSeen | str:
    """Its keys and peers; else why they cannot be read. By whom it was made shows, so nothing is tried out."""
    if not (INTERFACES / LINK).exists():
        return f"there is no interface {LINK}"
    try:
        if answers(SOCKETS, LINK):
            return await Userspace(fitting()).read(LINK)
        from skerry_netplan.kernel.inkernel import InKernel  # noqa: PLC0415 - loads much

        return await InKernel().read(LINK)
    except TunnelError as error:
        return str(error)


def _hub(hub: HubAt, before: TunnelSeen, after: TunnelSeen, answered: frozenset[int]) -> HubInside:
    now = after.peers.get(hub.key)
    if now is None:
        return HubInside(hub.address, answered=answered)
    then = before.peers.get(hub.key) or PeerSeen(now.peer)
    age = None if now.handshake is None else time.time() - now.handshake
    heard = now.received > then.received or now.handshake != then.handshake
    return HubInside(hub.address, now.peer.endpoint or "", age, heard, answered)
