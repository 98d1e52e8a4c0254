"""Backups while the hub writes, putting one back, and resuming: nothing is lost that was committed before."""

from __future__ import annotations

import asyncio
import subprocess
import sys
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
    elsewhere = ["init", "--mesh", "coast", "--region", "north", "--data", str(tmp_path / "b"), "--prefix"]
    for prefix, why in (
        ("2001:db8::1/56", "has host bits set"),
        ("2001:db8::/96", "16 to 72 bits"),
        ("fd00::/56", "the internet routes nothing outside of 2000::/3"),
    ):
        refused = run(main, [*elsewhere, prefix])
        assert (refused.exit_code, why in refused.output) == (2, True), refused.output
    assert not (tmp_path / "b").exists()
    assert "expected HOST:PORT" in run(main, ["run", "--data", str(tmp_path / "a"), "--listen", "x"]).output


def test_a_damaged_store_says_what_to_do_and_a_backup_takes_its_place(tmp_path: Path) -> None:
    data, copy = tmp_path / "hub", tmp_path / "copy.db"
    run = CliRunner().invoke
    made = run(main, ["init", "--mesh", "coast", "--region", "north", "--data", str(data)])
    assert made.exit_code == 0, made.output
    make_backup(data / "hub.db", copy)
    (data / "hub.db").write_bytes(b"what a bad disk leaves" * 500)
    refused = run(main, ["run", "--data", str(data), "--nats", "none"])
    assert refused.exit_code == 1
    assert refused.output == (
        f"Error: cannot open {data}/hub.db: file is not a database"
        " (it is damaged: put a backup back with 'skerry-hub restore FILE')\n"
    )
    put_back = run(main, ["restore", str(copy), "--data", str(data)])
    assert put_back.exit_code == 0, put_back.output
    (former,) = (path for path in data.glob("hub.db.before-*") if not path.name.endswith("-wal"))
    assert put_back.output.startswith(f"put back {copy}; the former store is kept: {former}\n")
    (data / "hub.db").unlink()
    put_back = run(main, ["restore", str(copy), "--data", str(data)])
    assert put_back.output.startswith(f"put back {copy}\n")


async def test_what_is_refused_leaves_nothing_and_changes_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub"):
        pass
    copy = tmp_path / "copy.db"
    make_backup(tmp_path / "hub" / "hub.db", copy)
    before = {path: path.read_bytes() for path in (tmp_path / "hub").glob("*hub.db*")}
    with pytest.raises(StoreError, match="it is of mesh coast, region north; this hub is coast, south"):
        await restore(copy, tmp_path / "hub" / "hub.db", ("coast", "south"))
    found = [
        path for path in (tmp_path / "hub").iterdir() if "restored" in path.name or "before" in path.name
    ]
    assert found == []
    assert before[tmp_path / "hub" / "hub.db"] == (tmp_path / "hub" / "hub.db").read_bytes()


# Starts a process, whose files may not grow: as on a full disk.
def test_a_full_disk_is_said_in_one_line(tmp_path: Path) -> None:
    script = (
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "from skerry_hub.daemon import main\n"
        f"main(['init', '--mesh', 'coast', '--region', 'north', '--data', {str(tmp_path / 'hub')!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: cannot open {tmp_path}/hub/hub.db: disk I/O error (look at the disk: is it full, or failing?)\n"
    )
