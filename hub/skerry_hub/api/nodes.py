"""Nodes as people see them, and an operator's words on one: drain, undrain, dead, forget, approve, labels."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from skerry_protocol.conditions import told
from skerry_protocol.ids import NodeId
from skerry_protocol.messages import Issued, Override

from ..appfile.texts import BUILT_IN_LABELS, label_faults
from ..clock import now_ms
from ..hub import Hub
from ..journal import Happened, note
from ..loops.planning import check_removals, needing_confirmation
from ..model import AssignmentRow, NodeRow, NodeState
from ..operators import forget_node, set_node
from ..store import Owner, Transaction, View, rows
from .auth import OPERATOR, VIEWER
from .change import call_of, check_revision, expected_revision
from .faults import AnyRequest, ApiError, nothing
from .views import KeepAsk, LabelsAsk, NodeView, NodeWord

HERE_S = 30.0  # a node that was heard since is there


async def views(hub: Hub, store: View, only: NodeId | None = None) -> list[NodeView]:
    """All nodes, or one, as the API shows them."""
    newest: dict[NodeId, AssignmentRow] = {row.node: row for row in await rows.issued(store)}
    placed: dict[NodeId, int] = {}
    for one in await rows.placements(store):
        placed[one.node] = placed.get(one.node, 0) + 1
    found = [row for row in await rows.nodes(store) if only is None or row.id == only]
    return [
        _view(hub, row, newest.get(row.id), placed.get(row.id, 0))
        for row in sorted(found, key=lambda row: row.name)
    ]


def _view(hub: Hub, row: NodeRow, newest: AssignmentRow | None, instances: int) -> NodeView:
    fact = hub.intake.facts.get(row.id)
    silent_s = hub.hearing.last_heard(row.id)
    silent_ms = None if silent_s is None else int(silent_s * 1000)
    return NodeView(
        id=row.id,
        name=row.name,
        state=row.state.value,
        silent_ms=silent_ms,
        labels=row.labels,
        arch=row.arch,
        instances=instances,
        newest=_issued(newest.issued if newest else None),
        accepted=_issued(fact.accepted if fact else None),
        applied=_issued(fact.applied if fact else None),
        region=hub.mesh.region,
        heard_at_ms=None if silent_ms is None else now_ms() - silent_ms,
        conditions=_conditions(hub, row),
        overrides=tuple(_override(one) for one in fact.overrides) if fact else (),
        revision=row.revision,
        boots=hub.hearing.machines(row.id),
        address=hub.address_of(row),
    )


def _issued(issued: Issued | None) -> str:
    return "" if issued is None else str(issued.version)


def _override(one: Override) -> str:
    instead = f"revision {one.instead}" if one.instead else "nothing"
    return f"{one.instance} runs {instead} in place of revision {one.revision}: {one.reason} ({one.by})"


def _conditions(hub: Hub, row: NodeRow) -> tuple[str, ...]:
    """Everything that is out of order with the node, in words."""
    found: list[str] = []
    fact, last = hub.intake.facts.get(row.id), hub.hearing.last.get(row.id)
    if row.id in hub.hearing.silent():
        found.append("silent: counted as lost")
    if fact is not None and fact.refused:
        found.append(f"refused: {fact.refused}")
    if row.id in hub.hearing.trouble:
        found.append(hub.hearing.trouble[row.id])
    outcome = hub.reconciler.last
    if outcome is not None and row.id in outcome.withheld:
        found.append(outcome.withheld[row.id].text)
    if last is not None:
        found += [told(code) for code, count in sorted(last.conditions.items()) if count]
        found += [f"holds claim {one.claim} of {one.app}-{one.number}" for one in last.claims]
    return tuple(found)


@get("/nodes", guards=[VIEWER])
async def all_nodes(request: AnyRequest) -> list[NodeView]:
    """Every node of the region."""
    hub: Hub = request.app.state.hub
    async with hub.store.read() as store:
        return await views(hub, store)


@get("/nodes/{name:str}", guards=[VIEWER])
async def one_node(request: AnyRequest, name: FromPath[str]) -> Response[NodeView]:
    """One node, by name or id; the ETag is its revision."""
    hub: Hub = request.app.state.hub
    async with hub.store.read() as store:
        row = await _found(store, name)
        (view,) = await views(hub, store, row.id)
    return Response(view, headers={"ETag": f'"{view.revision}"'})


@post("/nodes/{name:str}/{word:str}", guards=[OPERATOR], status_code=200)
async def say(
    request: AnyRequest,
    name: FromPath[str],
    word: FromPath[str],
    data: JSONBody[NodeWord],
) -> NodeView:
    """An operator's word on a node."""
    if word not in WORDS:
        raise ApiError(404, f"cannot {word[:40]} a node: there is no such word", f"one of {', '.join(WORDS)}")
    hub: Hub = request.app.state.hub
    call, expected = await call_of(request), expected_revision(request)
    gone: list[NodeRow] = []
    if word == "dead" and not data.confirm:
        await hub.hearing.wake([(await _known(hub, name)).id])  # one with nothing to say is quiet, not dead

    async def effect(tx: Transaction) -> NodeView:
        row = await _found(tx, name)
        check_revision(f"node {name}", expected, row.revision)
        (before,) = await views(hub, tx, row.id)
        after = await WORDS[word](hub, tx, row, data, call.person.name)
        if after is None:
            gone.append(row)
            return msgspec.structs.replace(before, state="forgotten")
        await check_removals(hub, tx, data.confirm, call.person.name)
        return msgspec.structs.replace(before, state=after.state.value, revision=after.revision)

    done = await call.change(NodeView, effect)
    for row in gone:
        await hub.throw_out(row)
    return done


async def _drain(hub: Hub, tx: Transaction, row: NodeRow, data: NodeWord, who: str) -> NodeRow | None:
    if row.state not in {NodeState.READY, NodeState.DRAINING}:
        raise ApiError(409, f"cannot drain {row.name}: it is {row.state}")
    left = await _data_on(tx, row.id)
    if left and not data.leave_data:
        raise ApiError(
            409,
            f"cannot drain {row.name}: copies with data of their own live there: {', '.join(left)}",
            "their data stays on the node: confirm with --leave-data",
        )
    if row.state is NodeState.DRAINING and row.leave_data == data.leave_data:
        return row
    row = msgspec.structs.replace(row, state=NodeState.DRAINING, leave_data=data.leave_data, state_by=who)
    return await set_node(tx, row, who, "drained", data.reason)


async def _data_on(tx: Transaction, node: NodeId) -> list[str]:
    """The copies on a node whose volumes may not be empty elsewhere."""
    apps = {row.name: row.app for row in await rows.apps(tx)}
    return sorted(
        f"{one.app}-{one.number}"
        for one in await rows.placements(tx)
        if one.node == node
        and (app := apps.get(one.app)) is not None
        and not all(volume.empty_elsewhere for volume in app.volumes.values())
    )


async def _undrain(hub: Hub, tx: Transaction, row: NodeRow, data: NodeWord, who: str) -> NodeRow | None:
    if row.state is NodeState.WAITING:
        raise ApiError(409, f"cannot undrain {row.name}: it waits for approval")
    if row.state is NodeState.READY:
        return row
    row = msgspec.structs.replace(row, state=NodeState.READY, leave_data=False, state_by="")
    return await set_node(tx, row, who, "made ready", data.reason)


async def _dead(hub: Hub, tx: Transaction, row: NodeRow, data: NodeWord, who: str) -> NodeRow | None:
    if row.state is NodeState.DEAD:
        return row
    heard_s = hub.hearing.last_heard(row.id)
    if heard_s is not None and heard_s < HERE_S and not data.confirm:
        raise ApiError(
            409,
            f"cannot declare {row.name} dead: it was heard {heard_s:.0f} s ago, and its copies would be removed there",
            "drain it instead, or confirm with --confirm",
        )
    row = msgspec.structs.replace(row, state=NodeState.DEAD, state_by=who)
    return await set_node(tx, row, who, "declared dead", data.reason)


async def _approve(hub: Hub, tx: Transaction, row: NodeRow, data: NodeWord, who: str) -> NodeRow | None:
    if row.state is not NodeState.WAITING:
        raise ApiError(409, f"cannot approve {row.name}: it is {row.state}, not waiting")
    row = msgspec.structs.replace(row, state=NodeState.READY)
    return await set_node(tx, row, who, "approved", data.reason)


async def _confirm(hub: Hub, tx: Transaction, row: NodeRow, data: NodeWord, who: str) -> NodeRow | None:
    if row.id not in await needing_confirmation(hub, tx):
        raise ApiError(409, f"cannot confirm anything for {row.name}: nothing waits for that")
    row = msgspec.structs.replace(row, confirmed_by=who)
    return await set_node(tx, row, who, "told to remove most of its copies", data.reason)


async def _forget(hub: Hub, tx: Transaction, row: NodeRow, data: NodeWord, who: str) -> NodeRow | None:
    live = [one for one in await rows.placements(tx) if one.node == row.id]
    if live and not data.confirm:
        names = ", ".join(f"{one.app}-{one.number}" for one in live)
        raise ApiError(
            409,
            f"cannot forget {row.name}: it has {len(live)} copies ({names}), which would run on there unmanaged",
            "drain it first, or confirm with --confirm",
        )
    await forget_node(tx, row, who, data.reason)
    return None


WORDS: dict[str, Callable[[Hub, Transaction, NodeRow, NodeWord, str], Awaitable[NodeRow | None]]] = {
    "drain": _drain,
    "undrain": _undrain,
    "dead": _dead,
    "approve": _approve,
    "forget": _forget,
    "confirm": _confirm,
}


@post("/nodes/{name:str}/keep", guards=[OPERATOR], status_code=200)
async def keep(request: AnyRequest, name: FromPath[str], data: JSONBody[KeepAsk]) -> NodeView:
    """Says which of two machines with one identity is the node; the other gets no leases and must join anew."""
    hub: Hub = request.app.state.hub
    call = await call_of(request)

    async def effect(tx: Transaction) -> NodeView:
        row = await _found(tx, name)
        heard = hub.hearing.machines(row.id)
        if not heard:
            raise ApiError(409, f"cannot keep one machine of {row.name}: only one uses its identity")
        if data.boot not in heard:
            what = f"cannot keep {data.boot[:40]!r} of {row.name}: no such boot was heard"
            raise ApiError(409, what, "one of " + ", ".join(heard))
        hub.hearing.name_machine(row.id, data.boot)
        because = f": {data.reason}" if data.reason else ""
        text = (
            f"{call.person.name} kept the machine of {row.name} with boot {data.boot}; others must join anew"
        )
        event = Happened("machine-kept", text + because, node=row.name, changer=call.person.name)
        await note(tx.as_owner(Owner.OPERATORS), event)
        (view,) = await views(hub, tx, row.id)
        return view

    return await call.change(NodeView, effect)


@post("/nodes/{name:str}/labels", guards=[OPERATOR], status_code=200)
async def label(request: AnyRequest, name: FromPath[str], data: JSONBody[LabelsAsk]) -> NodeView:
    """Sets and removes labels; moves nothing that runs."""
    faults = label_faults(data.set)
    faults += [f"{key}: every node has this label by itself" for key in data.unset if key in BUILT_IN_LABELS]
    if faults:
        raise ApiError(400, f"cannot label {name}", faults=tuple(faults))
    hub: Hub = request.app.state.hub
    call, expected = await call_of(request), expected_revision(request)

    async def effect(tx: Transaction) -> NodeView:
        row = await _found(tx, name)
        check_revision(f"node {name}", expected, row.revision)
        labels = {**row.labels, **data.set}
        kept = {key: value for key, value in labels.items() if key not in data.unset}
        if kept != row.labels:
            what = _labelled(row.labels, kept)
            await set_node(tx, msgspec.structs.replace(row, labels=kept), call.person.name, what, data.reason)
        (view,) = await views(hub, tx, row.id)
        return view

    return await call.change(NodeView, effect)


async def _known(hub: Hub, name: str) -> NodeRow:
    async with hub.store.read() as store:
        return await _found(store, name)


def _labelled(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """What was done, to complete "the node was …"."""
    new = [f"{key}={value}" for key, value in sorted(after.items()) if before.get(key) != value]
    gone = sorted(before.keys() - after.keys())
    return " ".join(["labelled", *new, *(["without", *gone] if gone else [])])


async def _found(store: View, name: str) -> NodeRow:
    row = await rows.node(store, name)
    if row is None:
        raise nothing("node", name)
    return row


ROUTER = Router("/api", route_handlers=[all_nodes, one_node, say, label, keep], tags=["nodes"])
