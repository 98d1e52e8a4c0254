"""Archives that nothing can want any more go; what runs, what is current and the way back stay."""

from __future__ import annotations

import os
from pathlib import Path

from skerry_hub.artifacts.collecting import DAY_MS, KEPT_REVISIONS, collect
from skerry_hub.clock import now_ms
from tests.tars import artifact, entry, tar

from ..beats.test_retell import beat, newest
from ..hubs import Desk, Machine, serving, token_of


def archive(text: str) -> bytes:
    return tar(entry("run", content=text.encode()))


def app(data: bytes) -> dict[str, object]:
    found = artifact(data)
    return {
        "name": "web",
        "run": ["./run"],
        "availability": "best-effort",
        "artifacts": {"any": {"sha256": found.sha256, "size": found.size}},
    }


async def push(desk: Desk, data: bytes) -> None:
    answer = await desk.client.put(f"/api/artifacts/{artifact(data).sha256}", content=data)
    assert answer.status_code == 200, answer.text


async def test_what_is_wanted_stays_and_the_rest_goes(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub") as desk:
        machine = Machine(desk)
        await machine.join(desk.client, await token_of(desk))
        await beat(desk, machine, None)
        archives = [archive(f"version {number}") for number in range(KEPT_REVISIONS + 3)]
        stray, fresh = archive("never applied"), archive("just pushed")
        await push(desk, stray)
        for data in archives:
            await push(desk, data)
            assert (await desk.post("/api/apply", {"apps": [app(data)]})).status_code == 200
            if data is archives[0]:
                await desk.hub.reconciler.once()
                held = await newest(desk, machine)
                await beat(desk, machine, held)  # and this it goes on running
        later = now_ms() + 2 * DAY_MS
        assert await collect(desk.hub.store, desk.hub.artifacts, now_ms()) == ()  # all were pushed today
        await push(desk, fresh)
        os.utime(tmp_path / "hub" / "artifacts" / artifact(fresh).sha256, (later / 1000, later / 1000))
        # The machine may still come to run everything since what it runs.
        assert await collect(desk.hub.store, desk.hub.artifacts, later) == (artifact(stray).sha256,)
        await desk.hub.reconciler.once()
        await beat(desk, machine, await newest(desk, machine))
        gone = await collect(desk.hub.store, desk.hub.artifacts, later)
        assert set(gone) == {artifact(data).sha256 for data in archives[:3]}
        kept = {one.sha256 for one in desk.hub.artifacts.list()}
        assert kept == {artifact(data).sha256 for data in (*archives[3:], fresh)}

        # The way back to what is gone says what to do; the one within reach is open.
        refused = await desk.post("/api/apps/web/rollback", {"revision": 2})
        assert refused.status_code == 409
        told = refused.json()
        assert told["error"].startswith("cannot go back to revision 2 of web")
        assert "apply" in told["then"]
        assert artifact(archives[1]).sha256[:12] in told["faults"][0]
        assert (await desk.post("/api/apps/web/rollback", {"revision": 5})).status_code == 200
