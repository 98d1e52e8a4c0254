"""The hub's end of the tunnels on a real kernel: as the store has its nodes, and what keeps it from that is said."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from skerry_hub.model import Mesh, NodeRow, NodeState
from skerry_hub.network.region import Door
from skerry_hub.network.tunnel import LAST_WORDS_S, Tunnel
from skerry_hub.store import StoreError
from skerry_netplan.firewall import HUB_TABLE
from skerry_netplan.kernel.userspace import Userspace
from skerry_protocol.ids import NodeId, NodeName
from skerry_protocol.network import Port
from tests.lab.network.hosts import Host, cabled, iproute, printed
from tests.lab.network.rig import private, public

DOOR = Door(public("hub"), 51820, ("hub.example",), b"r" * 32)
MESH = Mesh("coast", "north", 1, 1)
WITHIN_S = 10.0


def node(number: int, key: str = "link") -> NodeRow:
    return NodeRow(
        NodeId(f"id{number}"), NodeName(f"n{number}"), b"", state=NodeState.READY, number=number,
        link_key=public(f"{key}{number}"), direct_key=public(f"direct{number}"),
    )  # fmt: skip


class Rig:
    def __init__(self, host: Host, data: Path) -> None:
        self.host = host
        self.nodes: list[NodeRow] = [node(1), node(2)]
        self.broken = False
        backend = Userspace(host.child)
        self.tunnel = Tunnel(DOOR, private("hub"), (Port(4222),), self._members, backend, data)

    async def _members(self) -> tuple[Mesh, Sequence[NodeRow]]:
        if self.broken:
            raise StoreError("the disk is gone")
        return MESH, self.nodes

    async def peers(self) -> set[bytes]:
        return set(await self.tunnel.peers())

    async def until(self, wanted: set[bytes]) -> float:
        """For how long it ran until these were the peers: seconds."""
        loop = asyncio.get_running_loop()
        began, running = loop.time(), asyncio.create_task(self.tunnel.run())
        self.tunnel.look()
        try:
            async with asyncio.timeout(WITHIN_S):
                while await self.peers() != wanted:  # noqa: ASYNC110 - a change of the kernel's tells nobody here
                    await asyncio.sleep(0.05)
        finally:
            running.cancel()
        return loop.time() - began


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with cabled("hub") as (host,):
        yield Rig(host, tmp_path)


def keys(*names: str) -> set[bytes]:
    return {public(name) for name in names}


def test_nodes_come_at_once_and_go_after_their_last_words(rig: Rig) -> None:
    run = rig.host.run
    run(rig.tunnel.start())
    assert rig.tunnel.trouble is None
    assert run(rig.peers()) == keys("link1", "direct1", "link2", "direct2")
    rig.nodes = [node(1, "other"), node(3)]
    run(rig.tunnel.start())
    both = keys("link1", "other1", "direct1", "link2", "direct2", "link3", "direct3")
    assert run(rig.peers()) == both
    allowed = {key: one.peer.allowed for key, one in run(rig.tunnel.peers()).items()}
    assert allowed[public("other1")]
    assert not allowed[public("link1")], "the newer key has its network at once"
    assert run(rig.until(keys("other1", "direct1", "link3", "direct3"))) >= LAST_WORDS_S


def test_a_store_that_cannot_be_read_is_said_and_ends_nothing(rig: Rig) -> None:
    run = rig.host.run
    run(rig.tunnel.start())
    rig.broken = True
    run(rig.tunnel.start())
    assert rig.tunnel.trouble == "the disk is gone"
    assert run(rig.peers()) == keys("link1", "direct1", "link2", "direct2")
    rig.broken = False
    run(rig.until(keys("link1", "direct1", "link2", "direct2")))
    run(rig.tunnel.start())
    assert rig.tunnel.trouble is None


def test_a_bridge_of_guests_that_somebody_makes_later_is_let_through(rig: Rig) -> None:
    rig.host.run(rig.tunnel.start())
    rules = ("nft", "list", "table", *HUB_TABLE.split())
    assert "guests" not in rig.host.run(printed(*rules))
    rig.host.run(iproute("link add guests type bridge"))
    rig.host.run(rig.tunnel.start())
    assert rig.host.run(printed(*rules)).count('"guests" accept') == 2
