"""Apps as people see them: how many copies are wanted, placed, healthy, and a sentence on the worst of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skerry_protocol.conditions import hinders, told

from ..clock import now_ms
from ..hub import Hub
from ..loops.explain import Why, why
from ..model import AppRow, AssignmentRow, ClaimRow, Loss, NodeRow, Placement, StepRow
from ..store import View, rows
from .views import AppView

STATES = {"running": "starting"}


@dataclass(frozen=True)
class _Seen:
    """What every explanation needs, read once."""

    placements: Sequence[Placement]
    claims: Sequence[ClaimRow]
    steps: Sequence[StepRow]
    losses: Sequence[Loss]
    nodes: Sequence[NodeRow]
    newest: Sequence[AssignmentRow]


async def _seen(store: View) -> _Seen:
    newest = {row.node: row for row in await rows.issued(store)}
    return _Seen(
        await rows.placements(store),
        await rows.claims(store),
        await rows.steps(store),
        await rows.losses(store),
        await rows.nodes(store),
        tuple(newest.values()),
    )


def _why(hub: Hub, seen: _Seen, row: AppRow) -> Why:
    outcome = hub.reconciler.last
    turned = outcome.schedule.turned if outcome else ()
    waiting = (*outcome.schedule.waiting, *outcome.waiting) if outcome else ()
    withheld = {node: one.text for node, one in outcome.withheld.items()} if outcome else {}
    said = {node: beat.conditions for node, beat in hub.hearing.last.items()}
    return why(
        row,
        seen.placements,
        seen.claims,
        turned,
        waiting,
        seen.steps,
        hub.intake.facts.values(),
        seen.losses,
        seen.nodes,
        seen.newest,
        now_ms(),
        withheld=withheld,
        hindered={node: text for node, codes in said.items() if (text := hinders(codes))},
        edited={node: told("unit-files") for node, codes in said.items() if "unit-files" in codes},
        clashes=outcome.schedule.clashes if outcome else (),
    )


async def why_of(hub: Hub, store: View, row: AppRow) -> Why:
    """One app explained."""
    return _why(hub, await _seen(store), row)


async def app_views(hub: Hub, store: View, only: str | None = None) -> list[AppView]:
    """All apps, or one, by name."""
    seen = await _seen(store)
    found = [row for row in await rows.apps(store) if only is None or row.name == only]
    return [_view(hub, seen, row) for row in found]


def _view(hub: Hub, seen: _Seen, row: AppRow) -> AppView:
    told = _why(hub, seen, row)
    placed = [one for one in told.copies if one.instance is not None]
    wanted = 0
    if row.app is not None:
        wanted = len({one.number for one in told.copies}) if row.app.per_node else row.app.replicas
    return AppView(
        name=row.name,
        revision=row.revision,
        availability=row.app.availability.value if row.app else "",
        wanted=wanted,
        placed=len(placed),
        healthy=sum(one.state == "healthy" for one in placed),
        state=STATES.get(told.state, told.state),
        headline=told.headline,
        changer=row.changer,
        changed_at_ms=row.changed_at_ms,
        nodes=tuple(sorted({one.node for one in placed if one.node})),
        app=row.app,
    )
