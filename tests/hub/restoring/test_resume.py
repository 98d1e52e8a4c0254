"""A hub put back to an earlier state: nodes that are ahead pause, and an operator says whose word counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from skerry_hub.restoring.backup import make_backup, restore
from skerry_hub.restoring.resume import paused_rows
from skerry_hub.store import rows
from skerry_protocol import signing
from skerry_protocol.codec import decode
from skerry_protocol.messages import Assignment, Issued

from ..hubs import Desk, Machine, serving, token_of

WEB = {"name": "web", "run": ["/bin/sleep", "9"], "availability": "best-effort"}
DB = {**WEB, "name": "db"}


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await true():  # noqa: ASYNC110 - another process says nothing when it is done
            await asyncio.sleep(0.05)


async def newest(desk: Desk, machine: Machine) -> tuple[Issued, Assignment]:
    """The newest assignment of the machine."""
    async with desk.hub.store.read() as view:
        row = (await rows.assignments(view, machine.id, newest=1))[-1]
    envelope = decode(signing.Envelope, row.envelope)
    return row.issued, decode(Assignment, envelope.assignment.payload)


# Starts nats-server twice: seconds.
@pytest.mark.parametrize("take", ["nodes", "hub"])
async def test_a_restored_hub_waits_for_a_word(tmp_path: Path, take: str) -> None:
    data, copy = tmp_path / "hub", tmp_path / "copy.db"
    async with serving(data, nats_url=None) as desk:
        token = desk.token
        machine = Machine(desk)
        await machine.join(desk.client, await token_of(desk))
        await asyncio.wait_for(desk.hub.bus.connected.wait(), 20)
        bus = await machine.connect()
        await machine.beat(bus)
        await desk.post("/api/apply", {"apps": [WEB]})

        async def has(count: int) -> bool:
            reply = await machine.beat(bus)
            return reply.newest is not None and len((await newest(desk, machine))[1].instances) == count

        await until(lambda: has(1))
        first, _ = await newest(desk, machine)
        await machine.beat(bus, accepted=first, applied=first)
        make_backup(desk.hub.store.path, copy)
        await desk.post("/api/apply", {"apps": [DB]})
        await until(lambda: has(2))
        second, held = await newest(desk, machine)
        await machine.beat(bus, accepted=second, applied=second)

        async def published() -> bool:
            return not desk.hub.bus.publisher.waiting

        await until(published)
        await bus.close()
    await restore(copy, data / "hub.db")
    async with serving(data, token, nats_url=None) as desk:
        machine.desk = desk
        await asyncio.wait_for(desk.hub.bus.connected.wait(), 20)
        assert machine.reply is not None
        machine.reply = msgspec.structs.replace(machine.reply, nats=desk.hub.nats.urls(["127.0.0.1"]))
        bus = await machine.connect()

        async def ahead() -> bool:
            await machine.beat(bus, accepted=second, applied=second)
            async with desk.hub.store.read() as view:
                return any(one.envelope for one in await paused_rows(view))

        await until(ahead)
        shown = (await desk.client.get("/api/resume")).json()
        assert shown["restored"]
        assert [one["node"] for one in shown["paused"]] == ["box"]
        # Nothing is decided for the node meanwhile.
        await desk.post("/api/apply", {"apps": [{**WEB, "name": "late"}]})
        assert (await newest(desk, machine))[0].version < second.version

        answer = await desk.post("/api/resume", {"nodes": ["box"], "take": take, "reason": "looked"})
        assert answer.json()["restored"] is False, answer.text

        async def resumed() -> bool:
            issued, _ = await newest(desk, machine)
            return issued.version > second.version

        await until(resumed)
        issued, assignment = await newest(desk, machine)
        names = {one.app for one in assignment.instances}
        if take == "nodes":
            assert names == {"web", "db", "late"}
            assert assignment.overwrites is None
            assert second in assignment.since
            assert {one.id for one in held.instances} <= {one.id for one in assignment.instances}
        else:
            assert names == {"web", "late"}
            assert assignment.overwrites == second.digest
            assert issued.version.epoch == second.version.epoch + 1
            assert {one.id for one in held.instances if one.app == "db"} <= set(assignment.removed)
        await bus.close()


# Starts nats-server twice: seconds.
async def test_the_hubs_word_is_kept_until_a_node_that_has_not_beaten_takes_it(tmp_path: Path) -> None:
    """What the backup knew of the node is not the node: it must not end what the operator said."""
    data, copy = tmp_path / "hub", tmp_path / "copy.db"
    async with serving(data, nats_url=None) as desk:
        token = desk.token
        machine = Machine(desk)
        await machine.join(desk.client, await token_of(desk))
        await asyncio.wait_for(desk.hub.bus.connected.wait(), 20)
        bus = await machine.connect()
        await machine.beat(bus)
        await desk.post("/api/apply", {"apps": [WEB]})

        async def has(count: int) -> bool:
            reply = await machine.beat(bus)
            return reply.newest is not None and len((await newest(desk, machine))[1].instances) == count

        await until(lambda: has(1))
        first, _ = await newest(desk, machine)

        async def stored() -> bool:
            await machine.beat(bus, accepted=first, applied=first)
            return desk.hub.intake.facts[machine.id].accepted == first

        await until(stored)
        make_backup(desk.hub.store.path, copy)
        await desk.post("/api/apply", {"apps": [DB]})

        async def issued() -> bool:
            return (await newest(desk, machine))[0] != first and not desk.hub.bus.publisher.waiting

        await until(issued)
        second, _ = await newest(desk, machine)
        await bus.close()
    await restore(copy, data / "hub.db")
    async with serving(data, token, nats_url=None) as desk:
        await asyncio.wait_for(desk.hub.bus.connected.wait(), 20)

        async def paused() -> bool:  # shown by the stream: the node has said nothing yet
            async with desk.hub.store.read() as view:
                return any(one.envelope for one in await paused_rows(view))

        await until(paused)
        answer = await desk.post("/api/resume", {"nodes": ["box"], "take": "hub", "reason": "looked"})
        assert answer.json()["restored"] is False, answer.text
        for _ in range(3):
            await desk.hub.reconciler.once()
        made, assignment = await newest(desk, machine)
        assert made.version > second.version
        assert assignment.overwrites == second.digest
        machine.desk = desk
        assert machine.reply is not None
        machine.reply = msgspec.structs.replace(machine.reply, nats=desk.hub.nats.urls(["127.0.0.1"]))
        bus = await machine.connect()

        async def heard() -> bool:
            await machine.beat(bus, accepted=second, applied=second)
            return desk.hub.intake.facts[machine.id].accepted == second

        await until(heard)
        await desk.hub.reconciler.once()
        assert (await newest(desk, machine))[1].overwrites == second.digest
        async with desk.hub.store.read() as view:
            assert [one.overwrite for one in await paused_rows(view)] == [True]

        async def over() -> bool:
            await machine.beat(bus, accepted=made, applied=made)
            await desk.hub.reconciler.once()
            async with desk.hub.store.read() as view:
                return not await paused_rows(view)

        await until(over)
        await bus.close()
