"""A hub and two nodes on one cable, and what is to run on them: web on the first reaches db on the second."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from skerry_netplan.differ import diff
from skerry_netplan.firewall import Guarded
from skerry_netplan.hubside import HubHere, lower_hub
from skerry_netplan.kernel import forwarding, namespaces
from skerry_netplan.kernel.kernel import Kernel
from skerry_netplan.kernel.userspace import Userspace
from skerry_netplan.lower import Here, lower, namespace_of
from skerry_netplan.model import Copy, Member, Region
from skerry_netplan.planner import Planner
from skerry_netplan.slots import slots
from skerry_netplan.state import KeyRole, State
from skerry_protocol.ids import NodeId, NodeName
from skerry_protocol.network import AppNetwork, HubAt
from tests.lab.network.hosts import Host, cabled
from tests.netplan.regions import ADDRESSES, HUB, copy, says

SQL, OTHER = 5432, 5433
WEB, DB, ALONE = copy("web", 1, 1), copy("db", 1, 2), copy("alone", 1, 1)
CONNECTS = 10.0  # seconds within which a connection comes about
NEVER = 1.0  # so long one that must not come about is waited for
REACHES_DB = says("db")
HUB_PORT, LINK_PORT, DIRECT_PORT = 51820, 51821, 51822


def private(name: str) -> bytes:
    return name.encode().ljust(32, b".")


def public(name: str) -> bytes:
    return X25519PrivateKey.from_private_bytes(private(name)).public_key().public_bytes_raw()


def region(*copies: Copy, web: AppNetwork = REACHES_DB) -> Region:
    members = [
        Member(
            NodeId(f"id{number}"),
            NodeName(f"n{number}"),
            number,
            public(f"link{number}"),
            public(f"direct{number}"),
        )
        for number in (1, 2)
    ]
    hub = HubAt(public("hub"), HUB.address, (f"192.0.2.1:{HUB_PORT}",))
    apps = {WEB.app: web, DB.app: says(sql=SQL), ALONE.app: says()}
    return Region(ADDRESSES, (hub,), {member.id: member for member in members}, copies, apps)


class Machine:
    """A host with what Skerry makes of it."""

    def __init__(self, host: Host, *keys: str) -> None:
        self.host = host
        self.kernel = Kernel(Userspace(host.child), {public(key): private(key) for key in keys})

    def read(self) -> State:
        return self.host.run(self.kernel.read())

    def become(self, wanted: State) -> int:
        """How many operations it took."""
        self.host.run(_forwarding())
        return self.host.run(self._become(wanted))

    def opened(self, family: int, copy: Copy | None = None) -> socket.socket:
        """One of TCP, in the copy's namespace or in the machine's own, which is also that of a host copy."""
        copy = None if copy is not None and copy.host else copy
        return self.host.run(_socket(family, copy))

    async def _become(self, wanted: State) -> int:
        operations = diff(wanted, await self.kernel.read())
        await self.kernel.carry_out(operations)
        return len(operations)


async def _forwarding() -> None:
    forwarding.switch_on()


async def udp(copy: Copy) -> socket.socket:
    """In the copy's namespace."""
    return namespaces.PLAIN.open_socket(namespace_of(copy.id), socket.AF_INET6, socket.SOCK_DGRAM)


async def _socket(family: int, copy: Copy | None) -> socket.socket:
    if copy is None:
        sock = socket.socket(family)
    else:
        sock = namespaces.PLAIN.open_socket(namespace_of(copy.id), family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return sock


Machines = tuple[Machine, Machine, Machine]


def node_state(number: int, one: Region, *direct: str, inner: tuple[str, ...] = ()) -> State:
    """`direct`: the nodes whose direct tunnels are up."""
    said = {copy: Guarded(copy.app, one.apps[copy.app]) for copy in one.copies}
    guarded = {copy.id: word for copy, word in said.items() if not copy.host}
    hosted = tuple(word for copy, word in said.items() if copy.host and copy.node == f"id{number}")
    keys = {KeyRole.LINK: public(f"link{number}"), KeyRole.DIRECT: public(f"direct{number}")}
    other = 3 - number
    endpoints = {
        public("hub"): f"192.0.2.1:{HUB_PORT}",
        public(f"direct{other}"): f"192.0.2.{other + 1}:{DIRECT_PORT}",
    }
    here = Here(keys, LINK_PORT, DIRECT_PORT, endpoints=endpoints, direct=frozenset(map(NodeName, direct)))
    return lower(
        Planner(one).plan(NodeId(f"id{number}")),
        replace(here, guarded=guarded, hosted=hosted, slots=slots(guarded, {}), inner=inner),
    )


@contextmanager
def mesh() -> Iterator[Machines]:
    """The hub and two nodes, with nothing on them."""
    with cabled("hub", "n1", "n2") as (hub, one, two):
        yield Machine(hub, "hub"), Machine(one, "link1", "direct1"), Machine(two, "link2", "direct2")


def set_up(machines: Machines, one: Region, *direct: str) -> None:
    hub, *nodes = machines
    hub.become(lower_hub(one, HubHere(public("hub"), HUB_PORT, 1420)))
    for number, node in enumerate(nodes, 1):
        node.become(node_state(number, one, *direct))


def talk(machines: Machines, client: Copy, server: Copy, port: int, within: float = CONNECTS) -> bool:
    """Whether the one's connection to the other's port is taken; there is somebody who listens."""
    one = region(WEB, DB, ALONE)
    at = {NodeId("id1"): machines[1], NodeId("id2"): machines[2]}
    to = (str(one.address_of(server)), port)
    listener = at[server.node].opened(socket.AF_INET6, server)
    listener.bind(to)
    return heard(listener, at[client.node].opened(socket.AF_INET6, client), to, within) is not None


def heard(
    listener: socket.socket, caller: socket.socket, to: tuple[str, int], within: float = CONNECTS
) -> str | None:
    """By which address the bound listener knows the caller who connected to `to`; None where nobody came."""
    with listener, caller:
        listener.listen()
        listener.settimeout(within)
        caller.settimeout(within)
        with suppress(OSError):
            caller.connect(to)
            connection, (address, *_) = listener.accept()
            connection.close()
            return str(address)
    return None
