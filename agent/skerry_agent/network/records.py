"""What agent and skerry-net tell each other, and what skerry-net keeps: files, so that either may be away for weeks.

    <state>/network/wanted      the agent: the newest plan that the node accepted
    <state>/network/kept        skerry-net: the plan in use, the one to go back to, and what became of others
    <state>/network/found       skerry-net: where peers were last, which slots instances have
    <run>/net/reached           the agent: under which plan its hub answered
    <run>/net/status            skerry-net: what the kernel has, and what is wrong

All are sealed, those under <state> with a twin.
"""

from __future__ import annotations

import hashlib

from msgspec import Struct, field

from skerry_protocol.codec import encode
from skerry_protocol.ids import AppName, InstanceId, NodeName
from skerry_protocol.network import AppNetwork, Network, Port

from .confirm import Standing

FOLDER = "network"
WANTED, KEPT, FOUND = f"{FOLDER}/wanted", f"{FOLDER}/kept", f"{FOLDER}/found"
REACHED, STATUS = "net/reached", "net/status"


class Plan(Struct, frozen=True, omit_defaults=True):
    """A plan with all that it takes to carry it out. `apps`: whose copy an instance is; `says`: what those apps say."""

    network: Network
    node: NodeName
    apps: dict[InstanceId, AppName] = field(default_factory=dict)
    says: dict[AppName, AppNetwork] = field(default_factory=dict)
    open_ports: tuple[Port, ...] = ()

    @property
    def digest(self) -> str:
        """What names it (hex)."""
        return hashlib.sha256(encode(self)).hexdigest()


class Kept(Struct, frozen=True, omit_defaults=True):
    """Where the node stands with its plans; `plans` are those that `standing` names, by digest, and no other."""

    standing: Standing = Standing()
    plans: dict[str, Plan] = field(default_factory=dict)


class Found(Struct, frozen=True, omit_defaults=True):
    """What skerry-net found out: `endpoints` by public key (hex), `direct` mates, IPv4 `slots` of instances."""

    endpoints: dict[str, str] = field(default_factory=dict)
    direct: tuple[NodeName, ...] = ()
    slots: dict[InstanceId, int] = field(default_factory=dict)


class Reached(Struct, frozen=True, omit_defaults=True):
    """The hub answered a beat that was sent under the plan with this digest, at a CLOCK_BOOTTIME of a boot."""

    digest: str
    boot: str
    at_ms: int


class Status(Struct, frozen=True, omit_defaults=True):
    """What the kernel has. `digest`: of the plan in use; `trouble`: why it is not all there; `held`: see `Failed`.

    `backend`: "kernel" or "wireguard-go".
    """

    digest: str = ""
    trouble: str = ""
    backend: str = ""
    held: str = ""
