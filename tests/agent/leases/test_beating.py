"""Beats as a real hub's bookkeeping of boots hears them: whatever is lost, one machine is never two."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from msgspec import structs

from skerry_agent.leases import grants
from skerry_agent.leases.beating import stored
from skerry_agent.units.leaseunits import end_name
from tests.natsrig import running, started, until

from .. import builders as b
from ..noderig import Rig, assignment
from .line import DB, FENCED, LENGTH, TARGET, Counting, Line


async def test_an_agent_that_died_at_any_moment_is_no_clone(rig: Rig, line: Line) -> None:
    """An answer that never came, one that came and was not kept, a restart after each."""
    one = await line.agent()
    assert await one.beat()
    line.hub.mute = True
    call = asyncio.ensure_future(one.beat())
    await until(lambda: len(line.hub.beats) == 2)
    call.cancel()  # the agent dies while the answer is on its way
    with suppress(asyncio.CancelledError):
        await call
    line.hub.mute = False
    rig.systemd.advance(1_000)
    again = line.beating()
    assert await again.beat()
    assert line.hub.beats[-1][1].reply == 0
    assert await again.beat()
    before = (rig.places.run / "grants").read_bytes()
    assert await again.beat()
    assert await again.beat()
    (rig.places.run / "grants").write_bytes(before)  # what it was told last was never kept
    rig.systemd.advance(1_000)
    assert await line.beating().beat()
    assert line.hub.troubles == []
    assert len({beat.boot for _, beat in line.hub.beats}) == 1


async def test_an_agent_that_comes_back_in_the_middle_of_a_lease_goes_on_with_it(
    rig: Rig, line: Line
) -> None:
    one = await line.agent()
    assert await one.beat()
    assert await rig.up(DB)
    (held,) = one.state.live
    line.hub.gives = False
    rig.systemd.calls.clear()
    again = line.beating()
    await again.look()
    await again.assigned()
    assert again.state.live == (held,)
    assert again.state.claims() == one.state.claims()
    assert await again.beat()
    assert rig.systemd.calls == []  # nothing is opened, nothing is closed
    rig.systemd.advance(LENGTH * 1000 + 1)
    assert not await rig.up(DB)
    await again.look()
    kept = stored(rig.places.run)
    assert kept is not None
    assert kept.deadline(LENGTH) is None


async def test_a_lease_granted_before_its_units_were_there_is_opened_by_the_next_grant(
    tmp_path: Path,
) -> None:
    """As where the artifact is still on its way when the hub grants."""
    (tmp_path / "machine").mkdir()
    rig = Rig(tmp_path / "machine")
    rig.node.offer(b.envelope(assignment(1, FENCED)))
    async with started(tmp_path) as nats, nats.node() as node:
        hub = Counting(node.id)
        async with nats.hub(hub):
            one = await Line(rig, node.bus, hub).agent()
            assert await one.beat()
            await rig.switch()
            assert not await rig.up(DB)
            rig.systemd.advance(1_000)
            assert await one.beat()
            assert await rig.up(DB)


async def test_a_lease_that_an_admin_or_sleep_ended_is_not_opened_while_the_machine_goes_to_sleep(
    rig: Rig, line: Line
) -> None:
    one = await line.agent()
    assert await one.beat()
    await rig.systemd.start("sleep.target", 1)
    assert not await rig.up(DB)
    one.unit_changed(TARGET, "inactive")
    assert await one.beat()
    assert not await rig.up(DB)
    assert await rig.up("sleep.target")
    await rig.systemd.stop("sleep.target", 1)
    rig.systemd.advance(1_000)
    assert await one.beat()
    assert await rig.up(DB)
    await rig.systemd.start(end_name(LENGTH), 1)
    assert not await rig.up(DB)


async def test_two_beats_at_once_go_one_after_the_other(rig: Rig, line: Line) -> None:
    one = await line.agent()
    assert all(await asyncio.gather(*(one.beat(stopped) for stopped in (False, False, True))))
    assert [beat.reply for _, beat in line.hub.beats] == [0, 1, 2]
    assert line.hub.troubles == []


async def test_another_boot_begins_without_grants_and_the_hub_hears_a_new_boot(rig: Rig, line: Line) -> None:
    async with running(line.beating().run()):
        await until(lambda: bool(line.hub.beats))
    kept = stored(rig.places.run)
    assert kept is not None
    assert grants.booted(structs.replace(kept, boot="another"), "this one").live == ()


async def test_a_drop_in_made_while_no_agent_looked_keeps_the_lease_shut_until_its_copy_is_taken_out(
    rig: Rig, line: Line
) -> None:
    drop_in = rig.places.units / f"{DB}.d"
    drop_in.mkdir()
    (drop_in / "slow.conf").write_text("[Service]\nTimeoutStopSec=60\n")
    rig.systemd.reboot()
    rig.open()
    one = await line.agent()
    assert await one.beat()
    assert not await rig.up(DB)
    assert "drop-in" in (await rig.switch()).plan.waiting[0].reason
    rig.systemd.advance(1_000)
    await one.beat()
    assert not await rig.up(DB)
    assert await rig.up(TARGET)
