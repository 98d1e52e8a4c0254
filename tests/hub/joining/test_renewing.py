"""A node whose login NATS refuses renews it over pinned HTTPS; one that was removed is told so. On real parts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from skerry_agent.disk.disk import StateDir
from skerry_agent.hublink import pinned
from skerry_agent.hublink.bus import Handlers, Login, NodeBus
from skerry_agent.hublink.https import HttpsError
from skerry_agent.hublink.renewing import Removed, Renewed, Renewing, renew
from skerry_agent.joining.identity import Identity, load, machine_key, save
from skerry_agent.joining.join import join
from skerry_agent.joining.machine import Machine
from skerry_agent.network.keys import forget, public_keys
from skerry_hub.store import rows
from skerry_protocol.messages import Ask
from tests.natsrig import running, until, within

from ..hubs import Desk, serving, token_of

MACHINE = Machine("box", "x86_64", 1 << 30, 1000)


async def joined(desk: Desk, state: Path) -> Identity:
    text = await token_of(desk)
    return await asyncio.to_thread(join, text, state, None, None, machine=MACHINE)


async def ignored(_: object, *__: object) -> None:
    """What this node does with everything that it hears."""


def node_bus(identity: Identity, key: bytes, state: Path) -> tuple[NodeBus, Renewing]:
    def renewed(found: Renewed) -> None:
        bus.log_in(Login(found.identity.node, found.identity.credentials, key))

    async def asked(_question: Ask, _send: object) -> None:
        pass

    async def nudged() -> None:
        pass

    async def connected() -> None:
        renewing.let_in()

    renewing = Renewing(identity, key, state, renewed, StateDir(state).envelope)
    bus = NodeBus(
        identity.region,
        Login(identity.node, identity.credentials, key),
        lambda: renewing.identity.nats,
        lambda: pinned.context(pinned.only(lambda: {renewing.identity.word.tls_key})),
        Handlers(ignored, asked, nudged, connected, renewing.shut_out),
    )
    return bus, renewing


# Starts nats-server; and the bus waits between its tries: seconds.
async def test_a_login_that_is_no_use_any_more_is_renewed(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub", nats_url=None) as desk:
        await asyncio.wait_for(desk.hub.bus.connected.wait(), 20)
        state = tmp_path / "node"
        good = await joined(desk, state)
        head, claims, signature = good.credentials.split(".")
        stale = msgspec.structs.replace(good, credentials=f"{head}.{claims}.{signature[:-8]}AAAAAAAA")
        save(state, stale)
        before = public_keys(state)
        forget(state)  # as if they were lost: the hub is to hear of the new ones
        bus, renewing = node_bus(stale, machine_key(state), state)
        async with running(bus.run()):
            await within(bus.connected.wait())
        assert renewing.trouble is None
        async with desk.hub.store.read() as view:
            row = await rows.node(view, "box")
        assert row is not None
        assert (row.link_key, row.direct_key) == public_keys(state) != before
        kept = load(state)
        assert kept is not None
        assert kept == renewing.identity
        assert kept.credentials != stale.credentials


async def test_a_removed_node_is_told_so(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub", nats_url=None) as desk:
        await asyncio.wait_for(desk.hub.bus.connected.wait(), 20)
        state = tmp_path / "node"
        identity = await joined(desk, state)
        bus, renewing = node_bus(identity, machine_key(state), state)
        async with running(bus.run()):
            await within(bus.connected.wait())
            assert (await desk.post("/api/nodes/box/forget", {"confirm": True})).status_code == 200
            await until(lambda: renewing.trouble is not None)
        assert renewing.trouble is not None
        assert "is no member here" in renewing.trouble
        assert "join anew" in renewing.trouble
        assert load(state) == identity


async def test_only_the_machine_itself_can_renew(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub") as desk:
        state, other = tmp_path / "node", tmp_path / "other"
        identity = await joined_without_nats(desk, state)
        thief = machine_key(other)
        found = await asyncio.to_thread(renew, identity, thief, other, lambda: None)
        assert isinstance(found, Removed)
        assert "signature" in found.text
        away = msgspec.structs.replace(identity, hubs=("127.0.0.1:1",))
        with pytest.raises(HttpsError):
            await asyncio.to_thread(renew, away, machine_key(state), state, lambda: None)


async def test_where_a_hub_answered_it_is_asked_again_whatever_it_says_of_itself(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub") as desk:
        state = tmp_path / "node"
        identity = await joined_without_nats(desk, state)
        desk.hub.settings = replace(desk.hub.settings, advertise=("127.0.0.9",))
        found = await asyncio.to_thread(renew, identity, machine_key(state), state, lambda: None)
        assert isinstance(found, Renewed)
        (said, answered) = found.identity.hubs
        assert said.startswith("127.0.0.9:")
        assert answered in identity.hubs
        again = await asyncio.to_thread(renew, found.identity, machine_key(state), state, lambda: None)
        assert isinstance(again, Renewed)
        assert again.identity.hubs == found.identity.hubs


async def joined_without_nats(desk: Desk, state: Path) -> Identity:
    """A member by its files; the hub of this test has no NATS to name."""
    from ..hubs import Machine as Bare  # noqa: PLC0415

    machine = Bare(desk)
    await machine.join(desk.client, await token_of(desk))
    from skerry_agent.disk.disk import write_atomic  # noqa: PLC0415

    (state / "identity").mkdir(parents=True)
    write_atomic(state / "identity" / "machine.key", machine.key, 0o600)
    hub = desk.hub.identity
    return Identity(
        machine.id,
        machine.reply.name if machine.reply else None,  # type: ignore[arg-type]
        hub.mesh,
        hub.region,
        hub.pin,
        hub.delegation_bytes,
        (f"127.0.0.1:{desk.service.port}",),
        (),
        "a.b.c",
    )


async def test_the_hub_is_not_asked_all_the_time(tmp_path: Path) -> None:
    now = 0.0
    async with serving(tmp_path / "hub") as desk:
        state = tmp_path / "node"
        identity = await joined_without_nats(desk, state)
        answers: list[Renewed] = []
        renewing = Renewing(identity, machine_key(state), state, answers.append, lambda: None, lambda: now)
        await renewing.shut_out()
        await renewing.shut_out()
        assert len(answers) <= 1
        now = 31.0
        await renewing.shut_out()
        now = 32.0
        await renewing.shut_out()
        assert len(answers) <= 2


async def test_another_signing_key_ends_revocations_and_nodes_come_back_by_themselves(tmp_path: Path) -> None:
    """Starts nats-server; the node waits between its tries: seconds."""
    async with serving(tmp_path / "hub", nats_url=None) as desk:
        await asyncio.wait_for(desk.hub.bus.connected.wait(), 20)
        state, gone = tmp_path / "node", tmp_path / "gone"
        identity = await joined(desk, state)
        text = await token_of(desk)
        other = await asyncio.to_thread(
            join, text, gone, None, None, machine=msgspec.structs.replace(MACHINE, hostname="gone")
        )
        bus, renewing = node_bus(identity, machine_key(state), state)
        async with running(bus.run()):
            await within(bus.connected.wait())
            assert (await desk.post("/api/nodes/gone/forget", {"confirm": True})).status_code == 200
            assert not await desk.hub.rotate(2)
            assert await desk.hub.rotate(1)
            assert await desk.hub._revoked() == []
            await until(lambda: renewing.identity.credentials != identity.credentials)
            await within(bus.connected.wait())
        out, shut = node_bus(other, machine_key(gone), gone)
        async with running(out.run()):
            await until(lambda: shut.trouble is not None)
        assert not await desk.hub.rotate(1)
        token = desk.token
    async with serving(tmp_path / "hub", token, nats_url=None) as desk:  # and so it stays
        await asyncio.wait_for(desk.hub.bus.connected.wait(), 20)
        moved = msgspec.structs.replace(renewing.identity, nats=desk.hub.nats.urls(["127.0.0.1"]))
        again, _ = node_bus(moved, machine_key(state), state)
        async with running(again.run()):
            await within(again.connected.wait())
