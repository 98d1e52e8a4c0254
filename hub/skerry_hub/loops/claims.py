"""Claims: the right of one instance to be the only one of its (app, number), and when the next may be given.

Owns the claim rows. A number only grows. The next claim of a copy is given, whatever the cause, only when the last one
is free; what is free is found out from beats alone (see `beats`) and comes in as data. Reports never free a claim.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from skerry_protocol.app import App
from skerry_protocol.ids import AppName, Claim, NodeId, NodeName
from skerry_protocol.lease import Lease, lease_for

from ..model import AssignmentRow, ClaimRow, ClaimState, Fact, Loss, Placement, Waiting

Key = tuple[AppName, int]
Freed = frozenset[tuple[AppName, int, Claim]]


@dataclass(frozen=True)
class ClaimsResult:
    """All claim rows, also those that did not change, and for each copy without its claim, why.

    `again_ms`: when the first that waits for mere time can be given, from now; None: none does.
    """

    claims: tuple[ClaimRow, ...]
    waiting: tuple[Waiting, ...]
    again_ms: int | None = None


@dataclass(frozen=True)
class Unknown:
    """Claims that a store which was put back cannot know of: any up to `above`, granted by the hub that there was.

    Whoever holds one was granted it before this hub began to listen, `listening_ms` ago, and has it for at most
    lost_after from then.
    """

    above: int = 0
    listening_ms: int = 0

    def wait_ms(self, row: ClaimRow | None, lease: Lease) -> int:
        """How long the next claim of a copy has to wait for one that nobody here knows of."""
        if row is not None and row.claim > self.above:
            return 0  # given since: whatever came after it is known
        return max(0, lease.lost_after_ms - self.listening_ms) if self.above else 0


def lease_of(app: App) -> Lease | None:
    """The lease of a fenced app; None for others, and where its times leave no lease (such an app is refused)."""
    return lease_for(app.ha.lost_after_ms, app.stop_timeout_ms) if app.fenced and app.ha else None


def may_run(issued: Iterable[AssignmentRow], fact: Fact | None) -> list[AssignmentRow]:
    """The assignments that the node may be running or may come to run: the applied one, and all issued after it."""
    applied = fact.applied if fact else None
    return [row for row in issued if applied is None or row.issued.version >= applied.version]


def step_claims(
    claims: Iterable[ClaimRow],
    placements: Iterable[Placement],
    apps: Mapping[tuple[AppName, int], App],
    freed: Freed,
    *,
    losses: Iterable[Loss] = (),
    restored: bool = False,
    unknown: Unknown = Unknown(),
    running: Mapping[NodeId, Sequence[AssignmentRow]] | None = None,
    names: Mapping[NodeId, NodeName] | None = None,
) -> ClaimsResult:
    """Ends, frees and gives claims.

    `apps` is by (name, revision) and holds the revision of every placement. `freed`: what beats freed since. `running`:
    for each node what it may run (`may_run`); it decides how long a claim must be waited for, and whether a copy may
    still live without a claim, from a time when its app was not fenced. `restored`: no new claim is given at all;
    `unknown`: what has to be reckoned with afterwards. `names`: what people call the nodes.
    """
    rows = {(row.app, row.number): row for row in claims}
    wanted = {
        (one.app, one.number): (one, lease)
        for one in placements
        if (lease := lease_of(apps[one.app, one.revision])) is not None
    }
    silent = frozenset(loss.node for loss in losses if loss.returned_at_ms is None)
    known = _Known(running or {}, names or {})
    result: list[ClaimRow] = []
    waiting: list[Waiting] = []
    left_ms = []
    for key in sorted({*rows, *wanted}):
        row, why = _step(key, rows.get(key), wanted.get(key), freed, silent, restored, unknown, known)
        if row is not None:
            result.append(row)
        if why is not None:
            placement = wanted[key][0]
            waiting.append(Waiting(key[0], key[1], "claim", why, placement.instance))
            left_ms += [left] if (left := unknown.wait_ms(row, wanted[key][1])) else []
    return ClaimsResult(tuple(result), tuple(waiting), min(left_ms, default=None))


class _Known:
    """What the nodes may be running, by copy: leases under claims, and copies without any."""

    def __init__(
        self, running: Mapping[NodeId, Sequence[AssignmentRow]], names: Mapping[NodeId, NodeName]
    ) -> None:
        self._names = names
        self.leases: dict[tuple[AppName, int, Claim], set[Lease]] = {}
        self.loose: dict[Key, set[NodeId]] = {}
        for node, rows in running.items():
            for row in rows:
                for copy in row.copies:
                    if copy.claim is not None and copy.lease is not None:
                        self.leases.setdefault((copy.app, copy.number, copy.claim), set()).add(copy.lease)
                    elif copy.claim is None:
                        self.loose.setdefault((copy.app, copy.number), set()).add(node)

    def name(self, node: NodeId) -> str:
        """For people; only who was forgotten has none."""
        return self._names.get(node, str(node))


def _step(
    key: Key,
    row: ClaimRow | None,
    want: tuple[Placement, Lease] | None,
    freed: Freed,
    silent: frozenset[NodeId],
    restored: bool,
    unknown: Unknown,
    known: _Known,
) -> tuple[ClaimRow | None, str | None]:
    """One (app, number): its row afterwards, and why its placement has no claim."""
    if row is not None:
        row = _ended(row, want, silent)
        if row.state in {ClaimState.ENDING, ClaimState.VOID} and row.key in freed:
            row = msgspec.structs.replace(row, state=ClaimState.FREE)
    if want is None:
        return row, None
    placement, lease = want
    if row is not None and row.state is ClaimState.HELD:
        return _held(row, lease, known), None
    if row is not None and row.state is not ClaimState.FREE:
        return row, _why_not_free(row, known.name(row.node))
    if restored:
        return row, "the hub's state was restored: no new claim before 'skerry hub resume'"
    loose = sorted(known.loose.get(key, set()) - {placement.node})
    if loose:
        name = known.name(loose[0])
        return row, (
            f"node {name} may still run a copy without a lease, from before overlap was forbidden: free once its"
            f" beat shows that it let go, or by 'skerry node forget {name}'"
        )
    if unknown.wait_ms(row, lease):
        return row, (
            "the hub's store was put back: a node that is away may hold a claim that it does not know, until"
            f" {lease.lost_after_ms / 1000:g} s after the hub's start"
        )
    number = Claim(max(row.claim if row is not None else 0, unknown.above) + 1)
    return _given(key, number, placement, lease), None


def _ended(row: ClaimRow, want: tuple[Placement, Lease] | None, silent: frozenset[NodeId]) -> ClaimRow:
    """A claim ends with its placement: by silence it is void, by a plan its node is still granted until it lets go."""
    if row.state is not ClaimState.HELD or (want is not None and want[0].instance == row.instance):
        return row
    state = ClaimState.VOID if row.node in silent else ClaimState.ENDING
    return msgspec.structs.replace(row, state=state)


def _held(row: ClaimRow, lease: Lease, known: _Known) -> ClaimRow:
    """The claim with all leases that its node may hold it under: the newest one and those of older assignments."""
    leases = known.leases.get(row.key, set()) | {lease}
    lengths = tuple(sorted({one.length_ms for one in leases}))
    lost_after_ms = max(one.lost_after_ms for one in leases)
    if (lengths, lost_after_ms) == (row.lengths, row.lost_after_ms):
        return row
    return msgspec.structs.replace(row, lengths=lengths, lost_after_ms=lost_after_ms)


def _given(key: Key, number: Claim, placement: Placement, lease: Lease) -> ClaimRow:
    return ClaimRow(
        app=key[0],
        number=key[1],
        claim=number,
        node=placement.node,
        instance=placement.instance,
        lost_after_ms=lease.lost_after_ms,
        lengths=(lease.length_ms,),
    )


def _why_not_free(row: ClaimRow, node: str) -> str:
    seconds = f"{row.lost_after_ms / 1000:g} s"
    if row.state is ClaimState.VOID:
        return f"claim {row.claim} is on node {node}, which fell silent: free {seconds} after its last grant"
    return (
        f"claim {row.claim} is still on node {node}: free once its beat shows that it let go, "
        f"or {seconds} after its last grant"
    )
