"""Tunnels by the kernel's own WireGuard, through generic netlink (https://www.wireguard.com/xplatform/).

As in `links`, a connection lasts for one operation.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from ..linter import endpoint as parsed
from ..state import Peer
from .links import KIND, connected
from .netlink import NetlinkError, part
from .tunnels import PeerSeen, TunnelError, TunnelSeen

AsyncWireGuard: Any = part("netlink.generic.wireguard").AsyncWireGuard
_NO_KEY = bytes(32)


class InKernel:
    """A Backend."""

    name = "kernel"

    async def create(self, interface: str) -> None:
        with _told(f"make {interface}"):
            async with connected() as ip:
                await ip.link("add", ifname=interface, kind=KIND)

    async def remove(self, interface: str) -> None:
        with _told(f"remove {interface}"):
            async with connected() as ip:
                for index in await ip.link_lookup(ifname=interface):
                    await ip.link("del", index=index)

    async def read(self, interface: str) -> TunnelSeen:
        with _told(f"read {interface}"):
            async with _wireguard() as wg:
                return merged([one async for one in await wg.info(interface)])

    async def configure(self, interface: str, private_key: bytes, port: int) -> None:
        with _told(f"set up {interface}"):
            async with _wireguard() as wg:
                await wg.set(interface, private_key=b64encode(private_key), listen_port=port)

    async def set_peer(self, interface: str, peer: Peer, endpoint: str | None) -> None:
        words: dict[str, object] = {
            "public_key": b64encode(peer.key),
            "persistent_keepalive": peer.keepalive,
            "replace_allowed_ips": True,
            "allowed_ips": sorted(peer.allowed),
        }
        if endpoint is not None:
            if (at := parsed(endpoint)) is None:
                raise TunnelError(f"cannot set up {interface}: '{endpoint}' is no address with a port")
            words |= {"endpoint_addr": at[0], "endpoint_port": at[1]}
        with _told(f"set a peer of {interface}"):
            async with _wireguard() as wg:
                await wg.set(interface, peer=words)

    async def remove_peer(self, interface: str, key: bytes) -> None:
        with _told(f"remove a peer of {interface}"):
            async with _wireguard() as wg:
                await wg.set(interface, peer={"public_key": b64encode(key), "remove": True})


def merged(messages: Iterable[Any]) -> TunnelSeen:
    """An interface's answer comes in several messages, and a peer with many networks in more than one of them."""
    key, port, peers = b"", 0, dict[bytes, PeerSeen]()
    for message in messages:
        key = _key(message.get_attr("WGDEVICE_A_PUBLIC_KEY")) or key
        port = message.get_attr("WGDEVICE_A_LISTEN_PORT") or port
        for said in message.get_attr("WGDEVICE_A_PEERS") or ():
            one = _peer(said)
            before = peers.get(one.peer.key)
            peers[one.peer.key] = _joined(before, one) if before else one
    return TunnelSeen(key, port, peers)


def _joined(before: PeerSeen, more: PeerSeen) -> PeerSeen:
    """The rest of a peer names its key and the networks that are left."""
    peer = before.peer
    allowed = peer.allowed | more.peer.allowed
    return PeerSeen(
        Peer(peer.key, allowed, peer.endpoint, peer.keepalive), before.handshake, before.received, before.sent
    )


def _peer(said: Any) -> PeerSeen:
    networks = frozenset(one["addr"] for one in said.get_attr("WGPEER_A_ALLOWEDIPS") or ())
    at = said.get_attr("WGPEER_A_ENDPOINT")
    moment = said.get_attr("WGPEER_A_LAST_HANDSHAKE_TIME")
    handshake = moment["tv_sec"] + moment["tv_nsec"] / 1e9 if moment else 0.0
    keepalive = said.get_attr("WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL") or 0
    peer = Peer(_key(said.get_attr("WGPEER_A_PUBLIC_KEY")), networks, _endpoint(at), keepalive)
    received, sent = (said.get_attr(f"WGPEER_A_{way}_BYTES") or 0 for way in ("RX", "TX"))
    return PeerSeen(peer, handshake or None, received, sent)


def _endpoint(at: Any) -> str | None:
    if not at:
        return None
    return f"[{at['addr']}]:{at['port']}" if ":" in at["addr"] else f"{at['addr']}:{at['port']}"


def _key(text: bytes | None) -> bytes:
    raw = b64decode(text) if text else b""
    return b"" if raw == _NO_KEY else raw


@asynccontextmanager
async def _wireguard() -> AsyncIterator[Any]:
    async with AsyncWireGuard() as wg:
        await wg.setup_endpoint()
        yield wg


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except (NetlinkError, OSError) as error:
        raise TunnelError(f"cannot {what}: {error}") from error
