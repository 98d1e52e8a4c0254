"""What the kernel says of its tunnels, made up of what the library itself makes of it."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from skerry_netplan.kernel.inkernel import AsyncWireGuard, merged
from skerry_netplan.kernel.netlink import part
from skerry_netplan.kernel.tunnels import PeerSeen, TunnelSeen
from skerry_netplan.state import Peer

KEY, ONE, TWO = b"k" * 32, b"1" * 32, b"2" * 32


def message(*peers: dict[str, object]) -> Any:
    """As it would come from the kernel, with one peer at most; it is in the words of the library."""
    wgmsg = part("netlink.generic.wireguard").wgmsg
    made = wgmsg()
    made["attrs"] += [["WGDEVICE_A_PUBLIC_KEY", b64encode(KEY)], ["WGDEVICE_A_LISTEN_PORT", 51820]]
    for peer in peers:
        AsyncWireGuard._wg_set_peer(AsyncWireGuard.__new__(AsyncWireGuard), made, peer)
    made.encode()
    read = wgmsg(bytes(made.data))
    read.decode()
    return read


def peer(key: bytes, *allowed: str, **words: object) -> dict[str, object]:
    return {"public_key": b64encode(key), "allowed_ips": list(allowed), **words}


def test_a_tunnel_without_peers() -> None:
    assert merged([message()]) == TunnelSeen(KEY, 51820)
    assert merged([]) == TunnelSeen()


def test_a_peer_in_two_messages_is_one() -> None:
    first = peer(ONE, "fd00::1/128", endpoint_addr="2001:db8::1", endpoint_port=7, persistent_keepalive=25)
    second = peer(TWO, endpoint_addr="192.0.2.1", endpoint_port=5)
    assert merged([message(first), message(peer(ONE, "fd00:1::/64")), message(second)]).peers == {
        ONE: PeerSeen(Peer(ONE, frozenset({"fd00::1/128", "fd00:1::/64"}), "[2001:db8::1]:7", 25)),
        TWO: PeerSeen(Peer(TWO, frozenset(), "192.0.2.1:5")),
    }
