"""(what is wanted, what is there) → the fewest operations that lead from one to the other, in a safe order.

What is new comes before what goes, so that the way to the hub holds at every point between: rules, tunnels with their
addresses, peers, namespaces, routes; then the other way round what is no longer wanted. A route that changes its
interface and a network that changes its peer are replaced in one step by the kernel. An operation may be done twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from skerry_protocol.ids import InstanceId

from .state import Peer, Route, Rules, Space, State, Tunnel


@dataclass(frozen=True)
class SetRules:
    """Replaces the table whole."""

    rules: Rules


@dataclass(frozen=True)
class AddTunnel:
    """A new interface, up, with its addresses and without peers."""

    name: str
    tunnel: Tunnel


@dataclass(frozen=True)
class SetTunnel:
    """Key, port and MTU of an interface that is there."""

    name: str
    key: bytes
    port: int
    mtu: int


@dataclass(frozen=True)
class RemoveTunnel:
    name: str


@dataclass(frozen=True)
class AddAddress:
    tunnel: str
    address: str


@dataclass(frozen=True)
class RemoveAddress:
    tunnel: str
    address: str


@dataclass(frozen=True)
class SetPeer:
    """Adds or changes a peer; takes what it is allowed from whichever had it. `begins`: its endpoint is set too."""

    tunnel: str
    peer: Peer
    begins: bool


@dataclass(frozen=True)
class RemovePeer:
    tunnel: str
    key: bytes


@dataclass(frozen=True)
class AddSpace:
    """A namespace and its pair of interfaces, both up, with the instance's addresses and routes inside."""

    instance: InstanceId
    space: Space


@dataclass(frozen=True)
class RemoveSpace:
    instance: InstanceId
    space: Space


@dataclass(frozen=True)
class SetRoute:
    """Adds a route, or replaces the one to the same network."""

    route: Route


@dataclass(frozen=True)
class RemoveRoute:
    route: Route


Operation = (
    SetRules | AddTunnel | SetTunnel | RemoveTunnel | AddAddress | RemoveAddress | SetPeer | RemovePeer
    | AddSpace | RemoveSpace | SetRoute | RemoveRoute
)  # fmt: skip


def diff(wanted: State, there: State) -> tuple[Operation, ...]:
    """What is to be done, in order; nothing where nothing differs."""
    return (*_comes(wanted, there), *_goes(wanted, there))


def _comes(wanted: State, there: State) -> Iterator[Operation]:
    if wanted.rules != there.rules:
        yield SetRules(wanted.rules)
    for name, tunnel in sorted(wanted.tunnels.items()):
        yield from _tunnel_comes(name, tunnel, there.tunnels.get(name))
    for instance, space in sorted(wanted.spaces.items()):
        if (other := there.spaces.get(instance)) != space:
            if other is not None:
                yield RemoveSpace(instance, other)
            yield AddSpace(instance, space)
    for route in sorted(wanted.routes - _kept(there, wanted), key=lambda route: route.network):
        yield SetRoute(route)


def _goes(wanted: State, there: State) -> Iterator[Operation]:
    stay = {route.network for route in wanted.routes}
    gone = {space.device for name, space in there.spaces.items() if wanted.spaces.get(name) != space}
    for route in sorted(there.routes - wanted.routes, key=lambda route: route.network):
        if route.network not in stay and route.device not in gone:
            yield RemoveRoute(route)
    for instance, space in sorted(there.spaces.items()):
        if instance not in wanted.spaces and (rest := _not_taken(space, wanted)) is not None:
            yield RemoveSpace(instance, rest)
    for name, tunnel in sorted(there.tunnels.items()):
        if name not in wanted.tunnels:
            yield RemoveTunnel(name)
            continue
        yield from (
            RemovePeer(name, key) for key in sorted(tunnel.peers.keys() - wanted.tunnels[name].peers.keys())
        )
        yield from (
            RemoveAddress(name, one) for one in sorted(tunnel.addresses - wanted.tunnels[name].addresses)
        )


def _not_taken(space: Space, wanted: State) -> Space | None:
    """What is left to remove: an interface whose name a new pair has now went when that was made."""
    if space.device not in {one.device for one in wanted.spaces.values()}:
        return space
    return replace(space, device="") if space.name else None


def _kept(there: State, wanted: State) -> frozenset[Route]:
    """The routes that are there and stay: with an interface that is made anew its routes go."""
    again = {space.device for _, space in there.spaces.items() ^ wanted.spaces.items()}
    return frozenset(route for route in there.routes if route.device not in again)


def _tunnel_comes(name: str, tunnel: Tunnel, there: Tunnel | None) -> Iterator[Operation]:
    if there is None:
        yield AddTunnel(name, Tunnel(tunnel.key, tunnel.port, tunnel.mtu, tunnel.addresses))
        yield from (SetPeer(name, peer, begins=True) for _, peer in sorted(tunnel.peers.items()))
        return
    if (tunnel.key, tunnel.port, tunnel.mtu) != (there.key, there.port, there.mtu):
        yield SetTunnel(name, tunnel.key, tunnel.port, tunnel.mtu)
    yield from (AddAddress(name, one) for one in sorted(tunnel.addresses - there.addresses))
    yield from _peers_come(name, tunnel.peers, there.peers)


def _peers_come(name: str, wanted: Mapping[bytes, Peer], there: Mapping[bytes, Peer]) -> Iterator[Operation]:
    """Those that are allowed less come last: what they lose, others have taken from them already."""
    changed = [peer for key, peer in sorted(wanted.items()) if not _same(peer, there.get(key))]
    gains = [peer for peer in changed if peer.key not in there or peer.allowed - there[peer.key].allowed]
    for peer in (*gains, *(peer for peer in changed if peer not in gains)):
        begins = peer.key not in there or there[peer.key].endpoint is None
        yield SetPeer(name, peer, begins)


def _same(wanted: Peer, there: Peer | None) -> bool:
    """The endpoint follows the peer by itself; one that has none yet is given where to begin."""
    if there is None or (there.endpoint is None and wanted.endpoint is not None):
        return False
    return (wanted.allowed, wanted.keepalive) == (there.allowed, there.keepalive)
