"""The hub as a whole, on real parts: SQLite, TLS, its own nats-server; a machine of the test's own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from skerry_hub.hub import Settings
from skerry_hub.identity import IdentityError, read
from skerry_hub.nats import link
from skerry_hub.service import Service
from skerry_protocol import signing, subjects
from skerry_protocol.codec import decode
from skerry_protocol.messages import Assignment

from .hubs import Desk, Machine, made, serving, token_of

APP = {"name": "web", "run": ["/bin/sleep", "9"], "availability": "best-effort", "replicas": 1}


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Waits for what another process does; gives up after 20 s."""
    async with asyncio.timeout(20):
        while not await true():  # noqa: ASYNC110 - another process says nothing when it is done
            await asyncio.sleep(0.05)


async def placed(desk: Desk) -> bool:
    return bool((await desk.client.get("/api/apps/web")).json()["placed"])


# Starts a real nats-server: seconds.
async def test_an_apply_reaches_the_node(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub", nats_url=None) as desk:
        await asyncio.wait_for(desk.hub.bus.connected.wait(), 20)
        machine = Machine(desk)
        assert (await machine.join(desk.client, await token_of(desk))).status_code == 200
        bus = await machine.connect()
        heard: asyncio.Queue[bytes] = asyncio.Queue()

        async def took(message: object) -> None:
            heard.put_nowait(message.data)  # type: ignore[attr-defined]

        await bus.subscribe(subjects.assign(desk.hub.identity.region, machine.id), cb=took)
        await link.settle(bus)
        reply = await machine.beat(bus)
        assert (reply.term, reply.newest, reply.trouble) == (1, None, None)

        answer = await desk.post("/api/apply", {"apps": [APP], "expect": {"web": 0}, "reason": "first"})
        assert answer.json()["revisions"] == {"web": 1}, answer.text
        envelope = decode(signing.Envelope, await asyncio.wait_for(heard.get(), 20))
        word = signing.open_delegation(envelope.delegation, desk.hub.identity.pin)
        payload = signing.verify(word.hub_key, signing.ASSIGNMENT, envelope.assignment)
        assignment = decode(Assignment, payload)
        assert [one.app for one in assignment.instances] == ["web"]
        assert await placed(desk)

        reply = await machine.beat(bus)
        assert reply.newest is not None
        assert reply.newest.digest == signing.digest(payload)
        await machine.beat(bus, accepted=reply.newest, applied=reply.newest)
        node = "/api/nodes/box"

        async def accepted() -> bool:
            shown = (await desk.client.get(node)).json()
            return bool(shown["accepted"]) and shown["accepted"] == shown["newest"] == shown["applied"]

        await until(accepted)
        fetched = await desk.client.get(f"/assignments/{reply.newest.digest.hex()}", headers=machine.header())
        assert decode(signing.Envelope, fetched.content) == envelope

        # Forgotten: thrown out of NATS, and told so when it joins with the same key.
        assert (await desk.post(f"{node}/forget", {"confirm": True})).status_code == 200

        async def gone() -> bool:
            return not bus.is_connected

        await until(gone)
        again = await machine.join(desk.client, await token_of(desk))
        assert (again.status_code, again.json()["then"]) == (410, "join with a new key")
        await bus.close()


async def test_a_port_that_is_taken_is_named_where_people_look(tmp_path: Path) -> None:
    """Seconds: nats-server is tried."""
    token = await made(tmp_path / "hub")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = await Service.open(read(tmp_path / "hub"), Settings("127.0.0.1", 0, nats_port=port))
        try:
            await service.start()
            desk = Desk(service, token)

            async def said() -> bool:
                loud = (await desk.client.get("/api/status")).json()["loud"]
                return any("NO NODES HEARD" in text and "address already in use" in text for text in loud)

            async with desk.client:
                await until(said)
        finally:
            await service.stop()


async def test_damaged_nats_keys_are_one_line(tmp_path: Path) -> None:
    await made(tmp_path / "hub")
    (tmp_path / "hub" / "nats.keys").write_bytes(b"x")
    with pytest.raises(IdentityError, match=r"cannot read .*nats.keys: .* \(put back a copy of the folder\)"):
        await Service.open(read(tmp_path / "hub"), Settings("127.0.0.1", 0, nats="none"))
