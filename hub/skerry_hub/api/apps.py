"""Apps: what is wanted and what is there, how it came to that, and going back."""

from __future__ import annotations

import asyncio

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from skerry_protocol.app import App
from skerry_protocol.ids import AppName

from ..hub import Hub
from ..journal import Revision, history, revision
from ..loops.explain import Why
from ..loops.planning import check_removals
from ..model import AppRow
from ..operators import set_app
from ..store import Transaction, View, rows
from .applying import check_artifacts, made, waking
from .auth import OPERATOR, VIEWER
from .change import Call, call_of, check_revision, expected_revision
from .explaining import app_views, why_of
from .faults import AnyRequest, ApiError, nothing
from .views import ApplyAsk, ApplyView, AppView, DiffLine, RevisionView, RollbackAsk


@get("/apps", guards=[VIEWER])
async def all_apps(request: AnyRequest) -> list[AppView]:
    """Every app that is not removed, or whose copies are still there."""
    hub: Hub = request.app.state.hub
    async with hub.store.read() as store:
        found = await app_views(hub, store)
    return [one for one in found if one.state != "removed" or one.placed]


@get("/apps/{name:str}", guards=[VIEWER])
async def one_app(request: AnyRequest, name: FromPath[str]) -> Response[AppView]:
    """One app; the ETag is its revision."""
    view = await _view(request.app.state.hub, name)
    return Response(view, headers={"ETag": f'"{view.revision}"'})


async def _view(hub: Hub, name: str, store: View | None = None) -> AppView:
    if store is None:
        async with hub.store.read() as opened:
            return await _view(hub, name, opened)
    found = await app_views(hub, store, name)
    if not found:
        raise nothing("app", name)
    return found[0]


@delete("/apps/{name:str}", guards=[OPERATOR], status_code=200)
async def remove(
    request: AnyRequest, name: FromPath[str], reason: FromQuery[str] = "", confirm: FromQuery[bool] = False
) -> AppView:
    """Removes an app from every node. Its revisions stay, and so does data in volumes."""
    hub: Hub = request.app.state.hub
    call, expected = await call_of(request), expected_revision(request)

    async def effect(tx: Transaction) -> AppView:
        row = await rows.app(tx, name)
        if row is None or row.app is None:
            raise nothing("app", name)
        check_revision(f"app {name}", expected, row.revision)
        await set_app(tx, row.name, None, call.person.name, reason, confirm)
        await check_removals(hub, tx, confirm, call.person.name)
        return await _view(hub, name, tx)

    return await call.change(AppView, effect)


@post("/apps/{name:str}/rollback", guards=[OPERATOR], status_code=200)
async def rollback(request: AnyRequest, name: FromPath[str], data: JSONBody[RollbackAsk]) -> ApplyView:
    """Makes an earlier revision's content the newest one again; without a number, that of the one before."""
    call, expected = await call_of(request), expected_revision(request)

    async def attempt(asking: bool) -> ApplyView:
        async def effect(tx: Transaction) -> ApplyView:
            row = await rows.app(tx, name)
            if row is None:
                raise nothing("app", name)
            check_revision(f"app {name}", expected, row.revision)
            return await _rolled_back(call, tx, await _back_to(tx, row, data.revision), data, asking)

        return await call.change(ApplyView, effect)

    return await waking(call.hub, attempt)


async def _rolled_back(
    call: Call, tx: Transaction, earlier: Revision, data: RollbackAsk, asking: bool
) -> ApplyView:
    number, name, app = earlier.number, earlier.name, _content(earlier)
    if app is None:
        raise ApiError(409, f"cannot go back to revision {number} of {name}: it was removed there")
    what = f"go back to revision {number} of {name}"
    then = "they were collected: apply an app file with that archive, which pushes it"
    await asyncio.to_thread(check_artifacts, call.hub, (app,), what, then)
    reason = data.reason or f"back to revision {number}"
    ask = ApplyAsk((app,), reason=reason, confirm=data.confirm, leave_data=data.leave_data)
    done = await made(call, tx, ask, asking)
    because = f": {earlier.reason}" if earlier.reason else ""
    note = f"{name} is as in revision {number}, by {earlier.changer}{because}"
    return msgspec.structs.replace(done, notes=(note, *done.notes))


async def _back_to(store: View, row: AppRow, number: int | None) -> Revision:
    """That revision; without a number the newest with another content than the one there is."""
    if number is not None:
        return await _revision(store, row.name, number)
    for one in await history(store, "app", row.name):
        app = _content(one)
        if one.number < row.revision and app is not None and app != row.app:
            return one
    raise ApiError(409, f"cannot go back with {row.name}: there is no revision before this one")


async def _revision(store: View, name: str, number: int) -> Revision:
    found = await revision(store, "app", name, number)
    if found is None:
        raise ApiError(
            404,
            f"cannot find revision {number} of {name}: there is none",
            f"'skerry history {name}' lists them",
        )
    return found


def _content(one: Revision) -> App | None:
    return None if one.content is None else msgspec.json.decode(bytes(one.content), type=App)


@get("/apps/{name:str}/history", guards=[VIEWER])
async def all_revisions(request: AnyRequest, name: FromPath[str]) -> list[RevisionView]:
    """Every revision there ever was, newest first."""
    async with request.app.state.hub.store.read() as store:
        found = await history(store, "app", name)
    if not found:
        raise nothing("app", name)
    return [_revision_view(one) for one in found]


def _revision_view(one: Revision) -> RevisionView:
    content = {} if one.content is None else msgspec.json.decode(bytes(one.content), type=dict[str, object])
    return RevisionView(one.kind, one.name, one.number, one.at_ms, one.changer, one.reason, content)


@get("/apps/{name:str}/diff", guards=[VIEWER])
async def diff(
    request: AnyRequest, name: FromPath[str], a: FromQuery[int], b: FromQuery[int]
) -> list[DiffLine]:
    """The fields that differ between two revisions; inner tables are named with dots."""
    async with request.app.state.hub.store.read() as store:
        before = _revision_view(await _revision(store, name, a))
        after = _revision_view(await _revision(store, name, b))
    old, new = dict(_flat("", before.content)), dict(_flat("", after.content))
    return [
        DiffLine(field, old.get(field, ""), new.get(field, ""))
        for field in sorted(old.keys() | new.keys())
        if old.get(field) != new.get(field)
    ]


def _flat(prefix: str, content: dict[str, object]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in content.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict):
            found += _flat(name, value)
        else:
            found.append((name, msgspec.json.encode(value).decode()))
    return found


@get("/apps/{name:str}/why", guards=[VIEWER])
async def why(request: AnyRequest, name: FromPath[str]) -> Why:
    """Every copy's way to healthy, step by step, with a sentence for each."""
    hub: Hub = request.app.state.hub
    async with hub.store.read() as store:
        row = await rows.app(store, AppName(name))
        if row is None:
            raise nothing("app", name)
        return await why_of(hub, store, row)


ROUTER = Router(
    "/api",
    route_handlers=[all_apps, one_app, remove, rollback, all_revisions, diff, why],
    tags=["apps"],
)
