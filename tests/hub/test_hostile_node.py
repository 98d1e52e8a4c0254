"""A member with valid credentials that says whatever it likes: it can hurt nobody but itself."""

from __future__ import annotations

import asyncio
import types
import typing
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any

import msgpack
import msgspec
import nats.errors
from nats.aio.client import Client

from skerry_protocol import subjects
from skerry_protocol.codec import decode, encode
from skerry_protocol.ids import Region
from skerry_protocol.messages import Beat, BeatReply, Entry, Event, ReportBatch, Step

from .hubs import Machine, serving, token_of
from .test_hub_whole import until

ROUNDS = 300
LEDGER = {
    "name": "ledger",
    "run": ["/bin/sleep", "9"],
    "availability": "ha",
    "ha": {"overlap": "forbid", "lost_after_ms": 60_000},
    "place": {"nodes": ["honest"]},
}
NUMBERS = (0, 1, -1, 7, 2**31, 2**32, 2**53, 2**63 - 1, -(2**63), 2**64 - 1)
TEXTS = (
    "",
    "x" * 20_000,
    "\0",
    "../../etc",
    "a\nb",
    "\x1b[31m",
    "\U0001d54f" * 500,
    "honest",
    "ledger",
    "<script>",
    "'; --",
)


def hostile(kind: Any, random: Random, known: dict[str, str]) -> Any:
    """A value of a type, chosen to do harm."""
    if isinstance(kind, typing.NewType):
        return hostile(kind.__supertype__, random, known)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, types.UnionType}:
        return hostile(random.choice(inner), random, known)
    if origin is tuple:
        return tuple(hostile(inner[0], random, known) for _ in range(random.choice((0, 1, 3, 40))))
    if origin is dict:
        return {
            hostile(inner[0], random, known): hostile(inner[1], random, known)
            for _ in range(random.choice((0, 1, 30)))
        }
    if kind is type(None):
        return None
    if issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind)
        return kind(**{name: hostile(hints[name], random, known) for name in kind.__struct_fields__})
    if issubclass(kind, Enum):
        return random.choice(list(kind))
    by_type: dict[type, Callable[[], Any]] = {
        int: lambda: random.choice(NUMBERS),
        str: lambda: random.choice((*TEXTS, *known.values())),
        bytes: lambda: random.randbytes(random.choice((0, 32, 5_000))),
        bool: lambda: random.random() < 0.5,
    }
    return by_type[kind]()


def broken(random: Random) -> bytes:
    """Bytes that are no message."""
    nested: object = []
    for _ in range(400):
        nested = [nested]
    return random.choice(
        (
            b"",
            random.randbytes(200),
            msgpack.packb(nested),
            msgpack.packb({"boot": {"boot": []}, "claims": 3}),
            b"\xdf\xff\xff\xff\xff",  # a map that says it has four thousand million keys
            b"\xc6\xff\xff\xff\xff" + b"x" * 100,
        )
    )


async def attack(evil: Client, region: Region, enemy: Machine, random: Random, known: dict[str, str]) -> None:
    """All that it may send, as it may not be."""
    for number in range(ROUNDS):
        said = hostile(Beat, random, known)
        entries = tuple(
            Entry(
                random.choice(NUMBERS),
                hostile(Step | None, random, known),
                hostile(Event | None, random, known),
            )
            for _ in range(20)
        )
        batch = ReportBatch(random.choice(("box", "", "x" * 5_000)), entries)
        for subject, message in ((subjects.beat, said), (subjects.report, batch)):
            data = broken(random) if number % 3 == 0 else encode(message)
            if len(data) < evil.max_payload:
                await evil.publish(subject(region, enemy.id), data, reply=f"_INBOX_{enemy.id}.1")


# Starts a real nats-server: seconds.
async def test_whatever_it_says_the_others_work_and_the_hub_goes_on(tmp_path: Path) -> None:
    random = Random(1)
    async with serving(tmp_path / "hub", nats_url=None) as desk:
        await asyncio.wait_for(desk.hub.bus.connected.wait(), 20)
        honest, enemy = Machine(desk, "honest"), Machine(desk, "enemy")
        for machine in (honest, enemy):
            assert (await machine.join(desk.client, await token_of(desk))).status_code == 200
        bus, evil = await honest.connect(), await enemy.connect()
        await honest.beat(bus)
        applied = await desk.post("/api/apply", {"apps": [LEDGER]})
        assert applied.status_code == 200, applied.text

        async def has_work() -> bool:
            return (await honest.beat(bus)).newest is not None

        await until(has_work)
        newest = (await honest.beat(bus)).newest
        copy = (await desk.client.get("/api/apps/ledger/why")).json()["copies"][0]
        known = {"node": honest.id, "instance": copy["instance"], "boot": "boot-1"}
        region = desk.hub.identity.region
        beat = subjects.beat(region, enemy.id)
        await attack(evil, region, enemy, random, known)
        try:
            await evil.flush()
        except nats.errors.Error:
            evil = await enemy.connect()  # the server may have thrown it out: its own loss

        async def served() -> bool:
            """The hub has come to what was said last."""
            answer = await evil.request(beat, encode(Beat(boot="last")), timeout=5)
            return decode(BeatReply, answer.data).number > 0

        await until(served)
        assert desk.hub.reconciler.trouble is None
        reply = await honest.beat(bus, accepted=newest, applied=newest)
        assert (reply.trouble, reply.newest) == (None, newest)
        for path in ("/api/nodes", "/api/apps", "/api/apps/ledger/why", "/api/events", "/api/status"):
            answer = await desk.client.get(path)
            assert answer.status_code == 200, (path, answer.text)
        assert [one["node"] for one in (await desk.client.get("/api/apps/ledger/why")).json()["copies"]] == [
            "honest"
        ]
        nodes = {one["name"]: one for one in (await desk.client.get("/api/nodes")).json()}
        assert not nodes["honest"]["conditions"]
        await bus.close()
        await evil.close()
