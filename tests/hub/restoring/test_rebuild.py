"""A hub that was lost whole: with the root's key and its nodes the region is governed again.

Each test starts nats-server: seconds.
"""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_hub.daemon import first_admin
from skerry_hub.identity import Identity, IdentityError, create
from skerry_hub.loops.claims import lease_of
from skerry_hub.model import ClaimState
from skerry_hub.restoring import rebuild
from skerry_hub.restoring.gaps import gaps
from skerry_hub.restoring.paused import opened_envelope
from skerry_hub.store import rows
from skerry_protocol import signing
from skerry_protocol.app import App, Artifact, Overlap
from skerry_protocol.codec import WireError, decode, encode
from skerry_protocol.ids import AppName, Claim, InstanceId, MeshName, NodeId, NodeName, Region
from skerry_protocol.messages import AppRevision, Assignment, Instance, JoinReply, Returning, Version
from tests.hub import builders as b

from ..hubs import Desk, Machine, serving, token_of
from .scene import WEB, Before, newest, says, two_assignments, until

LEDGER = {
    **WEB,
    "name": "ledger",
    "availability": "ha",
    "ha": {"overlap": "forbid", "lost_after_ms": 60_000},
}


@asynccontextmanager
async def rebuilt(before: Before, data: Path) -> AsyncIterator[Desk]:
    """Another hub in the place of the one that is lost; its machine has not said anything yet."""
    root = data.parent / "root.key"
    (data / "root.key").rename(root)
    shutil.rmtree(data)
    identity = rebuild.keys(data, MeshName("coast"), Region("north"), root)
    token = await first_admin(identity, "admin", rebuild.settings(identity))
    async with serving(data, token, nats_url=None) as desk:
        await asyncio.wait_for(desk.hub.bus.connected.wait(), 20)
        before.machine.desk = desk
        before.machine.number = 0
        yield desk


def returning(machine: Machine, envelope: bytes, **other: object) -> signing.Signed:
    word = Returning(machine.public, machine.desk.hub.identity.tls_pin, envelope, "box", "x86_64")
    return signing.sign(machine.key, signing.RETURN, encode(msgspec.structs.replace(word, **other)))


async def test_the_nodes_tell_what_is_wanted_where_it_is_and_by_which_claim(tmp_path: Path) -> None:
    before = await two_assignments(tmp_path / "hub", tmp_path / "copy.db", (WEB,), (WEB, LEDGER))
    machine = before.machine
    async with rebuilt(before, tmp_path / "hub") as desk:
        asked = signing.sign(
            machine.key, signing.RENEW, signing.fetch_words(machine.id, desk.hub.identity.tls_pin)
        )
        assert (await desk.client.post("/renew", content=encode(asked))).status_code == 428
        answer = await desk.client.post("/return", content=encode(returning(machine, before.envelope)))
        assert answer.status_code == 200, answer.text
        machine.reply = decode(JoinReply, answer.content)
        assert (machine.reply.name, machine.reply.state) == ("box", "joined")
        bus = await machine.connect()
        await says(desk, machine, bus, before.second)

        shown = (await desk.client.get("/api/resume")).json()
        assert [one["node"] for one in shown["paused"]] == ["box"]
        assert "lost with the hub" in shown["gaps"][0]
        done = await desk.post("/api/resume", {"nodes": ["box"], "take": "nodes", "reason": "all there is"})
        assert done.json()["restored"] is False, done.text

        async def governed() -> bool:
            return (await newest(desk, machine))[0].version > before.second.version

        await desk.post("/api/apply", {"apps": [{**LEDGER, "name": "later"}]})
        await until(governed)
        _, assignment = await newest(desk, machine)
        held = {(one.id, one.revision, one.claim, one.lease) for one in before.held.instances}
        assert held <= {(one.id, one.revision, one.claim, one.lease) for one in assignment.instances}
        assert before.second in assignment.since
        assert [app["name"] for app in (await desk.client.get("/api/apps")).json()] == [
            "later",
            "ledger",
            "web",
        ]
        async with desk.hub.store.read() as view:
            (claim,) = await rows.claims(view)
        assert (claim.app, claim.claim, claim.state) == ("ledger", 1, ClaimState.HELD)

        async def waits() -> bool:
            why = (await desk.client.get("/api/apps/later/why")).json()
            return "a node that is away may hold a claim" in why["headline"]

        await until(waits)
        await bus.close()


async def test_who_is_no_member_is_not_let_in(tmp_path: Path) -> None:
    before = await two_assignments(tmp_path / "hub", tmp_path / "copy.db")
    machine = before.machine
    async with rebuilt(before, tmp_path / "hub") as desk:
        stranger = Machine(desk, "stranger")

        async def refused(by: Machine, envelope: bytes, status: int, why: str, **other: object) -> None:
            answer = await desk.client.post("/return", content=encode(returning(by, envelope, **other)))
            assert (answer.status_code, why in answer.text) == (status, True), answer.text

        await refused(stranger, before.envelope, 403, "given to another machine")
        await refused(machine, before.envelope, 403, "for another hub", tls_key=b"x" * 32)
        await refused(machine, before.envelope, 400, "does not fit the key", machine_key=stranger.public)
        await refused(machine, b"", 403, "no word of this mesh")
        thief = create(tmp_path / "thief", MeshName("coast"), Region("north"))
        signed = signing.sign(thief.hub_key, signing.ASSIGNMENT, encode(before.held))
        await refused(machine, encode(signing.Envelope(signed, thief.delegation)), 403, "another mesh's root")
        named = (await desk.client.get("/api/nodes")).json()
        assert named == []

        answer = await desk.client.post("/return", content=encode(returning(machine, before.envelope)))
        assert answer.status_code == 200
        assert (await desk.post("/api/nodes/box/forget", {"confirm": True})).status_code == 200
        await refused(machine, before.envelope, 410, "was forgotten")


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
async def test_between_two_words_the_highest_claim_wins(tmp_path: Path, order: tuple[str, str]) -> None:
    """Each of two nodes was once given the same copy; the lower claim ended before the higher one was given."""
    root = tmp_path / "root.key"
    lost = create(tmp_path / "lost", MeshName("coast"), Region("north"), root)
    data = tmp_path / "hub"
    identity = rebuild.keys(data, MeshName("coast"), Region("north"), root)
    token = await first_admin(identity, "admin", rebuild.settings(identity))
    app = b.ha("ledger", Overlap.FORBID)
    async with serving(data, token) as desk:
        for name, claim in (("one", 3), ("two", 7)):
            machine = Machine(desk, name)
            held = Assignment(
                MeshName("coast"),
                Region("north"),
                machine.id,
                Version(1, 1, claim),
                (Instance(InstanceId(f"ledger-1-{name}"), app.name, 1, 1, Claim(claim), lease_of(app)),),
                (AppRevision(1, app),),
                node_name=NodeName(name),
            )
            signed = signing.sign(lost.hub_key, signing.ASSIGNMENT, encode(held))
            envelope = encode(signing.Envelope(signed, lost.delegation))
            answer = await desk.client.post("/return", content=encode(returning(machine, envelope)))
            assert answer.status_code == 200, answer.text
        for name in order:
            done = await desk.post("/api/resume", {"nodes": [name], "take": "nodes"})
            assert done.status_code == 200, done.text
        async with desk.hub.store.read() as view:
            (claim_row,) = await rows.claims(view)
            (placed,) = await rows.placements(view)
            assert (claim_row.claim, claim_row.instance) == (7, "ledger-1-two")
            assert placed.instance == "ledger-1-two"


async def test_another_machine_keeps_its_name(tmp_path: Path) -> None:
    before = await two_assignments(tmp_path / "hub", tmp_path / "copy.db")
    async with rebuilt(before, tmp_path / "hub") as desk:
        assert (await Machine(desk).join(desk.client, await token_of(desk))).status_code == 200
        asked = returning(before.machine, before.envelope)
        answer = await desk.client.post("/return", content=encode(asked))
        assert (answer.status_code, "another machine has that name" in answer.text) == (409, True)


async def test_only_a_hub_that_was_rebuilt_believes_what_it_is_shown(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub") as desk:
        answer = await desk.client.post("/return", content=encode(returning(Machine(desk), b"")))
        assert (answer.status_code, "was not rebuilt" in answer.text) == (403, True)


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    made = create(tmp_path_factory.mktemp("hub"), MeshName("coast"), Region("north"))
    return dataclasses.replace(made, rebuilt=True)


@given(st.binary(max_size=200))
def test_an_envelope_of_any_bytes_is_refused(identity: Identity, data: bytes) -> None:
    with pytest.raises((WireError, signing.BadSignature)):
        opened_envelope(identity, data)


def test_the_hub_before_it_counts_and_one_of_another_region_does_not(identity: Identity) -> None:
    root, hub = (identity.data / "root.key").read_bytes(), signing.new_key()
    for region, believed in (("north", True), ("south", False)):
        word = signing.delegate(root, identity.mesh, Region(region), 0, signing.public_key(hub), b"t" * 32)
        held = encode(signing.Envelope(signing.sign(hub, signing.ASSIGNMENT, b"payload"), word))
        if believed:
            assert opened_envelope(identity, held) == b"payload"
        for other in (dataclasses.replace(identity, rebuilt=False), *([] if believed else [identity])):
            with pytest.raises(signing.BadSignature):
                opened_envelope(other, held)


def holding(*copies: Instance, app: App | None = None, revision: int = 1) -> Assignment:
    entries = (AppRevision(revision, app or b.best_effort("web", 2)),)
    return Assignment(MeshName("coast"), Region("north"), NodeId("n"), Version(1, 1, 1), copies, entries)


def copy(number: int, revision: int = 1) -> Instance:
    return Instance(InstanceId(f"web-{number}-x"), AppName("web"), number, revision)


def test_what_is_missing_double_or_said_in_two_ways_is_listed() -> None:
    names = {NodeId("a"): NodeName("n1"), NodeId("b"): NodeName("n2")}
    one = gaps({NodeId("a"): holding(copy(1))}, names, ())
    assert any(line.startswith("web-2: with no node that has returned") for line in one)
    both = {NodeId("a"): holding(copy(1), copy(2)), NodeId("b"): holding(copy(1))}
    assert any(line.startswith("web-1: on n1, n2;") for line in gaps(both, names, ()))
    other = {**both, NodeId("b"): holding(app=b.best_effort("web", 2, env={"A": "1"}))}
    assert any("n1, n2 hold different contents as revision 1" in line for line in gaps(other, names, ()))
    archive = {"any": Artifact("c" * 64, 1)}
    lacking = {NodeId("a"): holding(app=b.best_effort("web", 0, artifacts=archive))}
    assert any(line.startswith("web: its archives are not here") for line in gaps(lacking, names, ()))
    assert len(gaps(lacking, names, ("c" * 64,))) == 1


def test_without_the_root_key_there_is_no_rebuilding(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="without the mesh's root key"):
        rebuild.keys(tmp_path / "hub", MeshName("coast"), Region("north"), tmp_path / "none")
