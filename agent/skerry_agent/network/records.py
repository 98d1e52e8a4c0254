"""What agent and skerry-net tell each other, and what skerry-net keeps: files, so that either may be away for weeks.

    <state>/network/wanted      the agent: the plan that the node accepted, and what goes with it
    <state>/network/standing    skerry-net: what is confirmed, on trial, taken back; see `confirm`
    <state>/network/confirmed   skerry-net: the whole of the plan to go back to
    <state>/network/found       skerry-net: where peers were last, which slots instances have
    <run>/net/reached           the agent: under which plan its hub answered
    <run>/net/status            skerry-net: what is in use, and what is wrong

All sealed, those under <state> with a twin.
"""

from __future__ import annotations

from msgspec import Struct, field

from skerry_protocol.ids import AppName, InstanceId, NodeName
from skerry_protocol.network import AppNetwork, Network, Port

FOLDER = "network"
WANTED, STANDING, CONFIRMED, FOUND = "wanted", "standing", "confirmed", "found"
REACHED, STATUS = "reached", "status"


class Plan(Struct, frozen=True, omit_defaults=True):
    """A plan with all that it takes to carry it out. `apps`: what the apps of its instances say, by instance."""

    network: Network
    node: NodeName
    apps: dict[InstanceId, AppName] = field(default_factory=dict)
    says: dict[AppName, AppNetwork] = field(default_factory=dict)
    open_ports: tuple[Port, ...] = ()


class Found(Struct, frozen=True, omit_defaults=True):
    """What skerry-net found out: `endpoints` by public key (hex), `direct` mates, IPv4 `slots`.

    `forwarded`: whether the machine forwarded anything before Skerry switched that on, in the boot of that id.
    """

    endpoints: dict[str, str] = field(default_factory=dict)
    direct: tuple[NodeName, ...] = ()
    slots: dict[InstanceId, int] = field(default_factory=dict)
    forwarded: bool = False
    boot: str = ""


class Reached(Struct, frozen=True, omit_defaults=True):
    """The hub answered a beat that was sent under the plan with this digest (hex); CLOCK_BOOTTIME."""

    digest: str
    at_ms: int


class Status(Struct, frozen=True, omit_defaults=True):
    """What the kernel has. `digest`: of the plan in use; `trouble`: why it is not all there; `said`: events for people.

    `backend`: "kernel" or "wireguard-go".
    """

    digest: str = ""
    trouble: str = ""
    backend: str = ""
    held: str = ""
