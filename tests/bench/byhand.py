"""A node's network as a person would make it: one write to wireguard-go's socket, ip(8) in batches, nft(8).

The same interfaces, routes, namespaces and rules as Skerry makes of the same state, and nothing is read before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from skerry_netplan.kernel.links import GATEWAY6, PROTOCOL
from skerry_netplan.kernel.userspace import SOCKETS
from skerry_netplan.state import Peer, Route, Space, State, Tunnel
from tests.lab.network.hosts import Host


async def make(host: Host, keys: Mapping[bytes, bytes], wanted: State, before: State | None = None) -> None:
    """What `wanted` has and `before` has not, on this host."""
    there = before or State()
    new = {name: one for name, one in wanted.tunnels.items() if name not in there.tunnels}
    for name, tunnel in new.items():
        await host.child.start(name)
        await _configure(name, keys[tunnel.key], tunnel)
    spaces = [one for name, one in wanted.spaces.items() if name not in there.spaces]
    routes = wanted.routes - there.routes
    await _shell(*_outside(new, spaces, routes), *chain.from_iterable(map(_inside, spaces)))
    await _fed("nft -f -", wanted.rules.text)


def _outside(
    tunnels: Mapping[str, Tunnel], spaces: Iterable[Space], routes: Iterable[Route]
) -> Iterator[str]:
    """One batch."""
    yield "ip -batch - <<'END'"
    for space in spaces:
        ends = f"mtu {space.mtu} type veth peer name eth0 netns {space.name} mtu {space.mtu}"
        yield f"netns add {space.name}"
        yield f"link add {space.device} {ends}"
        yield f"link set {space.device} addrgenmode none up"
        yield f"address add {GATEWAY6}/64 dev {space.device} nodad"
    for name, tunnel in tunnels.items():
        yield f"link set {name} addrgenmode none mtu {tunnel.mtu} up"
        yield from (f"address add {address} dev {name} nodad" for address in sorted(tunnel.addresses))
    yield from map(_route, routes)
    yield "END"


def _route(route: Route) -> str:
    if route.device is None:
        return f"route replace unreachable {route.network} proto {PROTOCOL}"
    source = f" src {route.source}" if route.source else ""
    return f"route replace {route.network} dev {route.device} proto {PROTOCOL}{source}"


def _inside(space: Space) -> Iterator[str]:
    """A batch for each namespace: ip(8) cannot go from one to the next within one."""
    yield f"ip -n {space.name} -batch - <<'END'"
    yield "link set lo up"
    yield f"address add {space.address}/128 dev eth0 nodad"
    yield "link set eth0 up"
    yield f"route add ::/0 via {GATEWAY6} dev eth0"
    if space.address4:
        yield f"address add {space.address4}/32 dev eth0"
        yield f"route add 0.0.0.0/0 via inet6 {GATEWAY6} dev eth0"
    yield "END"


async def _configure(interface: str, private: bytes, tunnel: Tunnel) -> None:
    """In one write, which is all that `wg setconf` is."""
    lines = ["set=1", f"private_key={private.hex()}", f"listen_port={tunnel.port}"]
    lines += chain.from_iterable(map(_peer, tunnel.peers.values()))
    reader, writer = await asyncio.open_unix_connection(SOCKETS / f"{interface}.sock")
    writer.write("".join(f"{line}\n" for line in lines).encode() + b"\n")
    answer = await reader.readuntil(b"\n\n")
    writer.close()
    assert answer == b"errno=0\n\n", answer


def _peer(peer: Peer) -> Iterator[str]:
    yield f"public_key={peer.key.hex()}"
    if peer.endpoint:
        yield f"endpoint={peer.endpoint}"
    yield f"persistent_keepalive_interval={peer.keepalive}"
    yield from (f"allowed_ip={network}" for network in sorted(peer.allowed))


async def _shell(*lines: str) -> None:
    await _fed("sh -e", "\n".join(lines) + "\n")


async def _fed(command: str, text: str) -> None:
    process = await asyncio.create_subprocess_exec(*command.split(), stdin=asyncio.subprocess.PIPE)
    await process.communicate(text.encode())
    assert process.returncode == 0, command
