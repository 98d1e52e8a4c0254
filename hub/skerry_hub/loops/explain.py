"""Why an app is as it is: every copy's way from the operator's word to healthy, step by step.

Owns the order of the steps and one sentence for each app and copy. Reads what the loops and nodes left behind and
decides nothing; a wedged step says so by its age. Data only: who shows it decides how.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec import Struct, structs

from skerry_protocol.ids import AppName, InstanceId, NodeId, NodeName, instance_name
from skerry_protocol.messages import Override, Step, StepName, StepState

from ..model import (
    AppRow,
    AssignmentRow,
    ClaimRow,
    ClaimState,
    Fact,
    Loss,
    NodeRow,
    Placement,
    StepRow,
    Turned,
    Waiting,
)
from .nodeports import Clash
from .telling import turned_text

HUB_STAGES = ("admit", "rollout", "schedule", "compile", "sign", "publish")
STAGES = (*HUB_STAGES, *(step.value for step in StepName))
WEDGED_MS = 60_000


class Stage(Struct, frozen=True):
    """One step of one copy. `since_ms`: by the clock of whoever said it; 0 where nobody knows."""

    name: str
    state: StepState
    since_ms: int = 0
    reason: str = ""


class CopyWhy(Struct, frozen=True):
    """One copy: where it is, how far it came, and one sentence. `silent`: its node is, and this is the last it said."""

    name: str
    number: int
    state: str
    headline: str
    stages: tuple[Stage, ...]
    instance: InstanceId | None = None
    node: NodeName | None = None
    revision: int = 0
    claim: int | None = None
    reason: str = ""
    silent: bool = False


class Why(Struct, frozen=True):
    """The whole answer. `state` is the worst of its copies': healthy, running, waiting, held, failed; or removed."""

    app: AppName
    revision: int
    state: str
    headline: str
    copies: tuple[CopyWhy, ...] = ()
    changer: str = ""
    reason: str = ""
    changed_at_ms: int = 0


@dataclass(frozen=True)
class _Known:
    """All that was handed in, by what it is about."""

    row: AppRow
    claims: Mapping[InstanceId, ClaimRow]
    waiting: Mapping[InstanceId, Waiting]
    steps: Mapping[tuple[InstanceId, StepName], Step]
    facts: Mapping[NodeId, Fact]
    silent: Mapping[NodeId, Loss]
    nodes: Mapping[NodeId, NodeRow]
    newest: Mapping[NodeId, AssignmentRow]
    withheld: Mapping[NodeId, str]
    hindered: Mapping[NodeId, str]
    edited: Mapping[NodeId, str]
    clashes: Mapping[InstanceId, Clash]
    now_ms: int


def why(
    row: AppRow,
    placements: Iterable[Placement],
    claims: Iterable[ClaimRow],
    turned: Iterable[Turned],
    waiting: Iterable[Waiting],
    steps: Iterable[StepRow],
    facts: Iterable[Fact],
    losses: Iterable[Loss],
    nodes: Iterable[NodeRow],
    newest: Iterable[AssignmentRow],
    now_ms: int,
    *,
    withheld: Mapping[NodeId, str] | None = None,
    hindered: Mapping[NodeId, str] | None = None,
    edited: Mapping[NodeId, str] | None = None,
    clashes: Iterable[Clash] = (),
) -> Why:
    """Explains one app; rows of other apps are passed over. `newest`: each node's newest assignment. `withheld`: nodes
    whose next assignment may not be made, with the reason. `hindered`: what nodes say that nothing can be switched for;
    `edited`: what they say of unit files that somebody changed. `clashes`: copies that do not get a port of their node.
    """
    known = _Known(
        row=row,
        claims={one.instance: one for one in claims if one.app == row.name and one.state is ClaimState.HELD},
        waiting={one.instance: one for one in waiting if one.app == row.name and one.instance is not None},
        steps={(one.step.instance, one.step.step): one.step for one in steps if one.step.app == row.name},
        facts={fact.node: fact for fact in facts},
        silent={loss.node: loss for loss in losses if loss.returned_at_ms is None},
        nodes={node.id: node for node in nodes},
        newest={one.node: one for one in newest},
        withheld=withheld or {},
        hindered=hindered or {},
        edited=edited or {},
        clashes={one.placement.instance: one for one in clashes},
        now_ms=now_ms,
    )
    placed = sorted(
        (one for one in placements if one.app == row.name), key=lambda one: (one.number, one.instance)
    )
    copies = [_copy(one, known) for one in placed]
    copies += [_missing(one, known) for one in turned if one.app == row.name]
    copies.sort(key=lambda one: (one.number, one.instance or ""))
    return _whole(row, copies, known)


def _whole(row: AppRow, copies: list[CopyWhy], known: _Known) -> Why:
    state, headline = "removed", f"{row.name} was removed by {row.changer or 'an operator'}"
    if row.app is not None:
        bad = [one for one in copies if one.state != "healthy"]
        order = ("failed", "held", "waiting", "running")
        state = min((one.state for one in bad), key=order.index) if bad else "healthy"
        if not copies:
            state, headline = (
                "waiting",
                f"{row.name} has no copy: no node fits it, or the hub has not placed it yet",
            )
        elif not bad:
            headline = f"all {len(copies)} copies are healthy" if len(copies) > 1 else "the copy is healthy"
            headline = next((one.headline for one in copies if one.instance in known.clashes), headline)
        else:
            headline = next(one.headline for one in bad if one.state == state)
            headline += f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    elif copies:
        headline += f"; {len(copies)} copies are still placed"
    return Why(
        row.name, row.revision, state, headline, tuple(copies), row.changer, row.reason, row.changed_at_ms
    )


def _missing(turned: Turned, known: _Known) -> CopyWhy:
    """A copy without a place."""
    reason = f"none of {turned.candidates} nodes takes it: {turned_text(turned.by)}"
    stages = _padded(
        [*_admitted(known.row), Stage("schedule", StepState.WAITING, known.row.changed_at_ms, reason)]
    )
    name = instance_name(turned.app, turned.number)
    return CopyWhy(name, turned.number, "waiting", f"{name} has no place: {reason}", stages)


def _copy(placement: Placement, known: _Known) -> CopyWhy:
    stages = _padded([*_admitted(known.row), *_placed(placement, known)])
    node = known.nodes.get(placement.node)
    node_name = node.name if node else NodeName(placement.node)
    name = instance_name(placement.app, placement.number)
    at = next((stage for stage in stages if stage.state is not StepState.DONE), None)
    state = at.state.value if at else "healthy"
    word = _override(placement, known.facts.get(placement.node))
    if at is None:
        clash = known.clashes.get(placement.instance)
        headline = f"{name} is healthy on {node_name}" + (f", but {clash.text(node_name)}" if clash else "")
        if edited := known.edited.get(placement.node):
            stages = (*stages[:-1], structs.replace(stages[-1], reason=f"{node_name} says {edited}"))
    elif word is not None and at.state is StepState.HELD:
        headline = f"{name} on {node_name}: {_in_place(word)}"
    else:
        headline = _headline(name, node_name, at, known.now_ms)
        hinders = known.hindered.get(placement.node)
        if hinders is not None and at.state in {StepState.WAITING, StepState.RUNNING}:
            headline += f" ({node_name} says {hinders})"
    claim = known.claims.get(placement.instance)
    return CopyWhy(
        name=name,
        number=placement.number,
        state=state,
        headline=headline,
        stages=stages,
        instance=placement.instance,
        node=node_name,
        revision=placement.revision,
        claim=claim.claim if claim else None,
        reason=placement.reason,
        silent=placement.node in known.silent,
    )


def _headline(name: str, node: NodeName, at: Stage, now_ms: int) -> str:
    age = now_ms - at.since_ms if at.since_ms else 0
    text = f"{name} on {node}: step '{at.name}' is {at.state.value}"
    if at.state is not StepState.FAILED and age >= WEDGED_MS:
        text += f" for {_span(age)}"
    return f"{text}: {at.reason}" if at.reason else text


def _admitted(row: AppRow) -> list[Stage]:
    by = f"by {row.changer}" if row.changer else ""
    return [
        Stage("admit", StepState.DONE, row.changed_at_ms, f"revision {row.revision} {by}".strip()),
        Stage("rollout", StepState.DONE, row.changed_at_ms),
    ]


def _padded(stages: list[Stage]) -> tuple[Stage, ...]:
    """All steps in their order; those that nobody came to yet are waiting."""
    return (*stages, *(Stage(name, StepState.WAITING) for name in STAGES[len(stages) :]))


def _placed(placement: Placement, known: _Known) -> list[Stage]:
    """From `schedule` on, up to the first step that is not done."""
    move = known.waiting.get(placement.instance)
    text = move.reason if move and move.step == "schedule" else placement.reason
    stages = [Stage("schedule", StepState.DONE, placement.since_ms, text)]
    newest = known.newest.get(placement.node)
    if not _carries(newest, placement):
        claim = move.reason if move and move.step == "claim" else None
        reason = known.withheld.get(placement.node) or claim or "the node's next assignment is not made yet"
        state = StepState.HELD if placement.node in known.withheld else StepState.WAITING
        return [*stages, Stage("compile", state, placement.since_ms, reason)]
    assert newest is not None
    generation = f"assignment {newest.issued.version}"
    stages += [Stage(name, StepState.DONE, newest.made_at_ms, generation) for name in ("compile", "sign")]
    return stages + _on_node(placement, newest, known)


def _carries(newest: AssignmentRow | None, placement: Placement) -> bool:
    if newest is None:
        return False
    if not newest.copies:
        return placement.instance in newest.instances
    return any((one.id, one.revision) == (placement.instance, placement.revision) for one in newest.copies)


def _on_node(placement: Placement, newest: AssignmentRow, known: _Known) -> list[Stage]:
    """`publish` and the node's own steps."""
    fact, loss = known.facts.get(placement.node), known.silent.get(placement.node)
    said = [known.steps.get((placement.instance, name)) for name in StepName]
    current = [step if step is not None and step.revision == placement.revision else None for step in said]
    accepted = fact.accepted if fact else None
    taken = accepted is not None and accepted.version >= newest.issued.version
    if not taken and not any(current):
        return [_not_taken(newest, fact, loss)]
    stages = [Stage("publish", StepState.DONE, newest.made_at_ms)]
    for name, step in zip(StepName, current, strict=True):
        stages.append(_node_stage(name, step, any(current[list(StepName).index(name) :]), known))
    word = _override(placement, fact)
    if word is not None:
        stages = _held(stages, word)
    if loss is not None and stages[-1].state is StepState.DONE:
        text = f"the node is silent; this is the last that it said (lost_after {_span(loss.lost_after_ms)})"
        stages[-1] = Stage(stages[-1].name, StepState.HELD, loss.since_ms, text)
    return stages


def _not_taken(newest: AssignmentRow, fact: Fact | None, loss: Loss | None) -> Stage:
    if fact is not None and fact.refused:
        return Stage("publish", StepState.FAILED, newest.made_at_ms, f"the node refused: {fact.refused}")
    if loss is not None:
        return Stage(
            "publish", StepState.WAITING, loss.since_ms, "the node is silent; it gets this when it is back"
        )
    return Stage(
        "publish", StepState.RUNNING, newest.made_at_ms, "the node has not taken its newest assignment yet"
    )


def _node_stage(name: StepName, step: Step | None, later: bool, known: _Known) -> Stage:
    """A step as the node said it; one it passed without a word is done where a later one has one."""
    if step is not None:
        return Stage(name.value, step.state, step.since_ms, step.reason)
    passed = later or name in {StepName.RECEIVED, StepName.VERIFIED}
    return Stage(name.value, StepState.DONE if passed else StepState.WAITING)


def _held(stages: list[Stage], word: Override) -> list[Stage]:
    """Up to the step that the node's own word ended, be it that it failed; what it never came to, it passed over."""
    ended = {StepState.FAILED, StepState.HELD, StepState.RUNNING}
    at = next((n for n, one in enumerate(stages) if one.state in ended), len(stages) - 1)
    over = [Stage(one.name, StepState.DONE) if one.state is StepState.WAITING else one for one in stages[:at]]
    return [*over, Stage(stages[at].name, StepState.HELD, word.made_at_ms, _in_place(word))]


def _in_place(word: Override) -> str:
    runs = f"revision {word.instead}" if word.instead else "nothing"
    return f"the node runs {runs} in place of revision {word.revision}, by {word.by}: {word.reason}"


def _override(placement: Placement, fact: Fact | None) -> Override | None:
    """The node's own word on what this copy is to run."""
    words = fact.overrides if fact else ()
    return next(
        (
            word
            for word in words
            if word.instance == placement.instance and word.revision == placement.revision
        ),
        None,
    )


def _span(milliseconds: int) -> str:
    """ "45 s", "12 min", "3 h", "5 days": good enough for a sentence."""
    seconds = milliseconds // 1000
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86_400} days"
