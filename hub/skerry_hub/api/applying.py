"""Making apps what is wanted, and saying before what that would change: by their fields, or by an operator's own file.

Copies go only to nodes that were heard lately, and a node with nothing to say is quiet for minutes: those that a change
would need are asked to speak first, and it is judged again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from litestar import Router, post
from litestar.params import FromQuery, JSONBody

from skerry_protocol.app import App

from ..appfile import Faults, check_app, format_faults, parse
from ..hub import Hub
from ..journal import next_number
from ..loops.planning import Unheard, carry_out, propose
from ..model import AppRow
from ..store import Transaction, View, rows
from .auth import OPERATOR, person_of
from .change import Call, call_of, check_revision
from .faults import AnyRequest, ApiError
from .unknown import unknown
from .views import ApplyAsk, ApplyView

APPS_MAX = 500
WAKING_ROUNDS = 3  # each asks as many nodes as a run of the loops would

T = TypeVar("T")


@post("/plan", guards=[OPERATOR], status_code=200)
async def plan(request: AnyRequest, data: JSONBody[ApplyAsk]) -> ApplyView:
    """What these apps would change, without changing anything."""
    await _check(request, data)
    hub: Hub = request.app.state.hub
    who = person_of(request).name

    async def attempt(asking: bool) -> ApplyView:
        async with hub.store.read() as store:
            new = await _rows(store, data.apps, who, data.reason)
            found = await propose(hub, store, new, data.leave_data, data.confirm)
        if asking and found.ask:
            raise Unheard(found.ask)
        return ApplyView(found.changes, found.refusals, found.notes)

    return await waking(hub, attempt)


@post("/apply", guards=[OPERATOR], status_code=200)
async def apply(request: AnyRequest, data: JSONBody[ApplyAsk]) -> ApplyView:
    """Makes these apps what is wanted: a new revision of each that differs. Others are left alone."""
    await _check(request, data)
    return await _applied(await call_of(request), data)


@post("/apply/file", guards=[OPERATOR], status_code=200)
async def apply_file(
    request: AnyRequest,
    name: FromQuery[str] = "the file",
    reason: FromQuery[str] = "",
    confirm: FromQuery[bool] = False,
    leave_data: FromQuery[bool] = False,
) -> ApplyView:
    """The same for an app file, sent as it stands (TOML). One that names archives by path is refused with 409."""
    found = await asyncio.to_thread(parse, await request.body(), name)
    if isinstance(found, Faults):
        faults = tuple(format_faults(found).splitlines())
        raise ApiError(400, f"cannot apply {name}: the apps have faults", faults=faults)
    if found.artifacts:
        apps = ", ".join(sorted(found.artifacts))
        raise ApiError(409, f"cannot apply {name}: archives of {apps} are named by path", "push them first")
    ask = ApplyAsk(found.apps, reason=reason, confirm=confirm, leave_data=leave_data)
    return await _applied(await call_of(request), ask)


async def _applied(call: Call, data: ApplyAsk) -> ApplyView:
    """Checked apps, made what is wanted."""
    await _archives_are_here(call.hub, data.apps)

    async def attempt(asking: bool) -> ApplyView:
        async def effect(tx: Transaction) -> ApplyView:
            await _expected(tx, data.expect)
            await _archives_are_here(call.hub, data.apps)  # none is collected while this transaction is open
            return await made(call, tx, data, asking)

        return await call.change(ApplyView, effect)

    return await waking(call.hub, attempt)


async def waking(hub: Hub, attempt: Callable[[bool], Awaitable[T]]) -> T:
    """What `attempt` gives: it raises Unheard while it may ask, and has to go on without the nodes in the end."""
    for _ in range(WAKING_ROUNDS):
        try:
            return await attempt(True)
        except Unheard as quiet:
            await hub.hearing.wake(quiet.nodes)
    return await attempt(False)


async def made(call: Call, tx: Transaction, data: ApplyAsk, asking: bool) -> ApplyView:
    """The change, in its transaction. Raises what makes it impossible."""
    done = await carry_out(
        call.hub, tx, data.apps, call.person.name, data.reason,
        confirmed=data.confirm, leave_data=data.leave_data, asking=asking,
    )  # fmt: skip
    found = done.proposal
    if found.refusals:
        raise ApiError(409, "cannot apply, and changed nothing", faults=found.refusals)
    revisions = {str(app.name): done.revisions[app.name] for app in data.apps}
    return ApplyView(found.changes, (), found.notes, revisions)


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


async def _archives_are_here(hub: Hub, apps: tuple[App, ...]) -> None:
    if any(app.artifacts for app in apps):
        await asyncio.to_thread(check_artifacts, hub, apps)


def check_artifacts(
    hub: Hub, apps: tuple[App, ...], what: str = "apply", then: str = "push them first"
) -> None:
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


ROUTER = Router("/api", route_handlers=[plan, apply, apply_file], tags=["apps"])
