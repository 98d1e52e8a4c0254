"""Two machines with one identity: an operator sees both, keeps one, and the other is told to join anew."""

from __future__ import annotations

from pathlib import Path

from skerry_hub.beats.boots import RULED_OUT, TWO_MACHINES
from skerry_hub.clock import monotonic_ms
from skerry_protocol.messages import Beat, BeatReply

from ..hubs import Desk, Machine, serving, token_of


async def heard(desk: Desk, machine: Machine, boot: str) -> BeatReply:
    answer = desk.hub.hearing.on_beat(machine.id, Beat(boot=boot), monotonic_ms())
    reply = answer if isinstance(answer, BeatReply) or answer is None else await answer
    assert reply is not None
    return reply


async def boots(desk: Desk) -> list[str]:
    return list((await desk.client.get("/api/nodes/box")).json()["boots"])


async def test_an_operator_keeps_one_of_two_machines(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub") as desk:
        token, machine = desk.token, Machine(desk)
        await machine.join(desk.client, await token_of(desk))
        await desk.hub.reconciler.once()
        await heard(desk, machine, "one")
        refused = await desk.post("/api/nodes/box/keep", {"boot": "one"})
        assert (refused.status_code, await boots(desk)) == (409, [])
        await heard(desk, machine, "two")
        for boot in ("one", "two"):
            assert (
                await heard(desk, machine, boot)
            ).trouble is None  # each may be a last word that came late
        assert (await heard(desk, machine, "one")).trouble == TWO_MACHINES
        assert await boots(desk) == ["one", "two"]
    # Both are still known after a restart, also before either is heard.
    async with serving(tmp_path / "hub", token) as desk:
        assert await boots(desk) == ["one", "two"]
        assert (await desk.post("/api/nodes/box/keep", {"boot": "three"})).status_code == 409
        answer = await desk.post("/api/nodes/box/keep", {"boot": "two", "reason": "the old disk"})
        assert (answer.status_code, answer.json()["boots"]) == (200, []), answer.text
        assert (await heard(desk, machine, "one")).trouble == RULED_OUT
        assert (await heard(desk, machine, "two")).trouble is None
        events = (await desk.client.get("/api/events")).json()
        assert any("must join anew: the old disk" in one["text"] for one in events)
    async with serving(tmp_path / "hub", token) as desk:
        assert (await heard(desk, machine, "one")).trouble == RULED_OUT
