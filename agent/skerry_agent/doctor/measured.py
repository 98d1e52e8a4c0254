"""What was measured of a node and of its way to the hub: values, without a judgement. None: it could not be known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Disk:
    """A folder that has to take writes. `fault`: why it does not, in words; empty: it does."""

    path: str
    free: int = 0
    fault: str = ""


@dataclass(frozen=True)
class Service:
    """A unit of systemd, as it is: `active` is its ActiveState, or "not there"."""

    name: str
    active: str


@dataclass(frozen=True)
class Link:
    """The tunnel's interface. `fault`: why it cannot be read; `mtu`: bytes; `up`: it is switched on.

    `narrow`: what the way to the hub was found to take, and this node keeps to (bytes); 0: as much as the interface.
    """

    backend: str = ""
    mtu: int = 0
    up: bool = False
    fault: str = ""
    narrow: int = 0


@dataclass(frozen=True)
class HubInside:
    """A hub as seen through the tunnel, before and after it was sent something.

    `endpoint`: where its packets go now, empty where it is no peer. `handshake_s`: age of the last one, by this
    machine's clock. `heard`: something came back meanwhile. `answered`: the sizes of pings that were, in bytes.
    """

    address: str
    endpoint: str = ""
    handshake_s: float | None = None
    heard: bool = False
    answered: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Way:
    """To another node that apps here talk to. `at`: where the direct tunnel ends; empty: the way leads through the hub.

    `takes`: it takes direct tunnels. `tried`: where it may be reached, as far as anybody knows.
    """

    name: str
    at: str = ""
    takes: bool = True
    tried: tuple[str, ...] = ()


@dataclass(frozen=True)
class Https:
    """What came of asking a hub who it is. `wrong`: something answers, and is no hub of this mesh.

    `ahead_s`: by how much this machine's clock is ahead of the hub's.
    """

    hub: str = ""
    fault: str = ""
    wrong: bool = False
    ahead_s: float | None = None


@dataclass(frozen=True)
class Agent:
    """What the agent says of itself. `fault`: why it says nothing; `hub`: why it does not reach its hub."""

    fault: str = ""
    hub: str = ""
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """All of it. `stranger`: why this machine is no member. `planned`: it is to have tunnels.

    `systemd`, `firewall`, `nats`: what is wrong with each, empty where nothing is. `damaged`: records that cannot be
    read. `names`: of its hubs → an address, None where nobody knows one. `net`: what ails skerry-net, by its own word.
    """

    member: str = ""
    stranger: str = ""
    planned: bool = True
    systemd: str | None = None
    services: tuple[Service, ...] = ()
    disks: tuple[Disk, ...] | None = None
    damaged: tuple[str, ...] | None = None
    net: str | None = None
    link: Link | None = None
    firewall: str | None = None
    names: tuple[tuple[str, str | None], ...] = ()
    https: Https | None = None
    hubs: tuple[HubInside, ...] = ()
    ways: tuple[Way, ...] = ()
    nats: str | None = None
    agent: Agent | None = None
