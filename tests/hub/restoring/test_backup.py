"""Backups while the hub writes, putting one back, and resuming: nothing is lost that was committed before."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from skerry_hub.daemon import main
from skerry_hub.restoring.backup import make_backup, restore
from skerry_hub.store import Store, StoreError, rows

from ..hubs import serving

WEB = {"name": "web", "run": ["/bin/sleep", "9"], "availability": "best-effort"}


async def test_a_backup_while_writing_is_whole(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub") as desk:

        async def write() -> None:
            for number in range(20):
                await desk.post("/api/apply", {"apps": [{**WEB, "env": {"N": str(number)}}]})

        writing = asyncio.create_task(write())
        copies = []
        while not writing.done():
            copies.append((await desk.client.get("/api/backup")).content)
        await writing
        path = desk.hub.identity.data
        assert not list(path.glob(".backup-*"))
    for number, content in enumerate(copies):
        file = tmp_path / f"{number}.db"
        file.write_bytes(content)
        store = await Store.open(file)
        async with store.read() as view:
            app, mesh = await rows.app(view, "web"), await rows.mesh(view)
        await store.close()
        assert mesh is not None
        assert app is None or app.app is not None


async def test_restoring_marks_the_store(tmp_path: Path) -> None:
    data, copy = tmp_path / "hub", tmp_path / "copy.db"
    async with serving(data) as desk:
        await desk.post("/api/apply", {"apps": [WEB]})
        token = desk.token
        make_backup(desk.hub.store.path, copy)
        await desk.client.delete("/api/apps/web")
        with pytest.raises(StoreError, match="another hub has it"):
            await restore(copy, desk.hub.store.path)
    await restore(copy, data / "hub.db")
    async with serving(data, token) as desk:
        status = (await desk.client.get("/api/status")).json()
        assert status["restored"]
        assert "RESTORED STORE" in status["loud"][0]
        assert (await desk.client.get("/api/apps/web")).json()["state"] != "removed"
        resumed = await desk.post("/api/resume", {"reason": "looked"})
        assert not resumed.json()["restored"]
        assert (await desk.post("/api/resume", {})).status_code == 409
    assert len(list(data.glob("hub.db.before-*"))) >= 1


async def test_what_is_no_backup_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub"):
        pass
    bad = tmp_path / "bad"
    bad.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="is it a backup"):
        await restore(bad, tmp_path / "hub" / "hub.db")
    async with serving(tmp_path / "other"):
        pass


def test_commands_say_what_is_wrong(tmp_path: Path) -> None:
    run = CliRunner().invoke
    made = run(main, ["init", "--mesh", "coast", "--region", "north", "--data", str(tmp_path / "a")])
    assert made.exit_code == 0, made.output
    settings = tmp_path / "a" / "operator.toml"
    assert settings.stat().st_mode & 0o777 == 0o600
    again = run(main, ["init", "--mesh", "coast", "--region", "north", "--data", str(tmp_path / "a")])
    assert "cannot make a hub" in again.output
    nowhere = run(main, ["run", "--data", str(tmp_path / "nowhere")])
    assert "make one with 'skerry-hub init'" in nowhere.output
    assert run(main, ["init", "--mesh", "Ö", "--region", "north"]).exit_code == 2
    assert "expected HOST:PORT" in run(main, ["run", "--data", str(tmp_path / "a"), "--listen", "x"]).output
