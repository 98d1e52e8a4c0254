"""A node that is paused and then forgotten: nobody can resume it, so it must hold up nobody."""

from __future__ import annotations

from pathlib import Path

from skerry_hub.store import rows

from .scene import paused, put_back, two_assignments, until


async def test_a_paused_node_that_is_forgotten_holds_the_region_up_no_longer(tmp_path: Path) -> None:
    before = await two_assignments(tmp_path / "hub", tmp_path / "copy.db")
    async with put_back(before, tmp_path / "hub") as desk:
        await until(lambda: paused(desk))  # shown by the stream
        assert (await desk.post("/api/nodes/box/forget", {"confirm": True})).status_code == 200
        answer = await desk.post("/api/resume", {"nodes": [], "take": "nodes", "reason": "it is gone"})
        assert answer.json()["restored"] is False, answer.text
        async with desk.hub.store.read() as view:
            mesh = await rows.mesh(view)
        assert mesh is not None
        assert not mesh.restored
