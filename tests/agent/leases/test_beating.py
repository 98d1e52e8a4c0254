"""Beats as a real hub's bookkeeping of boots hears them: whatever is lost, one machine is never two."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from msgspec import structs

from skerry_agent.hublink.bus import NodeBus
from skerry_agent.leases import grants
from skerry_agent.leases.beating import Beating, stored
from skerry_agent.units.leaseunits import end_name, target_name
from skerry_hub.beats import boots
from skerry_hub.beats.boots import Boot
from skerry_protocol.ids import NodeId
from skerry_protocol.messages import Beat, BeatReply
from tests.natsrig import Hub, running, started, until

from .. import builders as b
from ..noderig import Rig, assignment
from .conftest import FENCED

DB = "skerry-db-0.service"

LENGTH = 0 if FENCED.instance.lease is None else FENCED.instance.lease.length_ms
TARGET = target_name(LENGTH)


class Counting(Hub):
    """Answers as the hub does, by its own `boots`; grants every length that is asked for while `gives`."""

    def __init__(self, node: NodeId) -> None:
        super().__init__()
        self.boot = Boot(node)
        self.troubles: list[str] = []
        self.gives = True
        self.mute = False
        self.retell = False

    def on_beat(self, node: NodeId, beat: Beat, now: int) -> BeatReply | None:
        heard = boots.hear(self.boot, beat, 0.0, {})
        self.beats.append((node, beat))
        if heard.trouble:
            self.troubles.append(heard.trouble)
        number = boots.answer(self.boot, beat)
        if self.mute:
            return None
        lengths = (
            tuple(sorted({one.length_ms for one in beat.claims})) if self.gives and not heard.trouble else ()
        )
        return BeatReply(1, number, lengths, retell=self.retell)


def beating(rig: Rig, bus: NodeBus) -> Beating:
    async def ignored(_reply: BeatReply) -> None:
        return

    return Beating(rig.node, rig.systemd, bus, ignored, "1", rig.places.run, rig.places.run_units)


async def test_an_agent_that_died_at_any_moment_is_no_clone(tmp_path: Path, rig: Rig) -> None:
    """An answer that never came, one that came and was not kept, a restart after each."""
    async with started(tmp_path) as nats, nats.node() as node:
        hub = Counting(node.id)
        async with nats.hub(hub):
            one = beating(rig, node.bus)
            await one.assigned()
            assert await one.beat()
            hub.mute = True
            call = asyncio.ensure_future(one.beat())
            await until(lambda: len(hub.beats) == 2)
            call.cancel()  # the agent dies while the answer is on its way
            with suppress(asyncio.CancelledError):
                await call
            hub.mute = False
            rig.systemd.advance(1_000)
            again = beating(rig, node.bus)
            assert await again.beat()
            assert hub.beats[-1][1].reply == 0
            assert await again.beat()
            before = (rig.places.run / "grants").read_bytes()
            assert await again.beat()
            assert await again.beat()
            (rig.places.run / "grants").write_bytes(before)  # what it was told last was never kept
            rig.systemd.advance(1_000)
            assert await beating(rig, node.bus).beat()
            assert hub.troubles == []
            assert len({beat.boot for _, beat in hub.beats}) == 1


async def test_an_agent_that_comes_back_in_the_middle_of_a_lease_goes_on_with_it(
    tmp_path: Path, rig: Rig
) -> None:
    async with started(tmp_path) as nats, nats.node() as node:
        hub = Counting(node.id)
        async with nats.hub(hub):
            one = beating(rig, node.bus)
            await one.assigned()
            assert await one.beat()
            assert await rig.up(DB)
            (held,) = one.state.live
            hub.gives = False
            rig.systemd.calls.clear()
            again = beating(rig, node.bus)
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
            one = beating(rig, node.bus)
            await one.assigned()
            assert await one.beat()
            await rig.switch()
            assert not await rig.up(DB)
            rig.systemd.advance(1_000)
            assert await one.beat()
            assert await rig.up(DB)


async def test_a_lease_that_an_admin_or_sleep_ended_is_not_opened_while_the_machine_goes_to_sleep(
    tmp_path: Path, rig: Rig
) -> None:
    async with started(tmp_path) as nats, nats.node() as node:
        hub = Counting(node.id)
        async with nats.hub(hub):
            one = beating(rig, node.bus)
            await one.assigned()
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


async def test_two_beats_at_once_go_one_after_the_other(tmp_path: Path, rig: Rig) -> None:
    async with started(tmp_path) as nats, nats.node() as node:
        hub = Counting(node.id)
        async with nats.hub(hub):
            one = beating(rig, node.bus)
            await one.assigned()
            assert all(await asyncio.gather(*(one.beat(stopped) for stopped in (False, False, True))))
            assert [beat.reply for _, beat in hub.beats] == [0, 1, 2]
            assert hub.troubles == []


async def test_another_boot_begins_without_grants_and_the_hub_hears_a_new_boot(
    tmp_path: Path, rig: Rig
) -> None:
    async with started(tmp_path) as nats, nats.node() as node:
        hub = Counting(node.id)
        async with nats.hub(hub), running(beating(rig, node.bus).run()):
            await until(lambda: bool(hub.beats))
    kept = stored(rig.places.run)
    assert kept is not None
    assert grants.booted(structs.replace(kept, boot="another"), "this one").live == ()


async def test_a_drop_in_made_while_no_agent_looked_keeps_the_lease_shut_until_its_copy_is_taken_out(
    tmp_path: Path, rig: Rig
) -> None:
    drop_in = rig.places.units / f"{DB}.d"
    drop_in.mkdir()
    (drop_in / "slow.conf").write_text("[Service]\nTimeoutStopSec=60\n")
    rig.systemd.reboot()
    rig.open()
    async with started(tmp_path) as nats, nats.node() as node:
        hub = Counting(node.id)
        async with nats.hub(hub):
            one = beating(rig, node.bus)
            await one.assigned()
            assert await one.beat()
            assert not await rig.up(DB)
            assert "drop-in" in (await rig.switch()).plan.waiting[0].reason
            rig.systemd.advance(1_000)
            await one.beat()
            assert not await rig.up(DB)
            assert await rig.up(TARGET)
