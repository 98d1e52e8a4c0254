"""skerry-net on real interfaces: plans are tried, confirmed, taken back; what others changed is put back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

from skerry_agent.disk import sealed
from skerry_agent.network.confirm import TRIAL_MS, TRIES
from skerry_agent.network.keeper import AGAIN_S, LATELY_MS, Keeper, Machine, Places
from skerry_agent.network.records import KEPT, REACHED, WANTED, Plan, Reached, Status
from skerry_netplan.hubside import HubHere, lower_hub
from skerry_netplan.model import Region
from skerry_netplan.planner import Planner
from skerry_netplan.state import KeyRole, State
from skerry_protocol.ids import NodeId, NodeName
from skerry_protocol.network import HubAt
from tests.lab.network import rig
from tests.lab.network.rig import ALONE, DB, SQL, WEB, Machines, public, region, talk


class Node:
    """The first node, kept by skerry-net; its hub is there, and the clock is the test's."""

    def __init__(self, machines: Machines, folder: Path) -> None:
        self.machines, self.places = machines, Places(folder / "state", folder / "run")
        self.now, self.boot = 1_000_000, "boot1"
        self.begin()

    def begin(self) -> None:
        """skerry-net starts; one that ran is gone without a word."""
        keys = {KeyRole.LINK: public("link1"), KeyRole.DIRECT: public("direct1")}
        machine = Machine(
            keys, rig.LINK_PORT, rig.DIRECT_PORT, self.boot, lambda: self.now, lambda written: written
        )
        self.keeper = Keeper(self.places, machine, self.machines[1].kernel)

    def turn(self, seconds: int = 0) -> Status:
        self.now += seconds * 1000
        return self.machines[1].host.run(self.keeper.turn())

    def accept(self, plan: Plan) -> Status:
        """What the agent does with a newer plan, and what skerry-net makes of it."""
        self.write(self.places.state / WANTED, plan)
        return self.turn()

    def reached(self, status: Status) -> None:
        """What the agent does when its hub answers."""
        self.write(self.places.run / REACHED, Reached(status.digest, self.boot, self.now))

    def write(self, path: Path, record: Struct) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        sealed.write_twice(path, sealed.bytes_of(record))

    def kernel(self) -> State:
        return self.machines[1].read()


@contextmanager
def _node(folder: Path) -> Iterator[Node]:
    with rig.mesh() as machines:
        one = region(WEB, DB, ALONE)
        machines[0].become(lower_hub(one, HubHere(public("hub"), rig.HUB_PORT, 1420)))
        machines[2].become(rig.node_state(2, one))
        yield Node(machines, folder)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with _node(tmp_path) as made:
        yield made


def plan(one: Region) -> Plan:
    own = [copy for copy in one.copies if copy.node == "id1"]
    says = {copy.app: one.apps[copy.app] for copy in own}
    return Plan(Planner(one).plan(NodeId("id1")), NodeName("n1"), {copy.id: copy.app for copy in own}, says)


GOOD = plan(region(WEB, DB))
BETTER = plan(region(WEB, DB, ALONE))
WRONG_HUB = HubAt(b"x" * 32, GOOD.network.hubs[0].address, GOOD.network.hubs[0].endpoints)
BAD = replace(GOOD, network=replace(GOOD.network, hubs=(WRONG_HUB,)))


def reaches(node: Node, within: float = rig.CONNECTS) -> bool:
    return talk(node.machines, WEB, DB, SQL, within)


def test_what_was_accepted_is_there_and_comes_back_with_a_boot_though_nobody_else_is_there(
    node: Node,
) -> None:
    assert node.accept(GOOD) == Status(GOOD.digest, backend="wireguard-go")
    assert reaches(node)
    node.machines[1].become(State())
    node.boot = "boot2"
    node.begin()
    assert node.turn() == Status(GOOD.digest, backend="wireguard-go")
    assert reaches(node)


def test_a_change_that_the_hub_answers_under_stays(node: Node) -> None:
    node.reached(node.accept(GOOD))
    assert node.accept(BETTER).digest == BETTER.digest
    node.reached(node.turn())
    assert node.turn(2 * TRIAL_MS // 1000).digest == BETTER.digest
    assert ALONE.id in node.kernel().spaces


@pytest.mark.parametrize("killed", [False, True])
def test_a_change_that_costs_the_hub_is_taken_back_in_a_minute(node: Node, killed: bool) -> None:
    """Also where skerry-net was killed meanwhile."""
    node.reached(node.accept(GOOD))
    assert node.accept(BAD).digest == BAD.digest
    assert not reaches(node, rig.NEVER)
    if killed:
        node.begin()
    assert node.turn(TRIAL_MS // 1000 - 1).digest == BAD.digest
    assert node.turn(1).digest == GOOD.digest
    assert reaches(node)


def test_a_power_cut_during_a_trial_leads_back(node: Node) -> None:
    node.reached(node.accept(GOOD))
    node.accept(BAD)
    node.boot = "boot2"
    node.begin()
    assert node.turn().digest == GOOD.digest
    assert reaches(node)


def test_what_was_taken_back_twice_is_held_and_said_until_there_is_another(node: Node) -> None:
    status = node.accept(GOOD)
    for _ in range(TRIES):
        node.reached(status)
        assert node.turn(LATELY_MS // 1000 - 1).digest == BAD.digest or node.accept(BAD).digest == BAD.digest
        status = node.turn(TRIAL_MS // 1000)
        assert status.digest == GOOD.digest
    assert status.held == f"{BAD.digest[:12]}: the hub did not answer within 60 s of it"
    node.reached(status)
    assert node.turn(3600).digest == GOOD.digest
    node.reached(status)
    assert node.accept(BETTER).digest == BETTER.digest


def test_a_plan_with_a_fault_is_not_used_and_said(node: Node) -> None:
    node.accept(GOOD)
    before = node.kernel()
    status = node.accept(replace(GOOD, network=replace(GOOD.network, hubs=())))
    assert (status.digest, status.trouble) == (GOOD.digest, "it names no hub, so the node would be cut off")
    assert node.kernel() == before


def test_what_somebody_flushed_is_put_back(node: Node) -> None:
    node.accept(GOOD)
    before = node.kernel()
    node.machines[1].host.run(_flush())
    assert node.kernel() != before
    node.turn()
    assert node.kernel() == before


async def _flush() -> None:
    process = await asyncio.create_subprocess_exec("nft", "flush", "ruleset")
    assert await process.wait() == 0


def test_a_disk_that_takes_nothing_keeps_nobody_from_going_back(node: Node) -> None:
    node.reached(node.accept(GOOD))
    node.accept(BAD)
    twin = node.places.state / f"{KEPT}.twin"
    twin.unlink()
    twin.mkdir()  # nothing can be put in its place
    status = node.turn(TRIAL_MS // 1000)
    assert status.digest == GOOD.digest
    assert "kept.twin" in status.trouble
    assert reaches(node)


def test_records_that_cannot_be_read_leave_the_kernel_as_it_is(node: Node) -> None:
    node.accept(GOOD)
    before = node.kernel()
    for name in (KEPT, f"{KEPT}.twin"):
        (node.places.state / name).write_bytes(b"rubbish")
    assert "kept and its twin are damaged" in node.turn().trouble
    assert node.kernel() == before
    assert node.keeper.due_s() == AGAIN_S
