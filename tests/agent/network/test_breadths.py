"""Which ways are looked at, and when: not those that carry nothing now, and again where one leads elsewhere."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from msgspec import structs

from skerry_agent.network.breadths import Breadths
from skerry_agent.network.pathmtu import ALIVE, REST_MS
from skerry_netplan.lower import MTU
from skerry_protocol.ids import NodeName
from skerry_protocol.network import HubAt, Mate, Network

HUB, MATE = b"h" * 32, b"m" * 32
PLAN = Network(
    "fd00::/48", "fd00::/56", "fd00:0:0:0:1::/80", (HubAt(HUB, "fd00::1", ()),),
    mates=(Mate(NodeName("n2"), "fd00:0:0:0:2::/80", MATE),),
)  # fmt: skip
HERE = ("192.0.2.7",)


class Rig:
    """Ways that take `takes` bytes; None: nothing comes back."""

    def __init__(self) -> None:
        self.now, self.changes = 0, 0
        self.takes: int | None = MTU
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        self.breadths = Breadths(self._ping, lambda: self.now, self._changed)

    def know(
        self, *tunnels: bytes, at: str = "192.0.2.1:1", before: dict[str, int] | None = None
    ) -> dict[str, int]:
        return self.breadths.know(PLAN, dict.fromkeys(tunnels, at), HERE, before or {})

    async def look(self, after_ms: int = 0) -> list[tuple[str, tuple[int, ...]]]:
        """What was asked of whom."""
        self.now += after_ms
        self.asked = []
        await self.breadths.look()
        return self.asked

    async def _ping(self, address: str, sizes: Collection[int], within_s: float) -> frozenset[int]:
        assert within_s > 0
        self.asked.append((address, tuple(sizes)))
        return frozenset(size for size in sizes if self.takes is not None and size <= self.takes)

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_each_way_that_carries_something_is_looked_at_once_an_hour(rig: Rig) -> None:
    rig.know(HUB, MATE)
    assert await rig.look() == [("fd00::1", (ALIVE, MTU)), ("fd00::2:0:0:1", (ALIVE, MTU))]
    rig.know(HUB, MATE)
    assert await rig.look(REST_MS - 1) == []
    assert len(await rig.look(1)) == 2
    assert rig.changes == 0


async def test_a_tunnel_that_sleeps_between_beats_is_not_looked_at_with_each(rig: Rig) -> None:
    rig.know(HUB)
    assert len(await rig.look()) == 1
    for _ in range(3):
        rig.know()
        assert await rig.look(300_000) == []
        rig.know(HUB)
        assert await rig.look(300_000) == []


async def test_a_way_that_leads_elsewhere_is_another(rig: Rig) -> None:
    rig.know(HUB)
    await rig.look()
    rig.know(HUB, at="192.0.2.9:1")
    assert len(await rig.look()) == 1


async def test_what_was_found_is_told_and_known_while_nothing_can_be_seen(rig: Rig) -> None:
    rig.takes = 1300
    assert rig.know(HUB, MATE) == {}
    await rig.look()
    await rig.look(1000)
    assert rig.changes == 1
    known = {MATE.hex(): 1300, HUB.hex(): 1300}
    assert rig.know(HUB) == known
    assert rig.know(before=known) == known, "nothing carries now"
    again = Rig()
    assert again.know(HUB, before={MATE.hex(): 1280, HUB.hex(): 9000, "gone": 1280}) == {MATE.hex(): 1280}
    rig.breadths.know(structs.replace(PLAN, mates=()), {HUB: "192.0.2.1:1"}, HERE, known)
    assert [address for address, _ in await rig.look(REST_MS)] == ["fd00::1"]


async def test_a_way_that_went_elsewhere_while_it_was_looked_at_is_looked_at_again(rig: Rig) -> None:
    class Moves(Rig):
        async def _ping(self, address: str, sizes: Collection[int], within_s: float) -> frozenset[int]:
            if not self.asked:
                self.know(HUB, at="192.0.2.9:1")
            return await super()._ping(address, sizes, within_s)

    moves = Moves()
    moves.know(HUB)
    await moves.look()
    assert len(await moves.look()) == 1, "due still"
