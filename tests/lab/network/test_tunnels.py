"""What every backend of WireGuard does: one suite for wireguard-go and, where there is one, for the kernel's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from skerry_netplan.kernel.backends import choose
from skerry_netplan.kernel.inkernel import InKernel
from skerry_netplan.kernel.links import connected
from skerry_netplan.kernel.tunnels import Backend, TunnelError, TunnelSeen
from skerry_netplan.kernel.userspace import Runner, Userspace
from skerry_netplan.state import HUB_LINK, LINK, Peer
from tests.lab.network.hosts import Host, cabled
from tests.lab.network.rig import private, public

IN_KERNEL = Path("/sys/module/wireguard").is_dir()
MAKERS: dict[str, Callable[[Runner], Backend]] = {"wireguard-go": Userspace}
if IN_KERNEL:
    MAKERS["kernel"] = lambda runner: InKernel()
ONE = Peer(public("one"), frozenset({"fd00::1/128", "fd00:1::/64"}), "192.0.2.1:5", 25)
SIX = Peer(public("six"), frozenset(), "[2001:db8::1]:7")


@pytest.fixture
def host() -> Iterator[Host]:
    with cabled("one") as (made,):
        yield made


@pytest.fixture(params=sorted(MAKERS))
def backend(request: pytest.FixtureRequest, host: Host) -> Backend:
    made = MAKERS[request.param](host.child)
    assert made.name == request.param
    host.run(made.create(LINK))
    return made


def read(host: Host, backend: Backend) -> TunnelSeen:
    return host.run(backend.read(LINK))


def test_a_new_one_knows_nothing_and_one_that_is_removed_is_gone(host: Host, backend: Backend) -> None:
    seen = read(host, backend)
    assert (seen.key, seen.peers) == (b"", {})
    assert host.run(_links()) == {"lo", "eth0", LINK}
    for _ in range(2):
        host.run(backend.remove(LINK))
        assert host.run(_links()) == {"lo", "eth0"}
    with pytest.raises(TunnelError, match=LINK):
        read(host, backend)


async def _links() -> set[str]:
    async with connected() as ip:
        return {one.get_attr("IFLA_IFNAME") async for one in await ip.link("dump")}


def test_key_and_port_change_while_the_peers_stay(host: Host, backend: Backend) -> None:
    host.run(backend.configure(LINK, private("a"), 51900))
    host.run(backend.set_peer(LINK, ONE, ONE.endpoint))
    seen = read(host, backend)
    assert (seen.key, seen.port) == (public("a"), 51900)
    host.run(backend.configure(LINK, private("b"), 51901))
    seen = read(host, backend)
    assert (seen.key, seen.port, set(seen.peers)) == (public("b"), 51901, {ONE.key})


def test_peers_are_as_they_were_set(host: Host, backend: Backend) -> None:
    host.run(backend.configure(LINK, private("a"), 51900))
    for peer in (ONE, SIX):
        host.run(backend.set_peer(LINK, peer, peer.endpoint))
    seen = read(host, backend).peers
    assert {key: one.peer for key, one in seen.items()} == {ONE.key: ONE, SIX.key: SIX}
    assert [one.handshake for one in seen.values()] == [None, None]


def test_a_peer_changes_and_stays_where_it_is(host: Host, backend: Backend) -> None:
    host.run(backend.configure(LINK, private("a"), 51900))
    host.run(backend.set_peer(LINK, ONE, ONE.endpoint))
    other = replace(ONE, allowed=frozenset({"fd00::2/128"}), keepalive=0)
    host.run(backend.set_peer(LINK, other, None))
    assert read(host, backend).peers[ONE.key].peer == other
    host.run(backend.set_peer(LINK, replace(other, allowed=frozenset()), "192.0.2.9:6"))
    assert read(host, backend).peers[ONE.key].peer == Peer(ONE.key, frozenset(), "192.0.2.9:6")
    for _ in range(2):
        host.run(backend.remove_peer(LINK, ONE.key))
        assert read(host, backend).peers == {}


def test_what_one_peer_is_allowed_is_taken_from_another(host: Host, backend: Backend) -> None:
    host.run(backend.configure(LINK, private("a"), 51900))
    for peer in (ONE, replace(SIX, allowed=ONE.allowed)):
        host.run(backend.set_peer(LINK, peer, peer.endpoint))
    seen = read(host, backend).peers
    assert seen[ONE.key].peer.allowed == frozenset()
    assert seen[SIX.key].peer.allowed == ONE.allowed


def test_many_peers_are_all_there_each_once(host: Host, backend: Backend) -> None:
    """The kernel's answer comes in several messages then."""
    host.run(backend.configure(LINK, private("a"), 51900))
    peers = {public(f"p{number}"): number for number in range(1, 101)}
    for key, number in peers.items():
        host.run(backend.set_peer(LINK, Peer(key, frozenset({f"fd00::{number:x}/128"})), None))
    seen = read(host, backend).peers
    assert {key: one.peer.allowed for key, one in seen.items()} == {
        key: frozenset({f"fd00::{number:x}/128"}) for key, number in peers.items()
    }


def test_the_kernels_is_chosen_where_it_has_one_and_wireguard_go_where_that_runs(host: Host) -> None:
    assert host.run(choose(host.child)).name == ("kernel" if IN_KERNEL else "wireguard-go")
    assert host.run(_links()) == {"lo", "eth0"}
    host.run(Userspace(host.child).create(HUB_LINK))
    assert host.run(choose(host.child)).name == "wireguard-go"
