"""Who claims to be ahead of the hub must show it: the region pauses for what this hub signed, not for a mere claim."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from skerry_hub.nats import link
from skerry_hub.nats.link import BusError
from skerry_hub.restoring.ahead import Ahead
from skerry_hub.restoring.paused import paused_rows, shown
from skerry_hub.store import rows
from skerry_protocol import signing, subjects
from skerry_protocol.codec import decode, encode
from skerry_protocol.ids import NodeId
from skerry_protocol.messages import Ask, AskPart, Assignment, Issued, Version

from ..beats.test_retell import beat
from ..hubs import Desk, Machine, serving, token_of
from .scene import WEB, newest, paused, put_back, says, two_assignments, until

PART = 100


def never_issued(desk: Desk, machine: Machine, generation: int = 9, **more: object) -> tuple[Issued, bytes]:
    """An assignment that this hub's key signed and its store does not have, as after a disk was put back."""
    identity = desk.hub.identity
    fields = {"node": machine.id, "version": Version(identity.serial, 1, generation), **more}
    assignment = Assignment(identity.mesh, identity.region, **fields)  # type: ignore[arg-type]
    payload = encode(assignment)
    signed = signing.sign(identity.hub_key, signing.ASSIGNMENT, payload)
    envelope = encode(signing.Envelope(signed, identity.delegation))
    return Issued(assignment.version, signing.digest(payload)), envelope


class Answers:
    """What nodes answer when they are asked for what they hold. `parts` None: nobody answers."""

    def __init__(self, data: bytes | None) -> None:
        self.data = data
        self.asked: list[str] = []
        self.go = asyncio.Event()
        self.go.set()

    async def ask(self, node: NodeId, question: Ask) -> AsyncGenerator[AskPart, None]:
        self.asked.append(question.what)
        await self.go.wait()
        if self.data is None:
            raise BusError("cannot ask: no answer")
        for start in range(0, len(self.data), PART):
            yield AskPart(data=self.data[start : start + PART])
        yield AskPart(last=True)


async def restored(desk: Desk) -> bool:
    async with desk.hub.store.read() as view:
        mesh = await rows.mesh(view)
    assert mesh is not None
    return mesh.restored


async def conditions(desk: Desk) -> str:
    await desk.hub.reconciler.once()
    return " ".join((await desk.client.get("/api/nodes/box")).json()["conditions"])


async def joined(desk: Desk) -> Machine:
    machine = Machine(desk)
    await machine.join(desk.client, await token_of(desk))
    return machine


async def test_a_claim_alone_pauses_only_who_makes_it(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub") as desk:
        machine = await joined(desk)
        other = Machine(desk)
        stranger, _ = never_issued(desk, other)
        forged = encode(signing.Envelope(signing.Signed(b"x", b"y" * 64), desk.hub.identity.delegation))
        another_nodes = never_issued(desk, other)[1]
        for answer in (None, b"", forged, another_nodes, b"\xff" * 9):
            answers = Answers(answer)
            ahead = Ahead(desk.hub.store, desk.hub.identity, answers.ask, lambda: None)
            ahead.claimed(machine.id, stranger, 0.0)
            await ahead.settled()
            assert answers.asked == ["assignment"]
            assert not await restored(desk)
        async with desk.hub.store.read() as view:
            assert [one.node for one in await paused_rows(view)] == [machine.id]
        assert "cannot show it" in await conditions(desk)
        shown_view = (await desk.client.get("/api/resume")).json()
        assert not shown_view["restored"]
        assert "cannot show it" in shown_view["paused"][0]["text"]
        assert any(
            "skerry hub resume" in text for text in (await desk.client.get("/api/status")).json()["loud"]
        )
        events = [one["code"] for one in (await desk.client.get("/api/events")).json()]
        assert events.count("node-ahead-unshown") == 1
        # The operator's word ends it, for that node alone.
        refused = await desk.post("/api/resume", {"nodes": ["box"], "take": "nodes"})
        assert refused.status_code == 409
        assert "cannot take the word of box" in refused.json()["error"]
        taken = await desk.post("/api/resume", {"nodes": ["box"], "take": "hub"})
        assert (taken.status_code, taken.json()["paused"]) == (200, []), taken.text


async def test_what_this_hub_signed_pauses_the_region(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub") as desk:
        machine = await joined(desk)
        issued, envelope = never_issued(desk, machine)
        ahead = Ahead(desk.hub.store, desk.hub.identity, Answers(envelope).ask, lambda: None)
        ahead.claimed(machine.id, issued, 0.0)
        await ahead.settled()
        assert await restored(desk)
        async with desk.hub.store.read() as view:
            (row,) = await paused_rows(view)
        assert row.envelope == envelope


async def test_a_later_proof_counts_and_another_unproven_node_does_not_hold_the_region(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path / "hub") as desk:
        machine = await joined(desk)
        liar = Machine(desk, "liar")
        await liar.join(desk.client, await token_of(desk))
        issued, envelope = never_issued(desk, machine)
        answers = Answers(None)
        ahead = Ahead(desk.hub.store, desk.hub.identity, answers.ask, lambda: None)
        for node in (machine.id, liar.id):
            ahead.claimed(node, issued, 0.0)
        await ahead.settled()
        answers.data = envelope
        ahead.again(machine.id, issued, 1.0)  # too soon to ask again
        await ahead.settled()
        assert not await restored(desk)
        ahead.again(machine.id, issued, 100.0)
        await ahead.settled()
        assert await restored(desk)
        answer = await desk.post("/api/resume", {"nodes": ["box"], "take": "nodes"})
        assert answer.json()["restored"] is False, answer.text
        assert [one["node"] for one in answer.json()["paused"]] == ["liar"]


async def test_no_claim_is_given_while_the_first_question_is_out(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub") as desk:
        machine = await joined(desk)
        issued, _ = never_issued(desk, machine)
        answers = Answers(None)
        answers.go.clear()
        ahead = Ahead(desk.hub.store, desk.hub.identity, answers.ask, lambda: None)
        assert not ahead.in_doubt(0.0)
        ahead.claimed(machine.id, issued, 0.0)
        assert ahead.in_doubt(0.0)
        assert not ahead.in_doubt(60.0)  # a node that answers slowly holds nobody up for longer
        answers.go.set()
        await ahead.settled()
        assert not ahead.in_doubt(0.0)
        other, _ = never_issued(desk, machine, generation=10)
        answers.go.clear()
        ahead.claimed(machine.id, other, 0.0)
        assert not ahead.in_doubt(0.0)  # nor does one that claims something else each time
        answers.go.set()
        await ahead.settled()


async def test_old_assignments_that_this_hub_forgot_prove_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub") as desk:
        machine = await joined(desk)
        await beat(desk, machine, None)
        await desk.post("/api/apply", {"apps": [WEB]})
        await desk.hub.reconciler.once()
        assert (await newest(desk, machine))[0].version.generation == 1
        old, envelope = never_issued(desk, machine, generation=0)
        answers = Answers(envelope)
        ahead = Ahead(desk.hub.store, desk.hub.identity, answers.ask, lambda: None)
        ahead.claimed(machine.id, old, 0.0)
        await ahead.settled()
        assert not await restored(desk)


def test_a_delegation_with_a_higher_serial_is_proof_too(tmp_path: Path) -> None:
    root, key, node = signing.new_key(), signing.new_key(), NodeId("naaaaaaaaaaaaaaaa")
    from skerry_hub.identity import Identity  # noqa: PLC0415
    from skerry_protocol.ids import MeshName, Region  # noqa: PLC0415

    mesh, region = MeshName("coast"), Region("north")

    def word(serial: int, hub: bytes) -> signing.Signed:
        return signing.delegate(root, mesh, region, serial, signing.public_key(hub), b"t" * 32)

    mine = signing.new_key()
    identity = Identity(
        tmp_path, mesh, region, 2, signing.public_key(root), mine, word(2, mine), b"", b"t" * 32
    )
    for serial, proves in ((3, True), (2, False), (1, False)):
        payload = encode(Assignment(mesh, region, node, Version(serial, 1, 1)))
        issued = Issued(Version(serial, 1, 1), signing.digest(payload))
        envelope = encode(signing.Envelope(signing.sign(key, signing.ASSIGNMENT, payload), word(serial, key)))
        assert (shown(identity, node, issued, envelope) is not None) is proves


# Starts nats-server twice: seconds.
@pytest.mark.parametrize("take", ["nodes", "hub"])
async def test_a_restored_hub_without_its_stream_asks_the_nodes(tmp_path: Path, take: str) -> None:
    before = await two_assignments(tmp_path / "hub", tmp_path / "copy.db")
    machine, second, held = before.machine, before.second, before.held
    shutil.rmtree(tmp_path / "hub" / "nats")
    async with put_back(before, tmp_path / "hub") as desk:
        bus = await machine.connect()
        await answering(desk, machine, bus, before.envelope)
        await says(desk, machine, bus, second)
        await until(lambda: paused(desk))
        answer = await desk.post("/api/resume", {"nodes": ["box"], "take": take, "reason": "looked"})
        assert answer.json()["restored"] is False, answer.text

        async def resumed() -> bool:
            return (await newest(desk, machine))[0].version > second.version

        await until(resumed)
        _, assignment = await newest(desk, machine)
        if take == "nodes":
            assert {one.id for one in held.instances} <= {one.id for one in assignment.instances}
        else:
            assert {one.id for one in held.instances if one.app == "db"} <= set(assignment.removed)
        await bus.close()


async def answering(desk: Desk, machine: Machine, bus: Client, envelope: bytes) -> None:
    """The machine answers questions for its assignment, in parts."""

    async def asked(message: Msg) -> None:
        assert decode(Ask, message.data).what == "assignment"
        for start in range(0, len(envelope), PART):
            part = AskPart(data=envelope[start : start + PART], last=start + PART >= len(envelope))
            await bus.request(message.reply, encode(part), timeout=5)

    await bus.subscribe(subjects.ask(desk.hub.identity.region, machine.id), cb=asked)
    await link.settle(bus)
