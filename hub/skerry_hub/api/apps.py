"""Apps: what is wanted, what is there, what a change would do, and doing it."""

from __future__ import annotations

import asyncio

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from skerry_protocol.app import App
from skerry_protocol.ids import AppName

from ..appfile import check_app
from ..hub import Hub
from ..journal import Revision, history, next_number, revision
from ..loops.changes import Proposal
from ..loops.explain import Why
from ..loops.planning import check_removals, propose
from ..model import AppRow
from ..operators import set_app
from ..store import Transaction, View, rows
from .auth import OPERATOR, VIEWER, person_of
from .change import Call, call_of, check_revision, expected_revision
from .explaining import app_views, why_of
from .faults import AnyRequest, ApiError, nothing
from .unknown import unknown
from .views import ApplyAsk, ApplyView, AppView, DiffLine, RevisionView, RollbackAsk

APPS_MAX = 500
WAKING_ROUNDS = 3  # each asks as many nodes as a run of the loops would


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


@post("/plan", guards=[OPERATOR], status_code=200)
async def plan(request: AnyRequest, data: JSONBody[ApplyAsk]) -> ApplyView:
    """What these apps would change, without changing anything."""
    await _check(request, data)
    hub: Hub = request.app.state.hub
    found = await _proposal(hub, data, person_of(request).name)
    return ApplyView(found.changes, found.refusals, found.notes)


async def _proposal(hub: Hub, data: ApplyAsk, who: str) -> Proposal:
    """What would be done. Copies go only to nodes that were heard lately, and a node with nothing to say is quiet for
    minutes: those in question are asked first, as they would be for the change itself."""
    rounds_left = WAKING_ROUNDS
    while True:
        async with hub.store.read() as store:
            new = await _rows(store, data.apps, who, data.reason)
            found = await propose(hub, store, new, data.leave_data, data.confirm)
        if not found.ask or not rounds_left:
            return found
        rounds_left -= 1
        await hub.hearing.wake(found.ask)


@post("/apply", guards=[OPERATOR], status_code=200)
async def apply(request: AnyRequest, data: JSONBody[ApplyAsk]) -> ApplyView:
    """Makes these apps what is wanted: a new revision of each that differs. Others are left alone."""
    await _check(request, data)
    hub: Hub = request.app.state.hub
    await asyncio.to_thread(_artifacts, hub, data.apps)
    call = await call_of(request)

    async def effect(tx: Transaction) -> ApplyView:
        await _expected(tx, data.expect)
        await asyncio.to_thread(
            _artifacts, hub, data.apps
        )  # none is collected while this transaction is open
        return await _apply(call, tx, data.apps, data.reason, data.confirm, data.leave_data)

    return await _decided(hub, await call.change(ApplyView, effect))


async def _decided(hub: Hub, done: ApplyView) -> ApplyView:
    """Once the loops have seen the change: what is not placed yet must not look like what needs no place."""
    await hub.reconciler.caught_up()
    return done


async def _check(request: AnyRequest, data: ApplyAsk) -> None:
    """All that is wrong with the apps, by the rules of the app file."""
    given = (await request.json())["apps"]
    faults = [
        f"{path}: this hub knows no such field"
        for app, fields in zip(data.apps, given, strict=True)
        for path in unknown(f"app.{app.name}", fields, App)
    ]
    faults += [str(fault) for app in data.apps for fault in check_app(app)]
    names = [app.name for app in data.apps]
    faults += [f"app.{name}: it is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if len(data.apps) > APPS_MAX:
        faults.append(f"{len(data.apps)} apps at once, at most {APPS_MAX} are taken")
    if faults:
        raise ApiError(400, "cannot apply: the apps have faults", faults=tuple(faults))


def _artifacts(hub: Hub, apps: tuple[App, ...], what: str = "apply", then: str = "push them first") -> None:
    """Raises 409 where an archive is not here."""
    missing = [
        f"app.{app.name}.artifact.{arch}: {one.sha256[:12]} is not here"
        for app in apps
        for arch, one in app.artifacts.items()
        if hub.artifacts.find(one.sha256) != one
    ]
    if missing:
        raise ApiError(409, f"cannot {what}: the hub lacks archives", then, tuple(missing))


async def _expected(store: View, expect: dict[str, int]) -> None:
    for name, number in expect.items():
        row = await rows.app(store, name)
        found = 0 if row is None or (row.app is None and number == 0) else row.revision
        check_revision(f"app {name}", number, found, 409)


async def _rows(store: View, apps: tuple[App, ...], who: str, reason: str) -> list[AppRow]:
    """The revisions that would be made: of the apps that differ from what is wanted now."""
    found = []
    for app in apps:
        row = await rows.app(store, app.name)
        if row is None or row.app != app:
            number = await next_number(store, "app", app.name)
            found.append(AppRow(app.name, number, app, who, reason))
    return found


async def _apply(
    call: Call, tx: Transaction, apps: tuple[App, ...], reason: str, confirm: bool, leave_data: bool
) -> ApplyView:
    who = call.person.name
    new = await _rows(tx, apps, who, reason)
    found = await propose(call.hub, tx, new, leave_data, confirm)
    if found.refusals:
        raise ApiError(409, "cannot apply, and changed nothing", faults=found.refusals)
    for row in new:
        await set_app(tx, row.name, row.app, who, reason, confirm)
    await check_removals(call.hub, tx, confirm, who)
    numbers = {str(row.name): row.revision for row in await rows.apps(tx)}
    return ApplyView(found.changes, (), found.notes, {app.name: numbers[app.name] for app in apps})


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
    hub: Hub = request.app.state.hub
    call, expected = await call_of(request), expected_revision(request)
    async with hub.store.read() as store:
        known = await rows.app(store, name)
        back = None if known is None else await _back_to(store, known, data.revision)
    if back is not None and (app := _content(back)) is not None:
        await _proposal(hub, ApplyAsk((app,)), call.person.name)  # wakes the nodes that it may go to

    async def effect(tx: Transaction) -> ApplyView:
        row = await rows.app(tx, name)
        if row is None:
            raise nothing("app", name)
        check_revision(f"app {name}", expected, row.revision)
        earlier = await _back_to(tx, row, data.revision)
        number, app = earlier.number, _content(earlier)
        if app is None:
            raise ApiError(409, f"cannot go back to revision {number} of {name}: it was removed there")
        what = f"go back to revision {number} of {name}"
        then = "they were collected: apply an app file with that archive, which pushes it"
        await asyncio.to_thread(_artifacts, hub, (app,), what, then)
        reason = data.reason or f"back to revision {number}"
        done = await _apply(call, tx, (app,), reason, data.confirm, data.leave_data)
        because = f": {earlier.reason}" if earlier.reason else ""
        note = f"{name} is as in revision {number}, by {earlier.changer}{because}"
        return msgspec.structs.replace(done, notes=(note, *done.notes))

    return await _decided(hub, await call.change(ApplyView, effect))


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
    route_handlers=[all_apps, one_app, plan, apply, remove, rollback, all_revisions, diff, why],
    tags=["apps"],
)
