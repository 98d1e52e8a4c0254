"""What agent and skerry-net tell each other, and what skerry-net keeps: files, so that either may be away for weeks.

    <state>/network/wanted      the agent: the newest plan that the node accepted
    <state>/network/kept        skerry-net: the way in use, the one to go back to, and what became of others
    <state>/network/found       skerry-net: where peers were last, how much ways take, which slots instances have
    <state>/network/hint        the agent: where mates may be reached, and who is not well, as the hub said last
    <state>/network/clock       skerry-net: the newest time of the machine's clock
    <run>/net/reached           the agent: under which way its hub answered
    <run>/net/status            skerry-net: what the kernel has, and what is wrong
    <run>/net/forwarded         skerry-net: whether the machine forwarded before Skerry had it do so
    <run>/net/clock-looked-at   skerry-net: empty, there once the clock was compared in this boot
    <run>/net/resolv.conf       skerry-net: for instances, in the place of the machine's own

All but the last two are sealed, those under <state> with a twin.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from ipaddress import IPv6Address

from msgspec import Struct, field

from skerry_protocol.codec import encode
from skerry_protocol.ids import AppName, InstanceId, NodeName
from skerry_protocol.messages import Hint
from skerry_protocol.network import AppNetwork, HubAt, Network, Port

from .confirm import Standing

FOLDER = "network"
WANTED, KEPT, FOUND = f"{FOLDER}/wanted", f"{FOLDER}/kept", f"{FOLDER}/found"
HINT, CLOCK = f"{FOLDER}/hint", f"{FOLDER}/clock"
REACHED, STATUS, FORWARDED, LOOKED = "net/reached", "net/status", "net/forwarded", "net/clock-looked-at"


class Plan(Struct, frozen=True, omit_defaults=True):
    """A plan with all that it takes to carry it out. `apps`: whose copy an instance is; `says`: what those apps say.

    `hosted`: apps with a copy here on the node's own network, as its policy permits. `metered`: as its policy says.
    """

    network: Network
    node: NodeName
    apps: dict[InstanceId, AppName] = field(default_factory=dict)
    says: dict[AppName, AppNetwork] = field(default_factory=dict)
    open_ports: tuple[Port, ...] = ()
    hosted: tuple[AppName, ...] = ()
    metered: bool = False

    @property
    def digest(self) -> str:
        """What names it (hex)."""
        return hashlib.sha256(encode(self)).hexdigest()

    @property
    def way(self) -> str:
        """What names all of it that can cost the node its hub (hex): see `confirm`."""
        plan = self.network
        return hashlib.sha256(encode(Way(plan.whole, plan.region, plan.node, plan.hubs))).hexdigest()


class Way(Struct, frozen=True):
    """Of a `Network`, what leads to the hub."""

    whole: str
    region: str
    node: str
    hubs: tuple[HubAt, ...]


class Kept(Struct, frozen=True, omit_defaults=True):
    """Where the node stands with its plans; `plans` are the last good ones of the ways that `standing` names."""

    standing: Standing = Standing()
    plans: dict[str, Plan] = field(default_factory=dict)


class Found(Struct, frozen=True, omit_defaults=True):
    """What skerry-net found out: `endpoints` of hubs and of other nodes by public key (hex), IPv4 `slots`.

    `narrow`: how much the way to one of them takes (bytes of a packet inside), where that is less than usual.
    """

    endpoints: dict[str, str] = field(default_factory=dict)
    slots: dict[InstanceId, int] = field(default_factory=dict)
    narrow: dict[str, int] = field(default_factory=dict)


class Clock(Struct, frozen=True):
    """`at`: seconds since 1970."""

    at: float


class Reached(Struct, frozen=True, omit_defaults=True):
    """The hub answered a beat that was sent under this way (`Status.way`), at a CLOCK_BOOTTIME of a boot."""

    way: str
    boot: str
    at_ms: int


class Status(Struct, frozen=True, omit_defaults=True):
    """What the kernel has. `way`: the one in use; `trouble`: why it is not all there.

    `taken_back`: to where the newest plan leads, and why it was taken back (see `Failed`); empty: it was not.
    `trial`: the one in use is on trial.
    `wanted`: digest of the newest accepted plan, once the kernel has the whole of it; empty until then. `spaces`: the
    instances whose namespace is there as wanted. `backend`: "kernel" or "wireguard-go". `mates`: the nodes that this
    one's apps talk to → where the direct tunnel ends; empty: the way leads through the hub. `lan`: where this node's
    direct tunnels end, by the machine's own addresses. `narrow`: how much the way to the hub takes (bytes of a packet
    inside), where that is less than usual; 0: as much.
    """

    way: str = ""
    wanted: str = ""
    spaces: tuple[InstanceId, ...] = ()
    trouble: str = ""
    backend: str = ""
    taken_back: str = ""
    trial: bool = False
    mates: dict[NodeName, str] = field(default_factory=dict)
    lan: tuple[str, ...] = ()
    narrow: int = 0


def ailing(hint: Hint) -> frozenset[IPv6Address]:
    """Addresses of copies that are not well; what is no address says nothing."""
    found = set()
    for text in hint.ailing:
        with suppress(ValueError):
            found.add(IPv6Address(text))
    return frozenset(found)
