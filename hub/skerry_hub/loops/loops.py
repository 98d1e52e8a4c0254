"""The control loops of a region as the steps of one graph: schedule → claim → compile → sign.

Each step is a pure function of the fields it declares; the store gives them and takes what they make. What is only
known here and now (who was heard lately, the moment, entropy) is in the Moment, made once for a run.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from skerry_netplan.planner import Planner
from skerry_protocol import signing
from skerry_protocol.app import Resources
from skerry_protocol.codec import encode
from skerry_protocol.ids import AppName, Claim, InstanceId, NodeId
from skerry_protocol.messages import Assignment, Issued, StepName, StepState

from ..model import (
    AppRow,
    AssignmentRow,
    ClaimRow,
    Fact,
    Loss,
    Mesh,
    NodeRow,
    Placement,
    StepRow,
    Waiting,
    Word,
)
from ..network.region import Door, plan, region
from .claims import Unknown, may_run, step_claims
from .compile import Withheld, bounds, compile_node, content_key
from .graph import Fields, Graph, Step
from .scheduler import Schedule, schedule

UNSHOWN = "claims to hold what this hub never issued, and cannot show it"
Revisions = Mapping[tuple[AppName, int], AppRow]
Freed = frozenset[tuple[AppName, int, Claim]]
Sign = Callable[[bytes], signing.Signed]


@dataclass(frozen=True)
class State:
    """The stored state that a run reads, as of the last commit. `issued` has no bytes; `paused` nodes get nothing.

    `steps` are the words on whether copies are healthy, `told` the copies that any step is known of. `unshown` are the
    paused ones that only claim to be ahead. `words`: by whose word copies ended that some issued
    assignment has.
    """

    mesh: Mesh
    apps: Sequence[AppRow]
    revisions: Revisions
    nodes: Sequence[NodeRow]
    facts: Mapping[NodeId, Fact]
    losses: Sequence[Loss]
    placements: Sequence[Placement]
    claims: Sequence[ClaimRow]
    issued: Mapping[NodeId, Sequence[AssignmentRow]]
    steps: Sequence[StepRow] = ()
    told: frozenset[InstanceId] = frozenset()
    paused: frozenset[NodeId] = frozenset()
    unshown: frozenset[NodeId] = frozenset()
    overwrites: Mapping[NodeId, Issued] = field(default_factory=dict)
    holds: Mapping[NodeId, tuple[InstanceId, ...]] = field(default_factory=dict)
    words: Mapping[InstanceId, Word] = field(default_factory=dict)


@dataclass(frozen=True)
class Moment:
    """What only this run knows. `fresh`: heard in the last 30 s; `freed`: claims that beats freed.

    `in_doubt`: it is being found out whether the store is an old one; no new claim meanwhile. `listening_ms`: for how
    long the hub has heard, and granted, whatever there was. `door`: None where nodes have no tunnels.
    """

    now_ms: int
    entropy: Callable[[], bytes]
    hub_key: bytes
    delegation: signing.Signed
    fresh: frozenset[NodeId] = frozenset()
    freed: Freed = frozenset()
    asked: frozenset[NodeId] | None = None
    in_doubt: bool = False
    listening_ms: int = 0
    door: Door | None = None


@dataclass(frozen=True)
class Outcome:
    """What a run decided: the schedule with its report, all claims, new assignments, and what was not made and why.

    `again_ms`: when time alone lets another run decide more (None: never). `planner`: of the network, if there is one.
    """

    schedule: Schedule
    claims: tuple[ClaimRow, ...]
    waiting: tuple[Waiting, ...]
    withheld: Mapping[NodeId, Withheld]
    assignments: tuple[AssignmentRow, ...]
    again_ms: int | None = None
    planner: Planner | None = None


def run(state: State, moment: Moment) -> Outcome:
    """One pass of all loops."""
    made = GRAPH.run(_view(state), moment)
    return Outcome(
        cast(Schedule, made["schedule"]),
        cast(tuple[ClaimRow, ...], made["claims"]),
        cast(tuple[Waiting, ...], made["claims_waiting"]),
        cast(Mapping[NodeId, Withheld], made["withheld"]),
        cast(tuple[AssignmentRow, ...], made["assignments"]),
        cast(int | None, made["again_ms"]),
        cast(Planner | None, made["planner"]),
    )


def _view(state: State) -> dict[str, object]:
    return {name: getattr(state, name) for name in State.__dataclass_fields__}


def _state(view: Fields, **more: object) -> State:
    """The declared fields as a State; what a step did not declare is empty, so that it cannot be used by mistake."""
    empty: dict[str, object] = {
        "apps": (),
        "revisions": {},
        "nodes": (),
        "facts": {},
        "losses": (),
        "placements": (),
        "claims": (),
        "issued": {},
    }
    known = {key: value for key, value in view.items() if key in State.__dataclass_fields__}
    return State(**{**empty, **known, **more})  # type: ignore[arg-type] # the graph carries fields by name


def _schedule(view: Fields, context: object) -> Fields:
    state, moment = _state(view), cast(Moment, context)
    revisions = dict(state.revisions)
    decided = schedule(
        state.apps,
        state.nodes,
        state.placements,
        state.claims,
        state.losses,
        healthy(state.placements, state.steps),
        frozenset(
            node for node, rows in state.issued.items() if _applied_newest(rows, state.facts.get(node))
        ),
        moment.fresh,
        used(state.issued, state.facts, revisions),
        moment.now_ms,
        moment.entropy,
        restored=state.mesh.restored or moment.in_doubt,
        asked=moment.asked,
    )
    return {"schedule": decided, "placements": decided.placements}


def _applied_newest(issued: Sequence[AssignmentRow], fact: Fact | None) -> bool:
    return bool(issued) and fact is not None and fact.applied == issued[-1].issued


def healthy(placements: Iterable[Placement], steps: Iterable[StepRow]) -> frozenset[InstanceId]:
    """The copies whose node last said that they are healthy on the revision that they are to run."""
    wanted = {one.instance: one.revision for one in placements}
    return frozenset(
        row.step.instance
        for row in steps
        if row.step.step is StepName.HEALTHY
        and row.step.state is StepState.DONE
        and wanted.get(row.step.instance) == row.step.revision
    )


def ailing(state: State, outcome: Outcome, silent: Container[NodeId]) -> frozenset[InstanceId]:
    """The copies that last were not healthy, or whose node is silent."""
    failed = {row.step.instance for row in state.steps if row.step.state is StepState.FAILED}
    return frozenset(
        one.instance for one in outcome.schedule.placements if one.instance in failed or one.node in silent
    )


def used(
    issued: Mapping[NodeId, Sequence[AssignmentRow]], facts: Mapping[NodeId, Fact], revisions: Revisions
) -> dict[NodeId, Resources]:
    """What each node may be using: the most of any assignment that it may run."""
    return {node: _most(may_run(rows, facts.get(node)), revisions) for node, rows in issued.items() if rows}


def _most(rows: Iterable[AssignmentRow], revisions: Revisions) -> Resources:
    memory = cpu = 0
    for row in rows:
        apps = [found.app for one in row.copies if (found := revisions.get((one.app, one.revision)))]
        memory = max(memory, sum(app.resources.memory_bytes or 0 for app in apps if app))
        cpu = max(cpu, sum(app.resources.cpu_milli or 0 for app in apps if app))
    return Resources(memory_bytes=memory, cpu_milli=cpu)


def _claim(view: Fields, context: object) -> Fields:
    state, moment = _state(view), cast(Moment, context)
    apps = {key: row.app for key, row in state.revisions.items() if row.app is not None}
    # Who forgot a node was told that its copies run on, and answers for them: nothing waits for it any more.
    members = frozenset(node.id for node in state.nodes)
    running = {
        node: may_run(rows, state.facts.get(node)) for node, rows in state.issued.items() if node in members
    }
    done = step_claims(
        state.claims,
        [one for one in state.placements if (one.app, one.revision) in apps],
        apps,
        moment.freed,
        losses=state.losses,
        restored=state.mesh.restored or moment.in_doubt,
        unknown=Unknown(state.mesh.claims_above, moment.listening_ms),
        running=running,
        names={node.id: node.name for node in state.nodes},
    )
    return {"claims": done.claims, "claims_waiting": done.waiting, "again_ms": done.again_ms}


def _compile(view: Fields, context: object) -> Fields:
    state = _state(view)
    door = cast(Moment, context).door
    planner = _planner(state, door) if door is not None else None
    by_node: dict[NodeId, list[Placement]] = {}
    for placement in state.placements:
        by_node.setdefault(placement.node, []).append(placement)
    ended = cast(Schedule, view["schedule"]).ended
    words = {**state.words, **{one.instance: one.word for one, _ in ended if one.word is not None}}
    drafts: dict[NodeId, Assignment] = {}
    withheld: dict[NodeId, Withheld] = {}
    for node in state.nodes:
        if node.id in state.paused:
            what = UNSHOWN if node.id in state.unshown else "holds what this restored hub never issued"
            withheld[node.id] = Withheld(f"it is paused: it {what}", then="'skerry hub resume' shows it")
            continue
        rows = state.issued.get(node.id, ())
        made = compile_node(
            state.mesh,
            node,
            by_node.get(node.id, []),
            state.claims,
            state.revisions,
            _since_accepted(rows, state.facts.get(node.id)),
            state.facts.get(node.id),
            confirmed_by=node.confirmed_by,
            overwrites=over.digest if (over := state.overwrites.get(node.id)) else None,
            holds=state.holds.get(node.id, ()),
            words=words,
            network=plan(planner, door, node) if planner is not None and door is not None else None,
        )
        if isinstance(made, Withheld):
            withheld[node.id] = made
        elif made is not None and (made.instances or rows):
            drafts[node.id] = made
    return {"drafts": drafts, "withheld": withheld, "planner": planner}


def _planner(state: State, door: Door) -> Planner:
    return Planner(region(state.mesh, door, state.nodes, state.placements, state.apps, state.revisions))


def _since_accepted(rows: Sequence[AssignmentRow], fact: Fact | None) -> list[AssignmentRow]:
    accepted = fact.accepted if fact else None
    if accepted is None or not any(row.issued == accepted for row in rows):
        return list(rows)
    return [row for row in rows if row.issued.version >= accepted.version]


def _sign(view: Fields, context: object) -> Fields:
    moment = cast(Moment, context)
    drafts = cast(Mapping[NodeId, Assignment], view["drafts"])
    sign = _signer(moment.hub_key)
    return {"assignments": tuple(signed(draft, moment, sign) for draft in drafts.values())}


def _signer(hub_key: bytes) -> Sign:
    """`signing.sign` for many: to read the key costs as much as to sign with it."""
    key = Ed25519PrivateKey.from_private_bytes(hub_key)
    return lambda payload: signing.Signed(payload, key.sign(signing.ASSIGNMENT + payload))


def signed(draft: Assignment, moment: Moment, sign: Sign) -> AssignmentRow:
    """The assignment as it is committed and sent. Called once for each: nothing is signed twice."""
    payload = encode(draft)
    envelope = signing.Envelope(sign(payload), moment.delegation)
    return AssignmentRow(
        node=draft.node,
        issued=Issued(draft.version, signing.digest(payload)),
        envelope=encode(envelope),
        instances=tuple(one.id for one in draft.instances),
        made_at_ms=moment.now_ms,
        copies=draft.instances,
        content=content_key(draft),
        since=bounds(draft.since),
    )


def preview(state: State, moment: Moment) -> tuple[Schedule, Mapping[NodeId, Withheld]]:
    """What a run would decide, up to the assignments, none of which is made."""
    made = PREVIEW.run(_view(state), moment)
    return cast(Schedule, made["schedule"]), cast(Mapping[NodeId, Withheld], made["withheld"])


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


GRAPH = Graph(
    (
        Step(
            "schedule",
            reads=_names("mesh apps revisions nodes facts losses"),
            previous=_names("placements claims issued steps"),
            writes=_names("schedule placements"),
            run=_schedule,
        ),
        Step(
            "claim",
            reads=_names("mesh revisions nodes facts losses placements"),
            previous=_names("claims issued"),
            writes=_names("claims claims_waiting again_ms"),
            run=_claim,
        ),
        Step(
            "compile",
            reads=_names(
                "mesh apps revisions nodes facts paused unshown overwrites holds placements claims schedule"
            ),
            previous=_names("issued words"),
            writes=_names("drafts withheld planner"),
            run=_compile,
        ),
        Step("sign", reads=_names("drafts"), previous=frozenset(), writes=_names("assignments"), run=_sign),
    )
)


PREVIEW = Graph(tuple(step for step in GRAPH.steps if step.name != "sign"))


def with_apps(state: State, rows: Iterable[AppRow]) -> State:
    """The state as it would be with these apps: for showing what an apply would do."""
    new = {row.name: row for row in rows}
    apps = {row.name: row for row in state.apps} | new
    revisions = {**state.revisions, **{(row.name, row.revision): row for row in new.values()}}
    return replace(state, apps=list(apps.values()), revisions=revisions)
