"""Instances with a network of the mesh: they start once skerry-net has made it, and none is stopped for want of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from skerry_agent.disk import sealed
from skerry_agent.network.records import STATUS, WANTED, Plan, Status
from skerry_agent.network.telling import told
from skerry_agent.switch.actions import RestartUnit, StartUnit, StopUnit
from skerry_agent.switch.node import Switched
from skerry_agent.switch.plan import Plan as PurePlan
from skerry_agent.switch.plan import plan
from skerry_agent.switch.target import Target, build
from skerry_agent.units.policy import Policy
from skerry_agent.units.render import NodeFacts, Paths
from skerry_protocol.ids import AppName, InstanceId
from skerry_protocol.messages import Assignment, StepName, StepState
from skerry_protocol.network import AppNetwork

from .. import builders as b
from ..machine import Machine
from ..noderig import Copy, Rig, assignment, revisions

WEB, DB, HOST = "skerry-web-0.service", "skerry-db-0.service", "skerry-host-0.service"
ONE, TWO = revisions(1, 2)
OTHER = Copy(b.an_app("db", network=AppNetwork(egress=False)))
OPEN = Copy(b.an_app("host", sandbox_allow=("host-network",)))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def networked(
    generation: int, *copies: Copy, since: tuple[Assignment, ...] = (), gone: Copy | None = None
) -> Assignment:
    removed = (gone.instance.id,) if gone else ()
    return b.with_network(assignment(generation, *copies, since=since, removed=removed))


def says(rig: Rig, *copies: Copy, trouble: str = "") -> None:
    """What skerry-net says."""
    (rig.places.run / "net").mkdir(parents=True, exist_ok=True)
    status = Status(spaces=tuple(one.instance.id for one in copies), trouble=trouble)
    sealed.write(rig.places.run / STATUS, sealed.bytes_of(status))


def waiting(done: Switched) -> dict[InstanceId, tuple[StepName, StepState]]:
    return {one.instance: (one.step, one.state) for one in done.plan.waiting}


def spaces(rig: Rig) -> set[InstanceId]:
    plan = told(rig.places.state)
    assert isinstance(plan, Plan)
    return set(plan.network.addresses)


def target_of(copies: list[b.Copy], generation: int) -> Target:
    made = b.with_network(b.assignment_of(copies, generation))
    policy, node = Policy(allow=("host-network",)), NodeFacts("n1", "x86_64")
    return build(made, b.issued(made), (), {}, policy, Paths(), node)


def switched(machine: Machine, target: Target, spaces: Iterable[InstanceId]) -> PurePlan:
    artifacts, status = frozenset([b.SHA_A, b.SHA_B]), Status(spaces=tuple(spaces))
    made = plan(machine.applied, target, machine.observe(), artifacts, status)
    for action in made.actions:
        machine.do(action, target)
    return made


@settings(max_examples=150, deadline=None)
@given(b.assignments, b.assignments, st.sets(st.integers(0, 3)))
def test_what_waits_for_its_network_goes_on_as_it_was_and_all_else_goes_ahead(
    before: list[b.Copy], after: list[b.Copy], ready: set[int]
) -> None:
    machine, former, newer = Machine(), target_of(before, 1), target_of(after, 2)
    switched(machine, former, former.instances)
    old, started, active = machine.applied, dict(machine.started), set(machine.active)
    spaces = {name for index, name in enumerate(sorted(newer.instances)) if index in ready}
    waits = {one.instance for one in switched(machine, newer, spaces).waiting}
    for name, one in newer.instances.items():
        if name not in waits:
            assert machine.applied.instances[name] == one
            continue
        assert one.rendered.namespace
        assert name not in spaces
        assert machine.applied.of(name) == old.of(name)
        units = [unit for was in old.of(name) for unit in was.rendered.units]
        assert {unit: machine.started.get(unit) for unit in units} == {
            unit: started.get(unit) for unit in units
        }
        assert machine.active & {*units} == active & {*units}
    assert switched(machine, newer, newer.instances).waiting == ()
    assert machine.applied.instances == newer.instances


async def test_an_instance_waits_for_its_network_alone(rig: Rig) -> None:
    rig.places.policy.write_text('allow = ["host-network"]\n')
    rig.node.offer(b.envelope(networked(1, ONE, OTHER, OPEN)))
    says(rig, OTHER)
    done = await rig.switch()
    assert waiting(done) == {ONE.instance.id: (StepName.NETWORK, StepState.RUNNING)}
    assert [await rig.up(unit) for unit in (WEB, DB, HOST)] == [False, True, True]
    assert done.target is not None
    assert rig.node.applied.issued is not None, "nothing of it could still matter to a lease"
    says(rig, ONE, OTHER)
    assert (await rig.switch()).plan.waiting == ()
    assert await rig.up(WEB)


async def test_a_node_whose_skerry_net_does_not_run_says_so(rig: Rig) -> None:
    rig.node.offer(b.envelope(networked(1, ONE)))
    (wait,) = (await rig.switch()).plan.waiting
    assert (wait.step, wait.state) == (StepName.NETWORK, StepState.WAITING)
    assert "systemctl status skerry-net" in wait.reason
    assert "systemctl status skerry-net" in rig.node.conditions["network"]
    says(rig, trouble="no nft")
    assert "no nft" in (await rig.switch()).plan.waiting[0].reason
    assert "no nft" in rig.node.conditions["network"]
    says(rig, ONE)
    await rig.switch()
    assert "network" not in rig.node.conditions


async def test_what_runs_in_its_namespace_is_left_alone_whatever_skerry_net_says(rig: Rig) -> None:
    first = networked(1, ONE)
    says(rig, ONE)
    await rig.run(first)
    (rig.places.run / STATUS).unlink()
    assert (await rig.switch()).plan.actions == ()
    rig.node.offer(b.envelope(networked(2, TWO, OTHER, since=(first,))))
    done = await rig.switch()
    assert set(waiting(done)) == {ONE.instance.id, OTHER.instance.id}
    assert not [one for one in done.plan.actions if isinstance(one, StopUnit | RestartUnit)]
    assert await rig.up(WEB)
    assert "sleep 1" in rig.command(WEB)
    says(rig, ONE, OTHER)
    await rig.switch()
    assert "sleep 2" in rig.command(WEB)


@pytest.mark.parametrize("room", range(12))
async def test_what_is_wanted_is_told_before_a_switch_and_what_went_after_it(rig: Rig, room: int) -> None:
    first = networked(1, ONE)
    rig.node.offer(b.envelope(first))
    await rig.switch()
    assert spaces(rig) == {ONE.instance.id}, "else it would wait for ever"
    says(rig, ONE)
    await rig.switch()
    rig.node.offer(b.envelope(networked(2, OTHER, since=(first,), gone=ONE)))
    rig.disk.left = room
    done = await rig.switch()
    assert await rig.up(WEB) <= (ONE.instance.id in spaces(rig))
    assert (ONE.instance.id in rig.node.applied.names()) <= (ONE.instance.id in spaces(rig))
    assert done.told <= (OTHER.instance.id in spaces(rig))
    rig.disk.left = None
    await rig.switch()
    assert spaces(rig) == {OTHER.instance.id}
    plan = told(rig.places.state)
    assert plan is not None
    assert plan.says == {AppName("db"): AppNetwork(egress=False)}


async def test_what_is_left_over_keeps_its_network(rig: Rig) -> None:
    """Its record is lost, the unit runs on."""
    says(rig, ONE, OTHER)
    first = networked(1, ONE)
    await rig.run(first)
    for name in ("applied", "applied.twin"):
        (rig.places.state / name).unlink(missing_ok=True)
    rig.open()
    rig.node.applied = structs.replace(rig.node.applied, instances={}, pending={})
    rig.node.offer(b.envelope(networked(2, OTHER, since=(first,), gone=ONE)))
    await rig.switch()
    assert await rig.up(WEB)
    assert spaces(rig) == {ONE.instance.id, OTHER.instance.id}
    rig.node.discard(WEB)
    await rig.switch()
    assert spaces(rig) == {OTHER.instance.id}


async def test_a_plan_that_appears_restarts_what_it_is_for_and_no_upgrade_does(rig: Rig) -> None:
    first = assignment(1, ONE)
    await rig.run(first)
    assert "PrivateNetwork=yes" in (rig.places.units / WEB).read_text()
    says(rig, ONE)
    rig.node.offer(b.envelope(networked(2, ONE, since=(first,))))
    done = await rig.switch()
    assert [one.unit for one in done.plan.actions if isinstance(one, RestartUnit)] == [WEB]
    assert "NetworkNamespacePath=" in (rig.places.units / WEB).read_text()
    rendered = rig.node.applied.instances[ONE.instance.id]
    other = structs.replace(rendered.rendered, restart_key="of another agent", units={WEB: "[Service]\n"})
    rig.node.applied = structs.replace(
        rig.node.applied, instances={ONE.instance.id: structs.replace(rendered, rendered=other)}
    )
    again = await rig.switch()
    assert not [one for one in again.plan.actions if isinstance(one, RestartUnit | StartUnit | StopUnit)]


async def test_a_disk_that_cannot_take_the_plan_is_a_condition_and_tried_again(rig: Rig) -> None:
    rig.node.offer(b.envelope(networked(1, ONE)))
    rig.disk.left = 0
    done = await rig.switch()
    assert not done.told
    assert "No space left" in rig.node.conditions["disk"]
    assert not (rig.places.state / WANTED).exists()
    rig.disk.left = None
    assert (await rig.switch()).told
    assert "disk" not in rig.node.conditions
    assert spaces(rig) == {ONE.instance.id}


async def test_the_way_that_a_renewal_gave_holds_until_the_next_assignment(rig: Rig) -> None:
    says(rig, ONE)
    first = networked(1, ONE)
    await rig.run(first)
    moved = b.a_network(endpoint="192.0.2.9:1")
    rig.node.let_in_by(moved)
    plan = told(rig.places.state)
    assert plan is not None
    assert plan.network.hubs == moved.hubs
    await rig.switch()
    assert told(rig.places.state) == plan, "the assignment that it had is older"
    await rig.run(networked(2, ONE, since=(first,)))
    plan = told(rig.places.state)
    assert plan is not None
    assert plan.network.hubs == b.a_network().hubs
