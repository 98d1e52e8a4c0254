"""skerry-net on real interfaces: plans are tried, confirmed, taken back; what others changed is put back."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Network
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

from skerry_agent.disk import sealed
from skerry_agent.network.choosing import LATELY_MS
from skerry_agent.network.confirm import TRIAL_MS, TRIES
from skerry_agent.network.files import Places
from skerry_agent.network.hubs import TRY_MS
from skerry_agent.network.keeper import AGAIN_S, SOONER_S, TRIAL_S, Keeper, at
from skerry_agent.network.making import Machine
from skerry_agent.network.records import KEPT, REACHED, WANTED, Plan, Reached, Status
from skerry_agent.network.seeking import Resolve
from skerry_netplan.address import node_address
from skerry_netplan.firewall import TABLE
from skerry_netplan.hubside import HubHere, lower_hub
from skerry_netplan.kernel.runners import Detached
from skerry_netplan.kernel.userspace import Userspace
from skerry_netplan.lower import KEEPALIVE
from skerry_netplan.model import Region
from skerry_netplan.planner import Planner
from skerry_netplan.state import DIRECT, LINK, KeyRole, State
from skerry_protocol.ids import NodeId, NodeName
from skerry_protocol.network import AppNetwork, HubAt, Port
from tests.lab.network import rig
from tests.lab.network.hosts import Child, iproute, printed
from tests.lab.network.rig import ALONE, DB, SQL, WEB, Machines, public, region, talk


async def nobody_knows(endpoint: str) -> str | None:
    return None


class Node:
    """The first node, kept by skerry-net; its hub is there, and the clock is the test's."""

    def __init__(self, machines: Machines, folder: Path) -> None:
        self.machines, self.places = machines, Places(folder / "state", folder / "run")
        self.now, self.boot = 1_000_000, "boot1"
        self.resolve: Resolve = nobody_knows
        self.said: list[str] = []
        self.say = self.said.append
        self.begin()

    def begin(self) -> None:
        """skerry-net starts; one that ran is gone without a word."""
        keys = {KeyRole.LINK: public("link1"), KeyRole.DIRECT: public("direct1")}
        machine = Machine(keys, rig.LINK_PORT, rig.DIRECT_PORT, self.boot, lambda: self.now, self.resolve)
        self.keeper = Keeper(self.places, machine, self.machines[1].kernel, self.say)

    def turn(self, seconds: int = 0) -> Status:
        self.now += seconds * 1000
        return self.machines[1].host.run(self.keeper.turn())

    def accept(self, plan: Plan) -> Status:
        """What the agent does with a newer plan, and what skerry-net makes of it."""
        self.write(self.places.state / WANTED, plan)
        return self.turn()

    def reached(self, status: Status) -> None:
        """What the agent does when its hub answers."""
        self.write(self.places.run / REACHED, Reached(status.way, self.boot, self.now))

    def write(self, path: Path, record: Struct) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        sealed.write_twice(path, sealed.bytes_of(record))

    def kernel(self) -> State:
        return self.machines[1].read()


@contextmanager
def on_a_cable(folder: Path) -> Iterator[Node]:
    with rig.mesh() as machines:
        one = region(WEB, DB, ALONE)
        machines[0].become(lower_hub(one, HubHere(public("hub"), rig.HUB_PORT, 1420)))
        machines[2].become(rig.node_state(2, one))
        yield Node(machines, folder)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with on_a_cable(tmp_path) as made:
        yield made


def plan(one: Region) -> Plan:
    own = [copy for copy in one.copies if copy.node == "id1"]
    says = {copy.app: one.apps[copy.app] for copy in own}
    return Plan(Planner(one).plan(NodeId("id1")), NodeName("n1"), {copy.id: copy.app for copy in own}, says)


LAN = (f"192.0.2.2:{rig.DIRECT_PORT}",)
GOOD = plan(region(WEB, DB))
BETTER = plan(region(WEB, DB, ALONE))
(AT,) = GOOD.network.hubs


def led(one: Plan, hub: HubAt) -> Plan:
    """The same instances by another way."""
    return replace(one, network=replace(one.network, hubs=(hub,)))


MOVED = led(GOOD, replace(AT, endpoints=(*AT.endpoints, "192.0.2.9:51820")))
WRONG_HUB = replace(AT, key=b"x" * 32)
BAD = led(GOOD, WRONG_HUB)


ELSEWHERE = led(GOOD, replace(AT, endpoints=("192.0.2.9:51820",)))


def ends(node: Node) -> str | None:
    """Where the tunnel to the hub does."""
    return node.kernel().tunnels[LINK].peers[AT.key].endpoint


def knocked(node: Node) -> None:
    """The hub sends something by itself, and the tunnel has followed it."""
    deadline = time.monotonic() + rig.CONNECTS
    while ends(node) != AT.endpoints[0]:
        assert time.monotonic() < deadline
        node.machines[0].host.run(_knock())


async def _knock() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
        one.sendto(b"", (str(node_address(IPv6Network(GOOD.network.node))), 9))


def has(one: Plan) -> Status:
    """What is said where all of a plan is there."""
    spaces, mates = tuple(sorted(one.network.addresses)), {mate.name: "" for mate in one.network.mates}
    return Status(one.way, one.digest, spaces, backend="wireguard-go", mates=mates, lan=LAN)


def reaches(node: Node, within: float = rig.CONNECTS) -> bool:
    return talk(node.machines, WEB, DB, SQL, within)


def test_what_was_accepted_is_there_and_comes_back_with_a_boot_though_nobody_else_is_there(
    node: Node,
) -> None:
    assert node.accept(GOOD) == has(GOOD)
    assert reaches(node)
    node.machines[1].become(State())
    node.boot = "boot2"
    node.begin()
    assert node.turn() == has(GOOD)
    assert reaches(node)


def test_a_change_that_the_hub_answers_under_stays(node: Node) -> None:
    node.reached(node.accept(GOOD))
    assert node.accept(MOVED) == replace(has(MOVED), trial=True)
    assert node.keeper.due_s() <= TRIAL_S
    node.reached(node.turn())
    assert node.turn(2 * TRIAL_MS // 1000) == has(MOVED)


def test_other_instances_by_the_same_way_stay_though_the_hub_falls_silent(node: Node) -> None:
    node.reached(node.accept(GOOD))
    assert node.accept(BETTER) == has(BETTER)
    assert node.turn(2 * TRIAL_MS // 1000) == has(BETTER)
    assert ALONE.id in node.kernel().spaces


def test_a_way_that_is_taken_back_takes_no_instance_with_it(node: Node) -> None:
    """Nor does a boot with the newest plan lost."""
    node.reached(node.accept(GOOD))
    assert node.accept(led(BETTER, WRONG_HUB)).spaces == has(BETTER).spaces
    back = replace(has(BETTER), wanted="", way=GOOD.way)
    said = f"{at(BAD)}: the hub did not answer by it within 60 s"
    assert node.turn(TRIAL_MS // 1000) == replace(back, taken_back=said)
    assert reaches(node)
    for name in (WANTED, f"{WANTED}.twin"):
        (node.places.state / name).unlink()
    node.machines[1].become(State())
    node.boot = "boot2"
    node.begin()
    assert node.turn() == back


@pytest.mark.parametrize("killed", [False, True])
def test_a_change_that_costs_the_hub_is_taken_back_in_a_minute(node: Node, killed: bool) -> None:
    """Also where skerry-net was killed meanwhile."""
    node.reached(node.accept(GOOD))
    assert node.accept(BAD).way == BAD.way
    assert not reaches(node, rig.NEVER)
    if killed:
        node.begin()
    assert node.turn(TRIAL_MS // 1000 - 1).way == BAD.way
    assert node.turn(1).way == GOOD.way
    assert reaches(node)


def test_an_answer_from_elsewhere_than_the_plan_says_confirms_nothing(node: Node) -> None:
    """A tunnel with a session follows its hub: beats may be answered though the plan leads nowhere."""
    node.reached(node.accept(GOOD))
    assert reaches(node)
    status = node.accept(ELSEWHERE)
    assert (status.way, ends(node)) == (ELSEWHERE.way, ELSEWHERE.network.hubs[0].endpoints[0])
    node.turn(1)
    knocked(node)
    node.reached(status)
    assert node.turn(TRIAL_MS // 1000 - 2).way == ELSEWHERE.way
    assert node.turn(1).way == GOOD.way
    assert ends(node) == AT.endpoints[0]


def test_a_way_that_is_offered_again_after_another_failed_is_not_said_to_have_failed(node: Node) -> None:
    node.reached(node.accept(GOOD))
    node.accept(BAD)
    assert node.turn(TRIAL_MS // 1000).taken_back
    assert node.accept(GOOD) == has(GOOD)
    node.reached(node.turn())
    assert node.accept(BAD).way == BAD.way, "what was mended meanwhile is tried at once"


def test_a_power_cut_during_a_trial_leads_back(node: Node) -> None:
    node.reached(node.accept(GOOD))
    node.accept(BAD)
    node.boot = "boot2"
    node.begin()
    assert node.turn().way == GOOD.way
    assert reaches(node)


def test_what_was_taken_back_twice_is_held_and_said_until_there_is_another(node: Node) -> None:
    status = node.accept(GOOD)
    for _ in range(TRIES):
        node.reached(status)
        assert node.turn(LATELY_MS // 1000 - 1).way == BAD.way or node.accept(BAD).way == BAD.way
        status = node.turn(TRIAL_MS // 1000)
        assert status.way == GOOD.way
    assert status.taken_back == f"{at(BAD)}: the hub did not answer by it within 60 s, twice"
    node.reached(status)
    assert node.turn(3600).way == GOOD.way
    node.reached(status)
    assert node.accept(MOVED).way == MOVED.way


def test_a_plan_with_a_fault_is_not_used_and_said(node: Node) -> None:
    node.accept(GOOD)
    before = node.kernel()
    status = node.accept(replace(GOOD, network=replace(GOOD.network, hubs=())))
    assert (status.way, status.trouble) == (GOOD.way, "it names no hub, so the node would be cut off")
    assert node.kernel() == before


def test_copies_on_the_nodes_own_network_are_let_in_to(node: Node) -> None:
    app, caller = AppNetwork({"sql": Port(SQL)}), GOOD.network.neighbours[0]
    reached = replace(GOOD.network, neighbours=(replace(caller, reaches=(DB.app,)),))
    shut = replace(GOOD, network=reached, says={**GOOD.says, DB.app: app})
    hosted = replace(shut, hosted=(DB.app,))
    assert node.accept(shut) == has(shut)
    before = node.kernel().rules
    assert node.accept(hosted) == has(hosted)
    assert node.kernel().rules != before


def test_a_metered_node_has_the_hubs_tunnel_alone_and_holds_nothing_open(node: Node) -> None:
    node.accept(GOOD)
    before = node.kernel()
    spares = replace(GOOD, metered=True)
    assert node.accept(spares) == replace(has(spares), lan=LAN)
    after = node.kernel()
    assert before.tunnels.keys() - after.tunnels.keys() == {DIRECT}
    assert {peer.keepalive for peer in before.tunnels[LINK].peers.values()} == {KEEPALIVE}
    assert {peer.keepalive for peer in after.tunnels[LINK].peers.values()} == {0}
    assert reaches(node), "through the hub"
    assert node.accept(GOOD) == has(GOOD)
    assert node.kernel() == before


def test_what_somebody_flushed_is_put_back(node: Node) -> None:
    node.accept(GOOD)
    before = node.kernel()
    node.machines[1].host.run(_flush())
    assert node.kernel() != before
    node.turn()
    assert node.kernel() == before


async def _flush() -> None:
    await _ran("nft", "flush", "ruleset")


def test_what_is_taken_away_while_something_else_is_put_back_is_said_too(node: Node) -> None:
    def admin(text: str) -> None:
        if not node.said:
            name = next(space.device for space in before.spaces.values())
            subprocess.run(["ip", "link", "delete", name], check=True)
        node.said.append(text)

    node.say = admin
    node.begin()
    node.accept(GOOD)
    before = node.kernel()
    assert node.said == []
    node.machines[1].host.run(_flush())
    node.turn()
    node.turn()
    what = "put back what somebody else had changed"
    assert node.said == [f"{what} (SetRules)", f"{what} (AddSpace, RemoveSpace, SetRoute)"]
    assert node.kernel() == before


def test_a_disk_that_takes_nothing_keeps_nobody_from_going_back(node: Node) -> None:
    node.reached(node.accept(GOOD))
    node.accept(BAD)
    twin = node.places.state / f"{KEPT}.twin"
    twin.unlink()
    twin.mkdir()  # nothing can be put in its place
    status = node.turn(TRIAL_MS // 1000)
    assert status.way == GOOD.way
    assert "kept.twin" in status.trouble
    assert reaches(node)


@pytest.mark.parametrize("lost", [KEPT, WANTED])
def test_records_that_cannot_be_read_take_nothing_away(node: Node, lost: str) -> None:
    node.accept(GOOD)
    before = node.kernel()
    for name in (lost, f"{lost}.twin"):
        (node.places.state / name).write_bytes(b"rubbish")
    status = node.turn()
    assert f"{Path(lost).name} and its twin are damaged" in status.trouble
    assert (status.way, status.spaces) == (GOOD.way, has(GOOD).spaces)
    assert node.kernel() == before
    assert node.keeper.due_s() <= AGAIN_S


def test_without_a_plan_there_is_nothing_to_do(node: Node) -> None:
    assert node.turn() == Status(backend="wireguard-go")
    assert node.kernel() == State()


def test_a_plan_that_vanishes_takes_nothing_with_it(node: Node) -> None:
    node.accept(GOOD)
    before = node.kernel()
    for name in (WANTED, f"{WANTED}.twin"):
        (node.places.state / name).unlink()
    assert node.turn() == replace(has(GOOD), wanted="")
    assert node.kernel() == before


def test_a_wireguard_go_that_died_and_came_back_is_told_all_again(node: Node) -> None:
    node.accept(GOOD)
    before = node.kernel()
    node.machines[1].host.run(_again(node.machines[1].host.child))
    assert node.kernel() != before
    assert node.turn() == has(GOOD)
    assert node.kernel() == before
    assert reaches(node)


async def _again(child: Child) -> None:
    """As the unit does."""
    process = child.processes.pop(LINK)
    process.kill()
    await process.wait()
    await child.start(LINK)


def test_without_wireguard_instances_have_their_namespaces(node: Node) -> None:
    node.machines[1].kernel.backend = Userspace(Detached())
    node.machines[1].host.run(_hide("/usr/bin/wireguard-go"))
    status = node.accept(GOOD)
    assert (status.spaces, status.wanted) == (has(GOOD).spaces, "")
    assert status.trouble == (
        "cannot make tunnels: this kernel has no WireGuard, nor is wireguard-go there"
        " (install the package wireguard-go, or a kernel with WireGuard)"
    )
    assert node.keeper.due_s() <= SOONER_S


def test_without_nft_instances_have_their_namespaces_and_tunnels(node: Node) -> None:
    node.machines[1].host.run(_hide("/usr/sbin/nft"))
    status = node.accept(GOOD)
    assert (status.spaces, status.wanted) == (has(GOOD).spaces, "")
    assert status.trouble == "cannot set the firewall: there is no nft (install the package nftables)"
    assert LINK in node.kernel().tunnels


async def _hide(path: str) -> None:
    """From this host alone, whose mounts are its own."""
    await _ran("mount", "--bind", "/dev/null", path)


async def _ran(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0


def test_a_hub_that_is_known_by_name_is_found_beside_the_turns(node: Node) -> None:
    node.resolve = hub_is_here
    named = led(GOOD, replace(AT, endpoints=("hub.example:51820",)))
    node.begin()
    assert node.accept(named) == has(named)
    node.machines[1].host.run(_word(node.keeper))
    node.turn()
    assert reaches(node)


async def hub_is_here(endpoint: str) -> str | None:
    assert endpoint == "hub.example:51820"
    return AT.endpoints[0]


async def _word(keeper: Keeper) -> None:
    async with asyncio.timeout(rig.CONNECTS):
        await keeper._word.wait()


def test_a_hub_that_is_silent_is_sought_at_its_other_endpoints(node: Node) -> None:
    away = led(GOOD, replace(AT, endpoints=("192.0.2.9:51820", *AT.endpoints)))
    node.accept(away)
    assert not reaches(node, rig.NEVER)
    node.turn(TRY_MS // 1000)
    assert reaches(node)


def test_a_bridge_of_guests_that_somebody_makes_later_is_let_through(node: Node) -> None:
    node.accept(GOOD)
    rules = ("nft", "list", "table", *TABLE.split())
    host = node.machines[1].host
    assert "guests" not in host.run(printed(*rules))
    host.run(iproute("link add guests type bridge"))
    node.turn()
    assert host.run(printed(*rules)).count('"guests" accept') == 2
