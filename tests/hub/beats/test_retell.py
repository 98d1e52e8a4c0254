"""A hub that lost what nodes reported asks them to say it again, until they did."""

from __future__ import annotations

import asyncio
from pathlib import Path

from skerry_hub.clock import monotonic_ms
from skerry_hub.restoring.backup import make_backup, restore
from skerry_hub.store import rows
from skerry_protocol.ids import AppName
from skerry_protocol.messages import Beat, BeatReply, Entry, Issued, ReportBatch, Step, StepName, StepState

from ..hubs import Desk, Machine, serving, token_of

WEB = {"name": "web", "run": ["/bin/sleep", "9"], "availability": "best-effort"}


async def beat(desk: Desk, machine: Machine, held: Issued | None) -> BeatReply:
    """One beat of the machine, and what the hub answers, once everything that it says is stored."""
    said = Beat(boot="boot-1", reply=machine.number, accepted=held, applied=held)
    answer = desk.hub.hearing.on_beat(machine.id, said, monotonic_ms())
    reply = answer if isinstance(answer, BeatReply) or answer is None else await answer
    assert reply is not None
    machine.number = reply.number
    await desk.hub.intake.heard({machine.id: said})
    await desk.hub.reconciler.once()
    return reply


async def report(desk: Desk, machine: Machine, held: Issued, seq: int) -> None:
    """The machine says that all it has is healthy."""
    async with desk.hub.store.read() as view:
        copies = [one for one in await rows.placements(view) if one.node == machine.id]
    steps = [
        Step(one.instance, AppName("web"), 1, StepName.HEALTHY, StepState.DONE, held.version, seq, 0)
        for one in copies
    ]
    entries = tuple(Entry(seq + index, step=step) for index, step in enumerate(steps))
    await desk.hub.intake.report((machine.id, ReportBatch("box-1", entries)))
    await desk.hub.reconciler.once()


async def state(desk: Desk) -> str:
    return str((await desk.client.get("/api/apps/web")).json()["state"])


async def newest(desk: Desk, machine: Machine) -> Issued:
    async with desk.hub.store.read() as view:
        return (await rows.assignments(view, machine.id, newest=1))[-1].issued


async def test_a_restored_hub_hears_everything_once_more(tmp_path: Path) -> None:
    data, copy = tmp_path / "hub", tmp_path / "copy.db"
    async with serving(data) as desk:
        token = desk.token
        machine = Machine(desk)
        await machine.join(desk.client, await token_of(desk))
        assert not (await beat(desk, machine, None)).retell
        await desk.post("/api/apply", {"apps": [WEB]})
        await desk.hub.reconciler.once()
        held = await newest(desk, machine)
        await beat(desk, machine, held)
        await report(desk, machine, held, 1)
        assert not (await beat(desk, machine, held)).retell
        assert await state(desk) == "healthy"
        await asyncio.to_thread(make_backup, desk.hub.store.path, copy)
    # What was reported after the backup was taken is lost, and the node believes that it was heard.
    await restore(copy, data / "hub.db")
    for _ in range(2):  # also over a restart in between
        async with serving(data, token) as desk:
            await beat(desk, machine, held)
            assert (await beat(desk, machine, held)).retell
            assert (await beat(desk, machine, held)).retell
    async with serving(data, token) as desk:
        await report(desk, machine, held, 1)  # the number is used: an outbox that began anew would not be
        await report(desk, machine, held, 2)
        await beat(desk, machine, held)
        assert not (await beat(desk, machine, held)).retell
        assert await state(desk) == "healthy"
