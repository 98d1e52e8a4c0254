"""Rows of the tables as the structs of `model`, and back: the state that the control loops work on.

Reading takes any view; writing takes the hand of the owner, which refuses what is not its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import cache
from typing import TypeVar

import msgspec
from sqlalchemy import BindParameter, Select, Table, bindparam, exists, select, tuple_

from skerry_protocol.ids import AppName, InstanceId, NodeId, NodeName
from skerry_protocol.messages import Step, StepName, Version

from ..model import (
    AppRow,
    AssignmentRow,
    BootRow,
    ClaimRow,
    Fact,
    Loss,
    Mesh,
    NodeRow,
    Placement,
    StepRow,
    Word,
)
from . import schema as s
from .store import Value, Values, View, Writer

T = TypeVar("T", bound=msgspec.Struct)
AT_ONCE = 500  # databases bound the number of values in one statement


def dump(row: msgspec.Struct) -> str:
    """The form of a struct in a `doc` column."""
    return msgspec.json.encode(row).decode()


def load(kind: type[T], doc: object) -> T:
    """The struct in a `doc` column."""
    assert isinstance(doc, str)
    return msgspec.json.decode(doc, type=kind)


@cache  # to make a statement costs more than to run it
def _every(table: Table) -> Select[tuple[object]]:
    return select(table.c.doc).order_by(*table.primary_key.columns)


async def _all(view: View, table: Table, kind: type[T]) -> list[T]:
    return [load(kind, row[0]) for row in await view.rows(_every(table))]


async def _some(
    view: View, statement: Select[tuple[object, ...]], wanted: Iterable[str]
) -> AsyncIterator[tuple[object, ...]]:
    """The rows of a statement that has `wanted`, a few hundred at a time."""
    ordered = sorted(wanted)
    for start in range(0, len(ordered), AT_ONCE):
        for row in await view.rows(statement, {"wanted": ordered[start : start + AT_ONCE]}):
            yield row


_WANTED: BindParameter[str] = bindparam("wanted", expanding=True)
_MESH = select(s.meta.c.doc).where(s.meta.c.key == "mesh")
_NODE = select(s.nodes.c.doc).where(
    (s.nodes.c.name == bindparam("name")) | (s.nodes.c.id == bindparam("name"))
)
_NAMES = select(s.nodes.c.id, s.nodes.c.name).where(s.nodes.c.id.in_(_WANTED))
_PLACED = (
    select(s.placements.c.doc).where(s.placements.c.ended_at_ms.is_(None)).order_by(s.placements.c.instance)
)
_ENDS = select(s.placements.c.instance, s.placements.c.node, s.placements.c.ended_at_ms).where(
    s.placements.c.instance.in_(_WANTED)
)
_WORDS = select(s.placements.c.doc).where(
    s.placements.c.instance.in_(_WANTED), s.placements.c.ended_at_ms.is_not(None)
)
_STEPS = select(s.steps.c.node, s.steps.c.doc).order_by(s.steps.c.instance, s.steps.c.step)
_LIVE_STEPS = _STEPS.where(
    s.steps.c.instance.in_(select(s.placements.c.instance).where(s.placements.c.ended_at_ms.is_(None)))
)
_OUTBOXES = select(s.outboxes.c.node, s.outboxes.c.outbox, s.outboxes.c.seq).where(
    s.outboxes.c.node.in_(_WANTED)
)
_HEALTHY_STEPS = _LIVE_STEPS.where(s.steps.c.step == StepName.HEALTHY.value)
_TOLD = select(s.steps.c.instance).distinct()
_LATER = s.assignments.alias("later")
_NEWEST = select(s.assignments.c.doc, s.assignments.c.envelope).where(
    s.assignments.c.node.in_(_WANTED),
    ~exists().where(
        _LATER.c.node == s.assignments.c.node,
        tuple_(_LATER.c.serial, _LATER.c.epoch, _LATER.c.generation)
        > tuple_(s.assignments.c.serial, s.assignments.c.epoch, s.assignments.c.generation),
    ),
)
_STEPS_OF = select(s.steps.c.doc).where(s.steps.c.instance.in_(_WANTED))


async def mesh(view: View) -> Mesh | None:
    """The region's own settings; None before init."""
    row = await view.one(_MESH)
    return load(Mesh, row[0]) if row else None


async def put_mesh(hand: Writer, row: Mesh) -> None:
    await hand.put(s.meta, {"key": "mesh", "doc": dump(row)})


async def apps(view: View) -> list[AppRow]:
    """Every app, removed ones too (their `app` is None), by name."""
    return await _all(view, s.apps, AppRow)


async def app(view: View, name: AppName | str) -> AppRow | None:
    row = await view.one(select(s.apps.c.doc).where(s.apps.c.name == name))
    return load(AppRow, row[0]) if row else None


async def put_app(hand: Writer, row: AppRow) -> None:
    await hand.put(s.apps, {"name": row.name, "revision": row.revision, "doc": dump(row)})


async def nodes(view: View) -> list[NodeRow]:
    """Every node that is not forgotten, by id."""
    return await _all(view, s.nodes, NodeRow)


async def node(view: View, name: str) -> NodeRow | None:
    """A node by its name or its id."""
    row = await view.one(_NODE, {"name": name})
    return load(NodeRow, row[0]) if row else None


async def names(view: View, nodes: Iterable[NodeId]) -> dict[NodeId, NodeName]:
    """The names of those of these nodes that are not forgotten."""
    found = {}
    async for node, name in _some(view, _NAMES, nodes):
        found[NodeId(str(node))] = NodeName(str(name))
    return found


async def put_node(hand: Writer, row: NodeRow) -> None:
    await hand.put(s.nodes, {"id": row.id, "name": row.name, "revision": row.revision, "doc": dump(row)})


async def facts(view: View) -> list[Fact]:
    return await _all(view, s.facts, Fact)


async def put_facts(hand: Writer, found: Iterable[Fact]) -> None:
    await hand.put_all(s.facts, ({"node": row.node, "doc": dump(row)} for row in found))


async def losses(view: View) -> list[Loss]:
    return await _all(view, s.losses, Loss)


async def put_loss(hand: Writer, row: Loss) -> None:
    await hand.put(s.losses, {"node": row.node, "lost_after_ms": row.lost_after_ms, "doc": dump(row)})


async def placements(view: View) -> list[Placement]:
    """The placements that have not ended."""
    return [load(Placement, row[0]) for row in await view.rows(_PLACED)]


async def ends(view: View, instances: Iterable[InstanceId]) -> dict[InstanceId, tuple[NodeId, int | None]]:
    """Where each of these copies is or was, and when it ended; those that never were are left out."""
    found: dict[InstanceId, tuple[NodeId, int | None]] = {}
    async for instance, node, ended_ms in _some(view, _ENDS, instances):
        assert ended_ms is None or isinstance(ended_ms, int)
        found[InstanceId(str(instance))] = (NodeId(str(node)), ended_ms)
    return found


def placement_values(row: Placement) -> Values:
    values: dict[str, Value] = {
        "instance": row.instance,
        "app": row.app,
        "number": row.number,
        "node": row.node,
        "ended_at_ms": None,
        "ended_reason": None,
        "doc": dump(row),
    }
    return values


async def end_placement(hand: Writer, row: Placement, at_ms: int, reason: str) -> None:
    """Ended placements are kept, with the word by which they ended: an instance id is never used again."""
    values: dict[str, Value] = {"ended_at_ms": at_ms, "ended_reason": reason, "doc": dump(row)}
    await hand.change(s.placements, values, s.placements.c.instance == row.instance)


async def words(view: View, instances: Iterable[InstanceId]) -> dict[InstanceId, Word]:
    """By whose word these copies ended; those that did not, or by nobody's, are left out."""
    found: dict[InstanceId, Word] = {}
    async for (doc,) in _some(view, _WORDS, instances):
        row = load(Placement, doc)
        if row.word is not None:
            found[row.instance] = row.word
    return found


async def claims(view: View) -> list[ClaimRow]:
    return await _all(view, s.claims, ClaimRow)


async def put_claim(hand: Writer, row: ClaimRow) -> None:
    """The newest claim of its (app, number): rows are replaced, never dropped."""
    await hand.put(s.claims, claim_values(row))


def claim_values(row: ClaimRow) -> Values:
    return {"app": row.app, "number": row.number, "doc": dump(row)}


async def boots(view: View) -> list[BootRow]:
    return await _all(view, s.boots, BootRow)


async def put_boots(hand: Writer, found: Iterable[BootRow]) -> None:
    await hand.put_all(s.boots, ({"node": row.node, "doc": dump(row)} for row in found))


def _assignment(doc: object, envelope: object) -> AssignmentRow:
    assert isinstance(envelope, bytes)
    return msgspec.structs.replace(load(AssignmentRow, doc), envelope=envelope)


async def assignments(
    view: View, node: NodeId | None = None, newest: int | None = None
) -> list[AssignmentRow]:
    """All assignments that are kept, by node, oldest first; of one node, at most the `newest` ones."""
    t = s.assignments
    statement = select(t.c.doc, t.c.envelope)
    if node is not None:
        statement = statement.where(t.c.node == node)
    order = (t.c.node, t.c.serial.desc(), t.c.epoch.desc(), t.c.generation.desc())
    found = await view.rows(statement.order_by(*order).limit(newest))
    return sorted((_assignment(*row) for row in found), key=lambda row: (row.node, row.issued.version))


async def newest_of(view: View, nodes: Iterable[NodeId]) -> dict[NodeId, AssignmentRow]:
    """The newest assignment of each of these nodes; those that never had one are left out."""
    found = {}
    async for doc, envelope in _some(view, _NEWEST, nodes):
        row = _assignment(doc, envelope)
        found[row.node] = row
    return found


async def issued(view: View) -> list[AssignmentRow]:
    """All assignments that are kept, by node, oldest first, without their bytes (`envelope` is empty)."""
    return sorted(
        await _all(view, s.assignments, AssignmentRow), key=lambda row: (row.node, row.issued.version)
    )


async def assignment(view: View, digest: bytes) -> AssignmentRow | None:
    """An assignment by the SHA-256 of its signed payload."""
    t = s.assignments
    row = await view.one(select(t.c.doc, t.c.envelope).where(t.c.digest == digest.hex()))
    return _assignment(*row) if row else None


async def oldest_version(view: View, node: NodeId) -> Version | None:
    """The oldest assignment of a node that is kept; those before it were issued, and dropped."""
    t = s.assignments
    statement = select(t.c.serial, t.c.epoch, t.c.generation).where(t.c.node == node)
    row = await view.one(statement.order_by(t.c.serial, t.c.epoch, t.c.generation))
    return (
        msgspec.convert(dict(zip(("serial", "epoch", "generation"), row, strict=True)), Version)
        if row
        else None
    )


def assignment_values(row: AssignmentRow) -> Values:
    version = row.issued.version
    values: dict[str, Value] = {
        "node": row.node,
        "serial": version.serial,
        "epoch": version.epoch,
        "generation": version.generation,
        "digest": row.issued.digest.hex(),
        "doc": dump(msgspec.structs.replace(row, envelope=b"")),
        "envelope": row.envelope,
    }
    return values


async def outboxes(view: View, nodes: Iterable[NodeId]) -> dict[tuple[NodeId, str], int]:
    """The highest number that was taken of each outbox of these nodes."""
    found = {}
    async for node, outbox, seq in _some(view, _OUTBOXES, nodes):
        assert isinstance(seq, int)
        found[NodeId(str(node)), str(outbox)] = seq
    return found


async def forget_steps(hand: Writer) -> None:
    """No step is known any more: of a store that was put back nobody can say which are still true."""
    await hand.drop(s.steps)


async def steps(view: View, app: AppName | None = None, live: bool = False) -> list[StepRow]:
    """The newest word on each step; of all instances or those of one app, with `live` without those that ended."""
    statement = _LIVE_STEPS if live else _STEPS
    if app is not None:
        statement = statement.where(s.steps.c.app == app)
    return [StepRow(NodeId(str(node)), load(Step, doc)) for node, doc in await view.rows(statement)]


async def healthy_steps(view: View) -> list[StepRow]:
    """The newest word of every live copy on whether it is healthy."""
    found = await view.rows(_HEALTHY_STEPS)
    return [StepRow(NodeId(str(node)), load(Step, doc)) for node, doc in found]


async def told(view: View) -> frozenset[InstanceId]:
    """The copies of which there is any step."""
    return frozenset(InstanceId(str(instance)) for (instance,) in await view.rows(_TOLD))


async def steps_of(view: View, instances: Iterable[InstanceId]) -> dict[tuple[InstanceId, StepName], Step]:
    """The newest word on each step of these instances."""
    found = {}
    async for (doc,) in _some(view, _STEPS_OF, instances):
        step = load(Step, doc)
        found[step.instance, step.step] = step
    return found


def step_values(node: NodeId, step: Step) -> Values:
    return {
        "instance": step.instance,
        "step": step.step.value,
        "node": node,
        "app": step.app,
        "doc": dump(step),
    }
