"""A hub put back to a backup from before its node's newest assignment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from nats.aio.client import Client

from skerry_hub.restoring.backup import make_backup, restore
from skerry_hub.restoring.paused import paused_rows
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


@dataclass
class Before:
    """What was so before the disk was put back. `first`: what the backup knows; `second`: the newest, with `held`."""

    token: str
    machine: Machine
    copy: Path
    first: Issued
    second: Issued
    held: Assignment
    envelope: bytes


async def two_assignments(
    data: Path, copy: Path, before: tuple[object, ...] = (WEB,), after: tuple[object, ...] = (WEB, DB)
) -> Before:
    """A hub that issued `first` (WEB), was backed up, and issued `second` (WEB and DB); the stream holds that.

    With other apps, where they are given: what is not in `after` any more is removed.
    """
    async with serving(data, nats_url=None) as desk:
        await asyncio.wait_for(desk.hub.bus.connected.wait(), 20)  # only then its port is known
        machine = Machine(desk)
        await machine.join(desk.client, await token_of(desk))
        bus = await machine.connect()
        await machine.beat(bus)

        async def has(count: int) -> bool:
            reply = await machine.beat(bus)
            return reply.newest is not None and len((await newest(desk, machine))[1].instances) == count

        applied = await desk.post("/api/apply", {"apps": before})
        assert applied.status_code == 200, applied.text
        await until(lambda: has(len(before)))
        first, _ = await newest(desk, machine)
        await says(desk, machine, bus, first)
        make_backup(desk.hub.store.path, copy)
        await desk.post("/api/apply", {"apps": after})
        for name in {one["name"] for one in before} - {one["name"] for one in after}:  # type: ignore[index]
            await desk.client.delete(f"/api/apps/{name}", params={"confirm": True})
        await until(lambda: has(len(after)))
        second, held = await newest(desk, machine)

        async def published() -> bool:
            return not desk.hub.bus.publisher.waiting

        await until(published)
        async with desk.hub.store.read() as view:
            envelope = (await rows.assignments(view, machine.id, newest=1))[-1].envelope
        await bus.close()
    return Before(desk.token, machine, copy, first, second, held, envelope)


@asynccontextmanager
async def put_back(before: Before, data: Path) -> AsyncIterator[Desk]:
    """The hub, serving, with the backup's store. Its machine has not said anything yet."""
    await restore(before.copy, data / "hub.db")
    async with serving(data, before.token, nats_url=None) as desk:
        await asyncio.wait_for(desk.hub.bus.connected.wait(), 20)
        machine = before.machine
        machine.desk = desk
        assert machine.reply is not None
        machine.reply = msgspec.structs.replace(machine.reply, nats=desk.hub.nats.urls(["127.0.0.1"]))
        yield desk


async def says(desk: Desk, machine: Machine, bus: Client, issued: Issued) -> None:
    """The machine beats with this, until the hub has noted it."""

    async def noted() -> bool:
        await machine.beat(bus, accepted=issued, applied=issued)
        fact = desk.hub.intake.facts.get(machine.id)
        return fact is not None and fact.accepted == issued

    await until(noted)


async def paused(desk: Desk) -> bool:
    """Whether a node is paused that showed what it holds."""
    async with desk.hub.store.read() as view:
        return any(one.envelope for one in await paused_rows(view))
