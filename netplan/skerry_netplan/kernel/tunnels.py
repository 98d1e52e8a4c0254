"""What a backend of WireGuard does: one port for the kernel's own and for wireguard-go, and one conformance suite.

A backend makes interfaces and knows keys and peers; addresses, routes and MTU are those of any interface (`links`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..state import Peer


class TunnelError(RuntimeError):
    """A tunnel cannot be made, read or changed; says why and, where it helps, what to do."""


@dataclass(frozen=True)
class PeerSeen:
    """A peer as it is now. `handshake`: seconds since 1970 of the last one, by the machine's clock; None: never."""

    peer: Peer
    handshake: float | None = None
    received: int = 0
    sent: int = 0


@dataclass(frozen=True)
class TunnelSeen:
    """An interface as it is now. `key`: its public key; empty where it has none yet. `port`: 0 where none is open."""

    key: bytes = b""
    port: int = 0
    peers: Mapping[bytes, PeerSeen] = field(default_factory=dict)


class Backend(Protocol):
    """All raise TunnelError. Interfaces are in the network namespace of the caller."""

    @property
    def name(self) -> str:
        """For people: "kernel" or "wireguard-go"."""
        ...

    async def create(self, interface: str) -> None:
        """A new interface, down, without a key. There is none of that name."""
        ...

    async def remove(self, interface: str) -> None:
        """Nothing where there is none."""
        ...

    async def read(self, interface: str) -> TunnelSeen:
        """As it is now."""
        ...

    async def configure(self, interface: str, private_key: bytes, port: int) -> None:
        """Key and UDP port, while the peers stay. A port of 0: any that is free."""
        ...

    async def set_peer(self, interface: str, peer: Peer, endpoint: str | None) -> None:
        """Adds or changes a peer. `endpoint` (`address:port`) None: it stays where it is."""
        ...

    async def remove_peer(self, interface: str, key: bytes) -> None:
        """Nothing where there is none."""
        ...
