"""A change of apps and all that follows from it: one request, one commit, or nothing at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skerry_hub.model import AssignmentRow
from skerry_hub.store import rows

from .hubs import Desk, Machine, serving, token_of

FILE = "/api/apply/file?name=apps.toml"
WEB = '[app.web]\nrun = ["/bin/sleep", "9"]\navailability = "best-effort"\n[app.web.env]\nVALUE = "%s"\n'
FOUR = '[app.four]\nrun = ["/bin/sleep", "9"]\navailability = "best-effort"\nreplicas = %d\n'
ARCHIVE = WEB.replace("[app.web.env]", 'artifact = "./web.tar"\n[app.web.env]')


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with serving(tmp_path / "hub") as opened:
        yield opened


async def revision(desk: Desk, name: str) -> int:
    async with desk.hub.store.read() as view:
        row = await rows.app(view, name)
    return 0 if row is None else row.revision


async def test_a_file_does_what_its_apps_would(desk: Desk) -> None:
    machine = Machine(desk)
    await machine.join(desk.client, await token_of(desk))
    made = await desk.client.post(f"{FILE}&reason=more%20of%20it", content=(WEB % 1).encode())
    assert made.status_code == 200, made.text
    assert made.json()["revisions"] == {"web": 1}
    content = (await desk.client.get("/api/apps/web")).json()["app"]
    again = await desk.post("/api/apply", {"apps": [content]})
    assert again.json()["changes"] == []
    (first,) = (await desk.client.get("/api/apps/web/history")).json()
    assert (first["reason"], first["changer"]) == ("more of it", "admin")


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", 400, "apps.toml"),
        (b"\xff", 400, "apps.toml:1"),
        (b'[app.web]\nrun = []\navailability = "ha"\n', 400, "apps.toml:2: app.web.run"),
        ((ARCHIVE % 1).encode(), 409, "archives of web are named by path"),
        (b"a" * (2 << 20), 400, "1 MiB at most"),
    ],
    ids=("empty", "no text", "faults", "archives", "too big"),
)
async def test_a_file_that_cannot_be_applied(desk: Desk, content: bytes, status: int, said: str) -> None:
    answer = await desk.client.post(FILE, content=content)
    assert answer.status_code == status
    assert said in answer.text
    assert await revision(desk, "web") == 0


async def test_a_file_that_is_sent_twice_is_applied_once(desk: Desk) -> None:
    for _ in range(2):
        answer = await desk.client.post(FILE, content=WEB % 1, headers={"Idempotency-Key": "k"})
        assert answer.json()["revisions"] == {"web": 1}
        await desk.client.post(FILE, content=WEB % 2)
    assert await revision(desk, "web") == 2
    other = await desk.client.post(FILE, content=WEB % 3, headers={"Idempotency-Key": "k"})
    assert other.status_code == 422


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Desk]:
    """A hub with one node that was heard; starts a real nats-server."""
    async with serving(tmp_path / "hub", nats_url=None) as opened:
        await asyncio.wait_for(opened.hub.bus.connected.wait(), 20)
        machine = Machine(opened)
        await machine.join(opened.client, await token_of(opened))
        bus = await machine.connect()
        await machine.beat(bus)
        yield opened
        await bus.close()


def commits_of(desk: Desk) -> list[frozenset[str]]:
    """The tables of each commit from now on."""
    commits = list[frozenset[str]]()
    desk.hub.store.on_commit(commits.append)
    return commits


async def issued(desk: Desk) -> list[AssignmentRow]:
    async with desk.hub.store.read() as view:
        return await rows.assignments(view)


async def test_a_change_is_answered_when_all_that_follows_is_decided(mesh: Desk) -> None:
    await mesh.client.post(FILE, content=WEB % 1)
    done = await mesh.client.post(FILE, content=WEB % 2)
    assert [change["kind"] for change in done.json()["changes"]] == ["restart"]
    there = await issued(mesh)
    assert [one.revision for one in there[-1].copies] == [2]
    await mesh.hub.reconciler.once()
    assert await issued(mesh) == there


async def test_what_is_refused_leaves_nothing_behind(mesh: Desk) -> None:
    await mesh.client.post(FILE, content=FOUR % 4)
    there, commits = await issued(mesh), commits_of(mesh)
    refused = await mesh.client.post(FILE, content=FOUR % 1)
    assert refused.status_code == 409
    assert "3 of 4 copies on node box would be removed (apply again with --confirm)" in refused.text
    assert await revision(mesh, "four") == 1
    assert not [tables for tables in commits if tables & {"apps", "events", "revisions"}]
    assert await issued(mesh) == there


async def test_a_confirmed_change_goes_out_with_the_operators_word(mesh: Desk) -> None:
    await mesh.client.post(FILE, content=FOUR % 4)
    done = await mesh.client.post(f"{FILE}&confirm=true", content=FOUR % 1)
    assert done.status_code == 200, done.text
    newest = (await issued(mesh))[-1]
    assert [one.number for one in newest.copies] == [1]
