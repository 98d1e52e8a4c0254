"""The API on a real hub: who may do what, what happens twice, what collides, what is hostile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from skerry_hub.api.events import messages
from skerry_hub.api.views import EventView
from skerry_hub.cli.client import decoded
from skerry_hub.cli.events import datas
from skerry_hub.journal import history
from skerry_hub.store import Owner, rows
from skerry_hub.store import schema as s

from .hubs import Desk, Machine, serving, token_of

WEB = {"name": "web", "run": ["/bin/sleep", "9"], "availability": "best-effort"}
CHANGES = (
    ("POST", "/api/apply"),
    ("POST", "/api/apply/file"),
    ("POST", "/api/plan"),
    ("POST", "/api/tokens"),
    ("DELETE", "/api/tokens/x"),
    ("POST", "/api/nodes/x/drain"),
    ("POST", "/api/nodes/x/labels"),
    ("DELETE", "/api/apps/x"),
    ("POST", "/api/apps/x/rollback"),
    ("PUT", "/api/artifacts/x"),
)
ADMINS = (
    ("GET", "/api/people"),
    ("POST", "/api/people"),
    ("GET", "/api/backup"),
    ("POST", "/api/resume"),
    ("POST", "/api/region"),
)
READS = ("apps", "nodes", "events", "tokens", "status", "me", "resume", "region")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with serving(tmp_path / "hub") as opened:
        yield opened


async def person(desk: Desk, role: str) -> str:
    answer = await desk.post("/api/people", {"name": role, "role": role})
    return str(answer.json()["token"])


async def test_roles(desk: Desk) -> None:
    viewer, operator = await person(desk, "viewer"), await person(desk, "operator")
    async with desk.as_person(viewer) as seeing, desk.as_person(operator) as changing:
        for name in READS:
            assert (await seeing.get(f"/api/{name}")).status_code == 200, name
        for method, path in CHANGES:
            assert (await seeing.request(method, path)).status_code == 403, path
            assert (await changing.request(method, path)).status_code != 403, path
        for method, path in ADMINS:
            answer = await changing.request(method, path)
            assert answer.status_code == 403
            assert "it takes the role admin" in answer.json()["error"]


async def test_nothing_without_a_token(desk: Desk) -> None:
    paths = (await desk.client.get("/schema")).json()["paths"]
    async with desk.as_person(None) as nobody:
        for path, methods in paths.items():
            for method in methods:
                if path.startswith("/api/"):
                    where = path.replace("{", "").replace("}", "")
                    assert (await nobody.request(method, where)).status_code == 401, path


async def test_a_revoked_token_ends_at_once(desk: Desk) -> None:
    async with desk.as_person(await person(desk, "viewer")) as client:
        assert (await client.get("/api/me")).json()["role"] == "viewer"
        assert (await desk.client.delete("/api/people/viewer")).status_code == 200
        assert (await client.get("/api/me")).status_code == 401


async def test_a_field_that_no_app_has_is_refused_wherever_it_is(desk: Desk) -> None:
    health = {"http": "http://127.0.0.1/", "evry_ms": 1}
    web = {
        **WEB,
        "replica": 3,
        "health": health,
        "artifacts": {"amd64": {"sha256": "a" * 64, "size": 1, "nme": "x"}},
    }
    for path in ("/api/plan", "/api/apply"):
        refused = await desk.post(path, {"apps": [web]})
        assert refused.status_code == 400, refused.text
        said = [fault for fault in refused.json()["faults"] if "knows no such field" in fault]
        assert [fault.partition(":")[0] for fault in said] == [
            "app.web.replica",
            "app.web.health.evry_ms",
            "app.web.artifacts.amd64.nme",
        ]
        outside = await desk.post(path, {"apps": [WEB], "comfirm": True})
        assert outside.status_code == 400
        assert "comfirm" in outside.text
    assert (await desk.client.get("/api/apps")).json() == []


async def test_who_looks_after_an_apply_sees_what_was_decided(desk: Desk) -> None:
    """Else there would be no copies yet, and nothing to wait for."""
    for number in range(1, 6):
        app = {**WEB, "name": f"web{number}", "replicas": number}
        await desk.post("/api/apply", {"apps": [app]})
        copies = (await desk.client.get(f"/api/apps/web{number}/why")).json()["copies"]
        assert len(copies) == number


async def test_an_app_has_its_history(desk: Desk) -> None:
    assert (await desk.post("/api/apply", {"apps": [WEB], "reason": "new"})).json()["revisions"] == {"web": 1}
    more = {**WEB, "env": {"A": "1"}}
    assert (await desk.post("/api/apply", {"apps": [more]})).json()["revisions"] == {"web": 2}
    assert (await desk.post("/api/apply", {"apps": [more]})).json()["revisions"] == {"web": 2}
    diff = (await desk.client.get("/api/apps/web/diff", params={"a": 1, "b": 2})).json()
    assert diff == [{"field": "env.A", "before": "", "after": '"1"'}]
    assert (await desk.post("/api/apps/web/rollback", {})).json()["revisions"] == {"web": 3}
    assert (await desk.client.delete("/api/apps/web", headers={"If-Match": '"2"'})).status_code == 412
    removed = await desk.client.delete("/api/apps/web", headers={"If-Match": '"3"'}, params={"reason": "old"})
    assert removed.json()["state"] == "removed"
    told = (await desk.client.get("/api/apps/web/history")).json()
    assert [(one["number"], one["reason"]) for one in told] == [
        (4, "old"),
        (3, "back to revision 1"),
        (2, ""),
        (1, "new"),
    ]
    assert (await desk.post("/api/apply", {"apps": [WEB], "expect": {"web": 0}})).json()["revisions"] == {
        "web": 5
    }


async def test_of_two_that_saw_the_same_one_wins(desk: Desk) -> None:
    bodies = [{"apps": [{**WEB, "env": {"A": str(n)}}], "expect": {"web": 0}} for n in range(2)]
    answers = await asyncio.gather(*(desk.post("/api/apply", body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_a_plan_changes_nothing(desk: Desk) -> None:
    answer = (await desk.post("/api/plan", {"apps": [WEB]})).json()
    assert answer["refusals"] == []
    assert (await desk.client.get("/api/apps/web")).status_code == 404


async def test_a_repeat_does_it_once(desk: Desk) -> None:
    first = await asyncio.gather(*(desk.post("/api/tokens", {}, key="once") for _ in range(8)))
    assert len({answer.text for answer in first}) == 1
    assert len((await desk.client.get("/api/tokens")).json()) == 1
    other = await desk.post("/api/tokens", {"approval": True}, key="once")
    assert (other.status_code, other.json()["error"]) == (
        422,
        "cannot use this Idempotency-Key: it was used for another request",
    )
    async with desk.hub.store.write() as tx:
        await tx.as_owner(Owner.API).change(s.idempotency, {"at_ms": 0})
    await desk.hub.maintenance.prune()
    assert len({(await desk.post("/api/tokens", {}, key="once")).json()["id"], first[0].json()["id"]}) == 2


async def test_no_secret_is_stored(desk: Desk) -> None:
    text = await token_of(desk)
    answer = await desk.post("/api/people", {"name": "ada", "role": "viewer"}, key="k")
    copy = (await desk.client.get("/api/backup")).content
    secret = text.split("-")[3].partition(".")[0]
    for word in (secret, answer.json()["token"].rpartition("-")[2], desk.token.rpartition("-")[2]):
        assert word.encode() not in copy


HOSTILE = (
    b"",
    b"[",
    b"null",
    b"[" * 100_000,
    b'{"apps":' * 5_000,
    b'{"apps": [{"name": "a"}]}',
    b'{"apps": [{"name": "../x", "run": ["x"], "availability": "best-effort"}]}',
    b'{"apps": [], "x": ' + b"[" * 200_000,
    b'{"apps": [{"name": "a", "run": ["a"], "availability": "best-effort", "replicas": 1e400}]}',
    b"\xff" * 100,
)


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_bodies(desk: Desk, body: bytes) -> None:
    answer = await desk.client.post("/api/apply", content=body)
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"].startswith("cannot ")


async def test_a_huge_body_is_not_read(desk: Desk) -> None:
    answer = await desk.client.post("/api/apply", content=b"x" * (5 << 20))
    assert answer.status_code == 413


async def test_faults_come_all_at_once(desk: Desk) -> None:
    bad = {**WEB, "replicas": -1, "schedule": "never ever"}
    answer = await desk.post("/api/apply", {"apps": [bad]})
    assert answer.status_code == 400
    assert len(answer.json()["faults"]) >= 2


async def test_events_stream(desk: Desk) -> None:
    async with asyncio.timeout(10), desk.client.stream("GET", "/api/events/stream?after=0") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        await desk.post("/api/apply", {"apps": [WEB], "reason": "seen"})
        async for line in stream.aiter_lines():
            if "seen" in line:
                break


async def test_a_stream_with_nothing_to_say_says_that_it_is_there(desk: Desk) -> None:
    """And whoever follows it takes that for no event."""
    sent = messages(desk.hub, (await desk.client.get("/api/events")).json()[-1]["id"], ping_s=0.01)
    ping = (await anext(sent)).encode()
    assert ping == b": still here\r\n\r\n"
    await desk.post("/api/apply", {"apps": [WEB], "reason": "seen"})
    async with asyncio.timeout(10):
        while b"event: event" not in (event := (await anext(sent)).encode()):
            pass
    assert [decoded(EventView, data).app for data in datas((ping + event).split(b"\r\n"))] == ["web"]


async def test_the_page_of_the_api_is_json_alone(desk: Desk) -> None:
    answer = await desk.client.get("/schema/openapi.json")
    assert answer.json()["openapi"].startswith("3.")
    assert all("v1" not in path for path in answer.json()["paths"])


async def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    async with serving(tmp_path / "hub") as desk:
        await desk.post("/api/apply", {"apps": [WEB]})
        token, text = desk.token, await token_of(desk)
        before = {
            name: (await desk.client.get(f"/api/{name}")).json() for name in ("events", "tokens", "people")
        }
    async with serving(tmp_path / "hub", token) as desk:
        after = {name: (await desk.client.get(f"/api/{name}")).json() for name in before}
        assert after == before
        assert (await desk.client.get("/api/apps/web")).json()["revision"] == 1
        assert (await desk.client.get("/api/status")).json()["term"] == 2
        assert text


async def test_the_regions_settings_are_an_operators_word(desk: Desk) -> None:
    hub = desk.hub
    assert (await desk.client.get("/api/region")).json() == {"storm_hold_ms": None, "keep_events": 100_000}
    asked = {"storm_hold_ms": 600_000, "keep_events": 5_000, "reason": "a bad link"}
    for _ in range(2):
        assert (await desk.post("/api/region", asked)).json() == {
            "storm_hold_ms": 600_000,
            "keep_events": 5_000,
        }
    async with hub.store.read() as view:
        mesh = await rows.mesh(view)
        kept = await history(view, "region", "north")
    assert mesh is not None
    assert (mesh.storm_hold_ms, mesh.keep_events) == (600_000, 5_000)
    assert [(one.number, one.changer, one.reason) for one in kept] == [(1, "admin", "a bad link")]
    said = (await desk.client.get("/api/events")).json()[-1]
    assert (said["code"], said["changer"]) == ("region-set", "admin")
    assert (
        said["text"] == "admin set that the storm brake holds for 600 s and 5000 events are kept: a bad link"
    )
    wrong = await desk.post("/api/region", {"storm_hold_ms": -5, "keep_events": 3})
    assert (wrong.status_code, len(wrong.json()["faults"])) == (400, 2)


async def test_a_hub_without_nats_forgets_a_node(desk: Desk) -> None:
    machine = Machine(desk)
    assert (await machine.join(desk.client, await token_of(desk))).status_code == 200
    answer = await desk.post("/api/nodes/box/forget", {"confirm": True})
    assert answer.status_code == 200, answer.text
    assert not await desk.hub.rotate(limit=1), "nobody could be told of another key"


async def test_a_full_disk_is_not_called_a_fault_of_the_hub(desk: Desk) -> None:
    async with desk.hub.store.write() as tx:
        await tx.one(text("PRAGMA max_page_count = 1"))  # no more than it has
    big = {**WEB, "files": {f"f{number}": "x" * 9_000 for number in range(6)}}
    answer = await desk.post("/api/apply", {"apps": [big]})
    assert answer.status_code == 507, answer.text
    file = desk.hub.store.path
    assert answer.json()["error"] == (
        f"cannot write {file}: database or disk is full (nothing was changed: look at the hub's disk)"
    )
    assert (await desk.client.get("/api/apps")).json() == []
    async with desk.hub.store.write() as tx:
        await tx.one(text("PRAGMA max_page_count = 1000000"))
    assert (await desk.post("/api/apply", {"apps": [big]})).status_code == 200


async def test_a_rollback_says_what_it_went_back_to(desk: Desk) -> None:
    await desk.post("/api/apply", {"apps": [WEB], "reason": "new"})
    await desk.post("/api/apply", {"apps": [{**WEB, "env": {"A": "1"}}]})
    done = (await desk.post("/api/apps/web/rollback", {})).json()
    assert done["notes"][0] == "web is as in revision 1, by admin: new"
    missing = await desk.post("/api/apps/web/rollback", {"revision": 99})
    assert (missing.status_code, missing.json()["error"]) == (
        404,
        "cannot find revision 99 of web: there is none",
    )


async def test_labels_that_a_node_has_by_itself_are_nobodys_to_give(desk: Desk) -> None:
    machine = Machine(desk)
    await machine.join(desk.client, await token_of(desk))
    for labels in ({"region": "south"}, {"arch": "x"}, {"node": "y"}, {"a b": "c"}, {"a": ""}, {"a": "b c"}):
        assert (await desk.post("/api/nodes/box/labels", {"set": labels})).status_code == 400, labels
        assert (await desk.post("/api/tokens", {"labels": labels})).status_code == 400, labels
    assert (await desk.post("/api/nodes/box/labels", {"unset": ["arch"]})).status_code == 400
    assert (await desk.client.get("/api/nodes/box")).json()["region"] == "north"
    near = {**WEB, "place": {"labels": {"region": ["north"]}}}
    far = {**WEB, "place": {"labels": {"region": ["south"]}}}
    found = [(await desk.post("/api/plan", {"apps": [app]})).json()["notes"] for app in (near, far)]
    assert found == [
        ["web-1 has no place: 1 not heard from in the last 30 s"],
        ["web-1 has no place: 1 label region=south"],
    ]


async def test_a_word_that_changes_nothing_is_no_revision(desk: Desk) -> None:
    await Machine(desk).join(desk.client, await token_of(desk))
    first = (await desk.post("/api/nodes/box/labels", {"set": {"a": "b", "c": "d"}})).json()["revision"]
    for path, body in (
        ("labels", {"set": {"a": "b"}, "unset": ["none"]}),
        ("undrain", {}),
    ):
        assert (await desk.post(f"/api/nodes/box/{path}", body)).json()["revision"] == first, path
    for word in ("drain", "dead"):
        said = (await desk.post(f"/api/nodes/box/{word}", {})).json()["revision"]
        assert (await desk.post(f"/api/nodes/box/{word}", {})).json()["revision"] == said, word
    await desk.post("/api/nodes/box/labels", {"set": {"a": "x"}, "unset": ["c"], "reason": "moved"})
    last = (await desk.client.get("/api/events", params={"limit": 1})).json()
    assert last[0]["text"] == "box was labelled a=x without c by admin: moved"


@pytest.mark.parametrize("pattern", ["", "[", "UPPER-*", "a b", "x" * 101])
async def test_a_pattern_that_no_name_fits_is_refused(desk: Desk, pattern: str) -> None:
    answer = await desk.post("/api/tokens", {"name_pattern": pattern})
    assert answer.status_code == 400
    assert "such as pump-*" in answer.json()["faults"][0]
    assert (await desk.post("/api/tokens", {"name_pattern": "pump-[1-3]?-*"})).status_code == 201


async def test_logs_of_a_copy_that_is_not_there(desk: Desk) -> None:
    await desk.post("/api/apply", {"apps": [WEB]})
    none = await desk.client.get("/api/apps/web/logs")
    assert (none.status_code, none.json()["error"]) == (404, "cannot read logs of web: it has no copy")
    ghost = await desk.client.get("/api/apps/web/logs", params={"node": "ghost"})
    assert (ghost.status_code, ghost.json()["error"]) == (404, "cannot find node 'ghost': there is none")


async def test_faults_of_apps_name_their_place_once(desk: Desk) -> None:
    answer = await desk.post("/api/plan", {"apps": [{**WEB, "stop_timeout_ms": -1}]})
    (fault,) = answer.json()["faults"]
    assert fault.startswith("app.web.stop_timeout: found")


async def test_a_stream_ends_when_the_hub_stops(desk: Desk) -> None:
    """Else each of them would hold up the stop, and be cut off in the middle."""
    await desk.post("/api/apply", {"apps": [WEB]})
    async with (
        desk.client.stream("GET", "/api/apps/web/logs", params={"follow": True}) as logs,
        desk.client.stream("GET", "/api/events/stream", params={"after": 0}) as events,
    ):
        lines, told = logs.aiter_lines(), events.aiter_lines()
        assert await anext(lines) == ""
        assert await anext(told)
        desk.hub.end_streams()
        async with asyncio.timeout(5):
            assert [line async for line in lines] == []
            assert [line async for line in told]
