"""The whole agent: what a hub publishes is run, told, rolled back where it is ill, and ended within seconds.

Most of these take half a second: a real nats-server, and units that have to be up for a second to count as settled.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

import msgspec
import pytest
from msgspec import structs

from skerry_agent.daemon import Agent
from skerry_agent.disk import sealed
from skerry_agent.disk.files import make_folder
from skerry_agent.network.records import REACHED, STATUS, Reached, Status
from skerry_agent.view.localclient import AgentError
from skerry_agent.view.status import InstanceView
from skerry_protocol.app import Health
from skerry_protocol.messages import BeatReply, StepName, StepState, Version
from tests.natsrig import until

from . import builders as b
from .agentrig import Mesh, mesh
from .noderig import Copy, assignment, revisions

__all__ = ["mesh"]

WEB = "skerry-web-0.service"
ONE, TWO = revisions(1, 2)


async def exits(agent: Agent, copy: Copy, wanted: int) -> None:
    def there() -> bool:
        life = agent.lives.life(copy.instance.id)
        return life is not None and life.changed and life.exits == wanted

    await until(there)


async def test_what_is_published_runs_and_is_reported_healthy(mesh: Mesh) -> None:
    async with mesh.agent() as agent:
        first = assignment(1, ONE, node=mesh.id)
        mesh.publish(first)
        await mesh.step(agent, StepName.HEALTHY, StepState.DONE)
        await until(lambda: bool(mesh.hub.beats) and mesh.hub.beats[-1][1].applied == b.issued(first))
        assert await mesh.rig.up(WEB)
        (view,) = await mesh.asked("status")
        assert isinstance(view, dict)
        assert (view["agent"], view["hub"], view["accepted"]) == ("running", "", "1.1")
    assert await mesh.rig.up(WEB)  # the agent is gone, the unit is not
    with pytest.raises(AgentError, match="cannot reach the agent"):
        await mesh.asked("status")


async def test_a_newer_delegation_says_which_server_to_talk_to(mesh: Mesh) -> None:
    """What came with an assignment counts more than what the join showed; the server's key is another one now."""
    async with mesh.agent() as agent:
        await until(agent.bus.connected.is_set)
        newer = structs.replace(assignment(1, node=mesh.id), version=Version(2, 1, 1))
        agent.offers.judge(b.envelope(newer, serial=2))
        assert agent.node.accepted == b.issued(newer)
        agent.bus.reconnect()
        await until(lambda: "did not delegate to" in (agent.bus.trouble or ""))


async def test_what_was_missed_is_found_by_a_beat(mesh: Mesh) -> None:
    """The message was lost on its way; the answer to a beat names it."""
    first = assignment(1, ONE, node=mesh.id)
    async with mesh.agent() as agent:
        await agent.bus.connected.wait()
        mesh.publish(first)
        await until(lambda: agent.node.accepted == b.issued(first))
        agent.node.accepted = agent.node.assignment = None
        agent.offers.newest_is(b.issued(first))
        await until(lambda: agent.node.accepted == b.issued(first))


async def test_an_instance_starts_as_soon_as_its_network_is_there_and_the_way_is_proven_by_a_beat(
    mesh: Mesh,
) -> None:
    run, first = mesh.rig.places.run, b.with_network(assignment(1, ONE, node=mesh.id))
    async with mesh.agent() as agent:
        mesh.publish(first)
        assert "systemctl status skerry-net" in await mesh.step(agent, StepName.NETWORK, StepState.WAITING)
        await until(lambda: bool(mesh.hub.beats) and "network" in mesh.hub.beats[-1][1].conditions)
        status = Status(way="w", spaces=(ONE.instance.id,))
        make_folder((run / STATUS).parent)
        await asyncio.to_thread(sealed.write, run / STATUS, sealed.bytes_of(status))
        await mesh.step(agent, StepName.HEALTHY, StepState.DONE)
        assert await mesh.rig.up(WEB)
        await until(lambda: "network" not in mesh.hub.beats[-1][1].conditions)
        await until((run / REACHED).exists)
        found = sealed.message(Reached, sealed.read(run / REACHED), REACHED)
        assert isinstance(found, Reached)
        assert (found.way, found.boot) == ("w", mesh.rig.systemd.boot_id())


async def test_the_hub_is_told_at_once_of_other_ways_to_this_node(mesh: Mesh) -> None:
    status = mesh.rig.places.run / STATUS
    make_folder(status.parent)
    async with mesh.agent():
        for lan, narrow in ((("10.0.0.7:5",), 0), (("10.0.0.7:5",), 1300), ((), 0)):
            said = Status(way="w", lan=lan, narrow=narrow)
            await asyncio.to_thread(sealed.write, status, sealed.bytes_of(said))
            await until(partial(told, mesh, lan, narrow))


def told(mesh: Mesh, lan: tuple[str, ...], narrow: int) -> bool:
    """Whether a beat said this of them last."""
    said = [beat for _, beat in mesh.hub.beats if beat.lan is not None]
    return bool(said) and (said[-1].lan, said[-1].narrow) == (lan, narrow)


async def test_a_change_that_crashes_is_put_back_and_why_says_so(mesh: Mesh) -> None:
    sick = Copy(b.an_app(run=("/bin/false",)), 2)
    first = assignment(1, ONE, node=mesh.id)
    async with mesh.agent() as agent:
        mesh.publish(first)
        await mesh.step(agent, StepName.HEALTHY, StepState.DONE)
        mesh.publish(assignment(2, sick, since=(first,), node=mesh.id))
        for wanted in (1, 2):
            await exits(agent, sick, wanted)
            await mesh.rig.systemd.restart(WEB, 1)
            agent.lives.look_at_all()  # the fake passes from failed to failed, and so says nothing
        reason = await mesh.step(agent, StepName.HEALTHY, StepState.HELD)
        assert "revision 1 runs instead, by health: it ended 3 times" in reason
        (override,) = agent.node.overrides
        assert (override.revision, override.instead) == (2, 1)
        await until(lambda: mesh.hub.beats[-1][1].overrides == (override,))
        (found,) = msgspec.convert(await mesh.asked("why", app="web"), list[list[InstanceView]])[0]
        assert (found.state, found.runs) == ("started held", 1)
        assert await mesh.asked("clear") == ["web: revision 2 may run again"]
        await until(lambda: "/bin/false" in mesh.rig.command(WEB))


async def test_a_command_that_cannot_be_done_says_why_in_one_line(mesh: Mesh) -> None:
    async with mesh.agent() as agent:
        mesh.publish(assignment(1, ONE, node=mesh.id))
        await mesh.step(agent, StepName.STARTED, StepState.DONE)
        for do, app, text in (
            ("rollback", "web", "this node keeps no other revision than 1"),
            ("rollback", "nope", "it is not assigned to this node"),
            ("why", "nope", "it is not assigned|is not assigned"),
            ("clear", "", "it has given none"),
            ("dance", "", "this agent does not know that"),
        ):
            with pytest.raises(AgentError, match=text) as error:
                await mesh.asked(do, app=app)
            assert "\n" not in str(error.value)


async def test_a_full_disk_is_a_condition_and_what_could_not_be_kept_is_asked_for_again(mesh: Mesh) -> None:
    first = assignment(1, ONE, node=mesh.id)
    async with mesh.agent() as agent:
        await agent.bus.connected.wait()
        mesh.rig.disk.left = 0
        mesh.publish(first)
        await until(lambda: bool(mesh.hub.beats and "disk" in mesh.hub.beats[-1][1].conditions))
        assert agent.node.accepted is None
        with pytest.raises(AgentError):
            await mesh.asked("rollback", app="web")
        mesh.rig.disk.left = None
        await mesh.step(agent, StepName.STARTED, StepState.DONE)
        await until(lambda: "disk" not in agent.node.conditions)


async def test_the_hub_hears_at_once_of_a_disk_that_fills_up_later_on(mesh: Mesh) -> None:
    first = assignment(1, ONE, node=mesh.id)
    second = assignment(2, TWO, since=(first,), node=mesh.id)
    async with mesh.agent() as agent:
        mesh.publish(first)
        await mesh.step(agent, StepName.HEALTHY, StepState.DONE)
        await until(lambda: agent.reporter._told.box.empty)
        mesh.rig.disk.left = 12  # it fills up after the beat that tells of the acceptance
        mesh.publish(second)
        await until(lambda: "disk" in mesh.hub.beats[-1][1].conditions)
        assert agent.node.accepted == b.issued(second)
        mesh.rig.disk.left = None
        await until(lambda: "disk" not in mesh.hub.beats[-1][1].conditions)


async def test_a_refusal_is_an_event_once_however_often_it_comes(mesh: Mesh) -> None:
    first = assignment(1, ONE, node=mesh.id)
    bad = assignment(2, TWO, node=mesh.id)  # its hub does not know what the node holds
    async with mesh.agent() as agent:
        mesh.publish(first)
        await mesh.step(agent, StepName.HEALTHY, StepState.DONE)
        for _ in range(5):
            agent.offers.judge(b.envelope(bad))
        agent.beating.beat_now()
        await until(lambda: bool(mesh.hub.beats and mesh.hub.beats[-1][1].refused))
    box = agent.reporter._told.box
    entries = [*(one for batch in mesh.reports() for one in batch.entries), *box.sent]
    events = [*{one.seq: one.event for one in entries if one.event}.values(), *box.events]
    assert sum(one.count for one in events if one.code == "refused-diverged") == 1


async def test_a_hub_that_lost_its_reports_hears_them_again(mesh: Mesh) -> None:
    async with mesh.agent() as agent:
        mesh.publish(assignment(1, ONE, node=mesh.id))
        await mesh.step(agent, StepName.HEALTHY, StepState.DONE)
        await until(lambda: agent.reporter._told.box.empty)
        mesh.reports()
        await agent._answered(BeatReply(1, 1, retell=True))
        _, again = await mesh.hub.next_report()
        assert {one.step.step for one in again.entries if one.step} == set(StepName)


@pytest.mark.parametrize("connected", [True, False])
async def test_it_ends_within_seconds_whatever_it_does(mesh: Mesh, connected: bool) -> None:
    hanging = Health(http="http://127.0.0.1:9/", timeout_ms=60_000)
    made = assignment(1, Copy(b.an_app(health=hanging)), node=mesh.id)
    if not connected:
        mesh.rig.identity = msgspec.structs.replace(mesh.rig.identity, nats=("tls://127.0.0.1:9",))
    async with mesh.agent() as agent:
        if connected:
            mesh.publish(made)
            await until(lambda: agent.node.accepted == b.issued(made))
        began = time.monotonic()
    assert time.monotonic() - began < 5


async def test_the_agent_sees_no_second_life_in_its_own_restart(mesh: Mesh) -> None:
    async with mesh.agent() as agent:
        mesh.publish(assignment(1, ONE, node=mesh.id))
        await mesh.step(agent, StepName.HEALTHY, StepState.DONE)
        seq = agent.reporter.book.seq
    mesh.rig.systemd.calls.clear()
    async with mesh.agent() as agent:
        await until(lambda: agent.node.applied.issued is not None and bool(agent.lives.known()))
        await mesh.step(agent, StepName.HEALTHY, StepState.DONE)
        assert not [call for call in mesh.rig.systemd.calls if call.startswith(("start", "stop", "restart"))]
        assert agent.reporter.book.seq >= seq
