"""Between instances on two nodes, through a direct tunnel, beside a bare WireGuard tunnel between two hosts.

The bare one has no rules, no namespaces and no routes but its own; both are of the same backend, have the same MTU, and
are measured by turns. By each backend that this machine has: the kernel's where there is one, and wireguard-go.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from skerry_netplan.kernel.backends import in_kernel
from skerry_netplan.kernel.links import connected
from skerry_netplan.kernel.tunnels import Backend
from skerry_netplan.kernel.userspace import Userspace
from skerry_netplan.lower import MTU, namespace_of
from skerry_netplan.state import Peer
from tests.lab.network.hosts import Host, cabled
from tests.lab.network.rig import DB, SQL, WEB, mesh, node_state, private, public, region, set_up, talk

from .figures import Effort
from .measures import Goal, Of, Row, median
from .talking import PORT, End, through, to_and_fro

BARE, BARE_PORT = "bare", 51830
Ends = tuple[End, End]
Backends = Callable[[Host], Backend]


def measure(effort: Effort) -> Iterator[Row]:
    assert PORT == SQL, "the firewall lets it through"
    kinds: list[Backends] = [_kernels] if asyncio.run(in_kernel()) else []
    kinds += [wireguard_go] if shutil.which("wireguard-go") else []
    for kind in kinds:
        with _ours(kind) as ours, bare(kind) as plain:
            name = kind(ours[0].host).name
            yield from _rows(name, ours, plain, effort)


def _rows(name: str, ours: Ends, bare: Ends, effort: Effort) -> Iterator[Row]:
    turns, seconds, times = effort.count(9, 3), effort.pick(5, 2), effort.count(5000, 1000)
    ours_rate, bare_rate, ours_us, bare_us = [], [], [], []
    for _ in range(turns):
        bare_rate.append(through(*bare, seconds))
        ours_rate.append(through(*ours, seconds))
        bare_us.append(to_and_fro(*bare, times))
        ours_us.append(to_and_fro(*ours, times))
    beside = "a bare tunnel"
    spans = f"ours {min(ours_rate):.0f} to {max(ours_rate):.0f}, bare {min(bare_rate):.0f} to {max(bare_rate):.0f}"
    note, goal = (
        f"median of {turns}, one TCP connection of {seconds:g} s; {spans}",
        Goal(0.95, Of.RATIO, least=True),
    )
    yield Row(f"{name}: through", median(ours_rate), "Mbit/s", median(bare_rate), beside, goal, note)
    spans = f"ours {min(ours_us):.0f} to {max(ours_us):.0f}, bare {min(bare_us):.0f} to {max(bare_us):.0f}"
    note, goal = f"medians of {turns} times {times}; {spans}", Goal(1 / 0.95, Of.RATIO)
    yield Row(f"{name}: 32 bytes to and fro", median(ours_us), "µs", median(bare_us), beside, goal, note)


def wireguard_go(host: Host) -> Backend:
    """As a child of this process."""
    return Userspace(host.child)


def _kernels(host: Host) -> Backend:
    from skerry_netplan.kernel.inkernel import InKernel  # noqa: PLC0415 - memory, where it is not used

    return InKernel()


@contextmanager
def _ours(kind: Backends) -> Iterator[Ends]:
    """web on the first node and db on the second, which the hub does not lead to."""
    one = region(WEB, DB)
    with mesh() as machines:
        for machine in machines:
            machine.kernel.backend = kind(machine.host)
        set_up(machines, one)
        for number, other in ((1, "n2"), (2, "n1")):
            machines[number].become(node_state(number, one, other))
        assert talk(machines, WEB, DB, SQL)
        web, db = (
            End(machines[at].host, str(one.address_of(copy)), namespace_of(copy.id))
            for at, copy in ((1, WEB), (2, DB))
        )
        yield web, db


@contextmanager
def bare(kind: Backends, keepalive: int = 0) -> Iterator[Ends]:
    """Two hosts with a tunnel and nothing else; the first keeps it open, once in `keepalive` seconds."""
    with cabled("b1", "b2") as hosts:
        one, two = (End(host, f"fd99::{number}") for number, host in enumerate(hosts, 1))
        for own, other, often in ((one, two, keepalive), (two, one, 0)):
            own.host.run(_tunnel(kind(own.host), own, other, often))
        yield one, two


async def _tunnel(backend: Backend, own: End, other: End, keepalive: int) -> None:
    await backend.create(BARE)
    await backend.configure(BARE, private(own.address), BARE_PORT)
    endpoint = f"{other.host.address}:{BARE_PORT}"
    peer = Peer(public(other.address), frozenset({f"{other.address}/128"}), endpoint, keepalive)
    await backend.set_peer(BARE, peer, endpoint)
    async with connected() as ip:
        (index,) = await ip.link_lookup(ifname=BARE)
        await ip.link("set", index=index, mtu=MTU, state="up")
        await ip.addr("add", index=index, address=own.address, prefixlen=64)
