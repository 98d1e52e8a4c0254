"""Direct tunnels between two nodes that skerry-net keeps, on real interfaces; the clock is the test's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from skerry_agent.disk import sealed
from skerry_agent.network.files import Places
from skerry_agent.network.keeper import Keeper
from skerry_agent.network.making import Machine
from skerry_agent.network.paths import QUIET_MS, REST_MS, SILENT_MS, TRY_MS
from skerry_agent.network.records import HINT, WANTED, Plan, Status
from skerry_netplan.hubside import HubHere, lower_hub
from skerry_netplan.planner import Planner
from skerry_netplan.state import DIRECT, HUB_LINK, KeyRole, State
from skerry_protocol.ids import NodeId, NodeName
from skerry_protocol.messages import Hint
from skerry_protocol.network import Mate
from tests.lab.network import rig
from tests.lab.network.hosts import DEADLINE
from tests.lab.network.rig import DB, SQL, WEB, Machines, public, region, talk

ONE = region(WEB, DB)
NOWHERE = f"192.0.2.77:{rig.DIRECT_PORT}"


async def nobody_knows(endpoint: str) -> str | None:
    return None


def plan(number: int) -> Plan:
    own = [copy for copy in ONE.copies if copy.node == f"id{number}"]
    says = {copy.app: ONE.apps[copy.app] for copy in own}
    apps = {copy.id: copy.app for copy in own}
    return Plan(Planner(ONE).plan(NodeId(f"id{number}")), NodeName(f"n{number}"), apps, says)


class Node:
    """One of the two, and what its agent would write."""

    def __init__(self, machines: Machines, number: int, folder: Path) -> None:
        self.machine, self.number = machines[number], number
        self.other = NodeName(f"n{3 - number}")
        self.at = f"192.0.2.{number + 1}:{rig.DIRECT_PORT}"
        self.places = Places(folder / f"state{number}", folder / f"run{number}")
        self.now = 1_000_000
        self.write(WANTED, plan(number))
        self.begin()

    def begin(self) -> None:
        keys = {KeyRole.LINK: public(f"link{self.number}"), KeyRole.DIRECT: public(f"direct{self.number}")}
        known = Machine(keys, rig.LINK_PORT, rig.DIRECT_PORT, "boot", lambda: self.now, nobody_knows)
        self.keeper = Keeper(self.places, known, self.machine.kernel)

    def write(self, name: str, record: Struct) -> None:
        path = self.places.state / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sealed.write_twice(path, sealed.bytes_of(record))

    def hint(self, *endpoints: str) -> None:
        self.write(HINT, Hint({self.other: endpoints}))

    def turn(self) -> Status:
        return self.machine.host.run(self.keeper.turn())

    def look(self, ms: int = 0) -> bool:
        """What the loop does beside the turns. Whether the direct way is used then, by the kernel as well."""
        self.now += ms
        before = self.direct
        self.machine.host.run(self.keeper.directs.look())
        assert self.direct == before or self.keeper._word.is_set(), "a turn is asked for"
        self.turn()
        devices = {route.device for route in self.machine.read().routes if route.network == self.mate.network}
        assert devices == ({DIRECT} if self.direct else set())
        return self.direct

    @property
    def mate(self) -> Mate:
        (found,) = plan(self.number).network.mates
        return found

    @property
    def direct(self) -> bool:
        return self.other in self.keeper.directs.direct

    def leads(self) -> str:
        """Where its direct tunnel ends, as it says."""
        return self.turn().mates[self.other]


@pytest.fixture
def machines() -> Iterator[Machines]:
    with rig.mesh() as made:
        made[0].become(lower_hub(ONE, HubHere(public("hub"), rig.HUB_PORT, 1420)))
        yield made


@pytest.fixture
def nodes(machines: Machines, tmp_path: Path) -> tuple[Node, Node]:
    one, two = (Node(machines, number, tmp_path) for number in (1, 2))
    one.turn()
    two.turn()
    return one, two


def until(so: Callable[[], bool]) -> None:
    """Packets take a moment, whatever the test's clock says."""
    deadline = time.monotonic() + DEADLINE
    while not so():
        assert time.monotonic() < deadline


def hinted(nodes: tuple[Node, Node]) -> None:
    """Both know where the other is, and are there."""
    one, two = nodes
    one.hint(two.at)
    two.hint(one.at)
    for node in nodes:
        node.turn()
        node.look()
    for node in nodes:
        until(node.look)


def cut(machine: rig.Machine) -> None:
    """What is sent to its direct tunnel is lost, without a word."""
    drops = f"udp sport {rig.DIRECT_PORT} udp dport {rig.DIRECT_PORT} drop"
    machine.host.run(
        _run("nft", f"table ip cut {{ chain in {{ type filter hook input priority 0; {drops}; }}; }}")
    )


async def _run(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(*words)
    assert await process.wait() == 0


def kill_hub(machines: Machines) -> None:
    machines[0].host.run(machines[0].host.child.stop(HUB_LINK))


def reaches(machines: Machines, within: float = rig.CONNECTS) -> bool:
    return talk(machines, WEB, DB, SQL, within)


def test_it_comes_up_and_carries_on_without_the_hub(machines: Machines, nodes: tuple[Node, Node]) -> None:
    assert reaches(machines)
    assert nodes[0].leads() == ""
    hinted(nodes)
    assert [node.leads() for node in nodes] == [nodes[1].at, nodes[0].at]
    kill_hub(machines)
    assert reaches(machines)


def test_an_endpoint_that_leads_nowhere_is_followed_by_the_next(
    machines: Machines, nodes: tuple[Node, Node]
) -> None:
    one, two = nodes
    one.hint(NOWHERE, two.at)
    one.turn()
    one.look()
    assert not one.look(TRY_MS)
    until(one.look)
    assert one.leads() == two.at
    assert reaches(machines)


def test_one_that_dies_leaves_all_to_the_hub_until_it_lives_again(
    machines: Machines, nodes: tuple[Node, Node]
) -> None:
    hinted(nodes)
    one, two = nodes
    for node in nodes:
        cut(node.machine)
    assert one.look()
    assert two.look()
    assert not reaches(machines, 2 * rig.NEVER), "two packets: one is no more than keepalives may come to"
    assert one.look()
    assert not one.look(SILENT_MS)
    assert two.look()
    assert not two.look(QUIET_MS)
    assert reaches(machines)
    for node in nodes:
        node.machine.host.run(_run("nft", "delete table ip cut"))
    for ms in (TRY_MS, REST_MS):
        for node in nodes:
            node.look(ms)
    for node in nodes:
        until(node.look)
    kill_hub(machines)
    assert reaches(machines)


def test_after_a_cold_boot_it_is_found_again_with_no_hub(
    machines: Machines, nodes: tuple[Node, Node]
) -> None:
    hinted(nodes)
    kill_hub(machines)
    one, _ = nodes
    for name in (HINT, f"{HINT}.twin"):
        (one.places.state / name).unlink()
    one.machine.become(State())
    one.begin()
    one.turn()
    one.look()
    until(one.look)
    assert reaches(machines)


def test_whoever_starts_skerry_net_again_finds_the_way_as_it_was(
    machines: Machines, nodes: tuple[Node, Node]
) -> None:
    hinted(nodes)
    one, two = nodes
    one.hint(NOWHERE, two.at)
    one.begin()
    assert one.turn().mates == {one.other: two.at}
    one.look()
    assert one.leads() == two.at
    kill_hub(machines)
    assert reaches(machines)


def test_nothing_is_looked_at_where_nobody_takes_direct_tunnels(nodes: tuple[Node, Node]) -> None:
    one, _ = nodes
    assert one.keeper.directs._ways.due_ms() is None
