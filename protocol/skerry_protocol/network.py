"""A node's network plan as it travels in its assignment: what the hub decides of it, and nothing that a node decides.

Addresses and networks are text in the form of RFC 5952; keys are raw X25519 public keys (32 bytes). Which interface,
which route and which rule come of it is the node's business (`skerry_netplan.lower`); whether it makes sense is judged
there too (`skerry_netplan.linter`), by hub and node alike. Released keys never change their meaning.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, field

from .ids import AppName, InstanceId, NodeName

KEY_BYTES = 32
NetworkKey = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
PortNumber = Annotated[int, Meta(ge=1, le=65535)]


class Transport(StrEnum):
    TCP = "tcp"
    UDP = "udp"


class Port(Struct, frozen=True, omit_defaults=True, order=True):
    """A port that an app listens on."""

    number: PortNumber
    transport: Transport = Transport.TCP

    def __str__(self) -> str:
        return f"{self.number}/{self.transport}"


class AppNetwork(Struct, frozen=True, omit_defaults=True):
    """What an app says of the network. `ports`: name → where it listens. `reaches`: whom it may talk to inside.

    `publish`: name of a port → the port of its node's own addresses that leads there. `egress`: out of the mesh too.
    """

    ports: dict[str, Port] = field(default_factory=dict)
    reaches: tuple[AppName, ...] = ()
    publish: dict[str, PortNumber] = field(default_factory=dict)
    egress: bool = True


class HubAt(Struct, frozen=True, omit_defaults=True):
    """A hub of the region: reached by `endpoints` (`host:port`, `[address]:port`), the first that answers."""

    key: NetworkKey
    address: str
    endpoints: tuple[str, ...]


class Mate(Struct, frozen=True, omit_defaults=True):
    """Another node that this one's apps talk to. With a `key` it takes direct tunnels; else the hub leads to it."""

    name: NodeName
    network: str
    key: NetworkKey | None = None


class CopyAt(Struct, frozen=True, omit_defaults=True):
    """A copy of an app, by its number. While it moves there are two of the same number."""

    number: Annotated[int, Meta(ge=0)]
    address: str


class Neighbour(Struct, frozen=True, omit_defaults=True):
    """An app that this node's apps reach, or that reaches one of them. `copies` are in the order of their numbers."""

    app: AppName
    copies: tuple[CopyAt, ...] = ()
    ports: dict[str, Port] = field(default_factory=dict)
    reaches: tuple[AppName, ...] = ()


class Network(Struct, frozen=True, omit_defaults=True):
    """One node's plan. `whole`: all of the mesh; `region`, `node`: the parts. `addresses`: of its own instances.

    `mates` and `neighbours` name what its own instances reach or are reached by, and nothing else of the mesh.
    """

    whole: str
    region: str
    node: str
    hubs: tuple[HubAt, ...]
    mates: tuple[Mate, ...] = ()
    addresses: dict[InstanceId, str] = field(default_factory=dict)
    neighbours: tuple[Neighbour, ...] = ()
