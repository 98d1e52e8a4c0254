"""A hub put back to an earlier state: nodes that are ahead pause, and an operator says whose word counts.

Each test starts nats-server twice: seconds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry_hub.clock import monotonic_ms
from skerry_hub.model import ClaimState
from skerry_hub.restoring.backup import restore
from skerry_hub.restoring.paused import mark_ahead, paused_rows
from skerry_hub.store import rows
from skerry_protocol.messages import Beat

from ..hubs import serving
from .scene import WEB, newest, paused, put_back, says, two_assignments, until


@pytest.mark.parametrize("take", ["nodes", "hub"])
async def test_a_restored_hub_waits_for_a_word(tmp_path: Path, take: str) -> None:
    before = await two_assignments(tmp_path / "hub", tmp_path / "copy.db")
    machine, second, held = before.machine, before.second, before.held
    async with put_back(before, tmp_path / "hub") as desk:
        bus = await machine.connect()
        await says(desk, machine, bus, second)
        await until(lambda: paused(desk))
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


async def test_the_hubs_word_is_kept_until_a_node_that_has_not_beaten_takes_it(tmp_path: Path) -> None:
    """What the backup knew of the node is not the node: it must not end what the operator said."""
    before = await two_assignments(tmp_path / "hub", tmp_path / "copy.db")
    machine, second = before.machine, before.second
    async with put_back(before, tmp_path / "hub") as desk:
        await until(lambda: paused(desk))  # shown by the stream: the node has said nothing yet
        answer = await desk.post("/api/resume", {"nodes": ["box"], "take": "hub", "reason": "looked"})
        assert answer.json()["restored"] is False, answer.text
        for _ in range(3):
            await desk.hub.reconciler.once()
        made, assignment = await newest(desk, machine)
        assert made.version > second.version
        assert assignment.overwrites == second.digest
        bus = await machine.connect()
        await says(desk, machine, bus, second)
        await desk.hub.reconciler.once()
        assert (await newest(desk, machine))[1].overwrites == second.digest
        async with desk.hub.store.read() as view:
            assert [one.overwrite for one in await paused_rows(view)] == [True]
        await says(desk, machine, bus, made)
        await desk.hub.reconciler.once()
        async with desk.hub.store.read() as view:
            assert await paused_rows(view) == []
        await bus.close()


async def test_a_claim_that_its_node_let_go_since_the_backup_is_not_taken_up_again(tmp_path: Path) -> None:
    """Somebody who is away may have been given the next one, and still hold it."""
    ledger = {
        **WEB,
        "name": "ledger",
        "availability": "ha",
        "ha": {"overlap": "forbid", "lost_after_ms": 60_000},
    }
    before = await two_assignments(tmp_path / "hub", tmp_path / "copy.db", (WEB, ledger), (WEB,))
    machine, second = before.machine, before.second
    async with put_back(before, tmp_path / "hub") as desk:
        bus = await machine.connect()
        await says(desk, machine, bus, second)
        await until(lambda: paused(desk))
        answer = await desk.post("/api/resume", {"nodes": ["box"], "take": "hub"})
        assert answer.json()["restored"] is False, answer.text

        async def overwritten() -> bool:
            return (await newest(desk, machine))[0].version > second.version

        await until(overwritten)
        await says(desk, machine, bus, (await newest(desk, machine))[0])
        async with desk.hub.store.read() as view:
            (claim,) = await rows.claims(view)
        assert (claim.claim, claim.state) != (1, ClaimState.HELD)
        _, assignment = await newest(desk, machine)
        assert all(one.claim != 1 for one in assignment.instances)
        why = (await desk.client.get("/api/apps/ledger/why")).json()
        assert "put back" in why["headline"], why["headline"]
        await bus.close()


async def test_a_number_that_was_given_twice_is_the_nodes(tmp_path: Path) -> None:
    """The restored hub made another assignment under the number of the one that its node holds, before it knew."""
    before = await two_assignments(tmp_path / "hub", tmp_path / "copy.db")
    machine, second = before.machine, before.second
    await restore(before.copy, tmp_path / "hub" / "hub.db")
    async with serving(tmp_path / "hub", before.token, nats_url="none") as desk:
        machine.desk = desk
        spoken = Beat(boot="boot-1", accepted=before.first, applied=before.first)
        desk.hub.hearing.on_beat(machine.id, spoken, monotonic_ms())
        await desk.post("/api/apply", {"apps": [{**WEB, "name": "late"}]})
        await desk.hub.reconciler.once()
        again, _ = await newest(desk, machine)
        assert (again.version, again.digest == second.digest) == (second.version, False)
        await mark_ahead(desk.hub.store, machine.id, second, before.envelope)
        answer = await desk.post("/api/resume", {"nodes": ["box"], "take": "nodes"})
        assert answer.status_code == 200, answer.text
        await desk.hub.reconciler.once()
        issued, assignment = await newest(desk, machine)
        assert issued.version > second.version
        assert second in assignment.since
        assert {one.app for one in assignment.instances} == {"web", "db", "late"}
