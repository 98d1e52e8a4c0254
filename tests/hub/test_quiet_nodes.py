"""A node with nothing to say is quiet for minutes: before its hub judges by that, it asks."""

from __future__ import annotations

import asyncio
from pathlib import Path

from skerry_hub.nats import link
from skerry_protocol import subjects

from .hubs import Machine, serving, token_of

APP = {"name": "web", "run": ["/bin/sleep", "9"], "availability": "best-effort", "replicas": 1}


# Starts a real nats-server: seconds.
async def test_a_plan_and_a_word_ask_a_quiet_node_first(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub", nats_url=None) as desk:
        await asyncio.wait_for(desk.hub.bus.connected.wait(), 20)
        machine = Machine(desk)
        assert (await machine.join(desk.client, await token_of(desk))).status_code == 200
        bus = await machine.connect()

        async def beat(_: object) -> None:
            await machine.beat(bus)

        await bus.subscribe(subjects.nudge(desk.hub.identity.region, machine.id), cb=beat)
        await link.settle(bus)

        planned = (await desk.post("/api/plan", {"apps": [APP]})).json()
        assert [(one["kind"], one["nodes"]) for one in planned["changes"]] == [("place", ["box"])]
        assert not planned.get("notes")

        refused = await desk.post("/api/nodes/box/dead", {})
        assert refused.status_code == 409
        assert refused.json()["error"].startswith("cannot declare box dead: it was heard 0 s ago")
        assert (await desk.post("/api/nodes/box/dead", {"confirm": True})).json()["state"] == "dead"
        await bus.close()


# Waits as long as the hub gives a node to answer.
async def test_a_plan_waits_for_nobody_for_long(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub", nats_url=None) as desk:
        await asyncio.wait_for(desk.hub.bus.connected.wait(), 20)
        await Machine(desk).join(desk.client, await token_of(desk))
        async with asyncio.timeout(12):
            planned = (await desk.post("/api/plan", {"apps": [APP]})).json()
        assert planned["notes"] == ["web-1 has no place: 1 not heard from in the last 30 s"]
        assert [one["text"] for one in planned["changes"]] == ["web: is new, and gets no copy for now"]
