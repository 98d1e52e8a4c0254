"""Claims: numbers only grow, and the next one waits until the last is free, whatever the cause."""

from __future__ import annotations

import dataclasses

from msgspec.structs import replace

from skerry_hub.loops import loops
from skerry_hub.loops.claims import ClaimsResult, Freed, Unknown, lease_of, may_run, step_claims
from skerry_hub.loops.loops import Moment, State
from skerry_hub.model import AssignmentRow, ClaimRow, ClaimState, Fact, Loss, Placement
from skerry_protocol import signing
from skerry_protocol.app import App, Overlap
from skerry_protocol.ids import AppName, Claim, NodeId, NodeName
from skerry_protocol.messages import Assignment, Instance, Issued, Version

from .. import builders as b

DB = b.ha("db", Overlap.FORBID)
KEY = (AppName("db"), 1)
ON_A = b.placement("db-1-a", "db", 1, "a", revision=1)
ON_B = b.placement("db-1-b", "db", 1, "b", revision=1)


def step(
    claims: tuple[ClaimRow, ...],
    placements: list[Placement],
    freed: Freed = frozenset(),
    app: App = DB,
    **more: object,
) -> ClaimsResult:
    apps = {(app.name, 1): app}
    return step_claims(claims, placements, apps, freed, **more)  # type: ignore[arg-type]


def first() -> ClaimRow:
    (row,) = step((), [ON_A]).claims
    return row


def test_the_first_claim_is_given_at_once() -> None:
    row = first()
    assert (row.claim, row.node, row.state, row.lost_after_ms) == (1, b.nid("a"), ClaimState.HELD, 60_000)
    lease = lease_of(DB)
    assert lease is not None
    assert row.lengths == (lease.length_ms,)
    assert step((row,), [ON_A]).claims == (row,)


def test_a_planned_move_waits_and_then_gets_the_next_number() -> None:
    moving = step((first(),), [ON_B])
    assert moving.claims[0].state is ClaimState.ENDING
    assert "still on node id-a" in moving.waiting[0].reason
    assert step(moving.claims, [ON_B]).claims == moving.claims
    moved = step(moving.claims, [ON_B], frozenset({moving.claims[0].key}))
    assert (moved.claims[0].claim, moved.claims[0].node, moved.claims[0].state) == (
        2,
        b.nid("b"),
        ClaimState.HELD,
    )
    assert not moved.waiting


def test_silence_makes_a_claim_void() -> None:
    moving = step((first(),), [ON_B], losses=[Loss(b.nid("a"), 60_000)])
    assert moving.claims[0].state is ClaimState.VOID
    back = step((first(),), [ON_B], losses=[Loss(b.nid("a"), 60_000, returned_at_ms=1)])
    assert back.claims[0].state is ClaimState.ENDING


def test_a_held_claim_is_not_freed_by_a_word_about_another_time() -> None:
    row = first()
    assert step((row,), [ON_A], frozenset({row.key})).claims == (row,)


def test_rows_outlive_the_app_and_numbers_go_on() -> None:
    row = first()
    removed = step((row,), [])
    freed = step(removed.claims, [], frozenset({row.key}))
    assert freed.claims[0].state is ClaimState.FREE
    again = step(freed.claims, [ON_B])
    assert (again.claims[0].claim, again.claims[0].state) == (2, ClaimState.HELD)


def test_a_restored_hub_gives_no_new_claim() -> None:
    made = step((), [ON_A], restored=True)
    assert not made.claims
    assert "skerry hub resume" in made.waiting[0].reason
    assert step((first(),), [ON_A], restored=True).claims == (first(),)


def issued(on: str, *copies: Instance) -> AssignmentRow:
    draft = Assignment(b.MESH.mesh, b.MESH.region, b.nid(on), Version(1, 1, 1), copies)  # type: ignore[arg-type]
    return b.issued_row(draft)


def test_the_longest_lease_that_may_run_counts() -> None:
    row = first()
    slow, fast = lease_of(b.ha("db", Overlap.FORBID, lost_after_ms=90_000)), lease_of(DB)
    assert slow is not None
    assert fast is not None
    running = {b.nid("a"): [issued("a", Instance(ON_A.instance, *KEY, 1, row.claim, slow))]}
    (longer,) = step((row,), [ON_A], running=running).claims
    assert longer.lost_after_ms == 90_000
    assert longer.lengths == (fast.length_ms, slow.length_ms)
    assert step((longer,), [ON_A], running={}).claims == (row,)


def test_a_copy_without_a_lease_elsewhere_holds_the_first_claim_back() -> None:
    loose = {b.nid("c"): [issued("c", Instance(ON_A.instance, *KEY, 1))]}
    made = step((), [ON_A], running=loose)
    assert not made.claims
    assert "node id-c may still run a copy without a lease" in made.waiting[0].reason
    called = step((), [ON_A], running=loose, names={b.nid("c"): NodeName("cape")}).waiting[0].reason
    assert called.startswith("node cape may still run")
    assert called.endswith("or by 'skerry node forget cape'")
    own: dict[NodeId, list[AssignmentRow]] = {b.nid("a"): loose[b.nid("c")]}
    assert step((), [ON_A], running=own).claims


def test_may_run_starts_at_the_applied_one() -> None:
    rows = [replace(issued("a"), issued=Issued(Version(1, 1, number), b"d")) for number in (1, 2, 3)]
    assert may_run(rows, None) == rows
    assert may_run(rows, Fact(b.nid("a"), rows[2].issued, rows[1].issued)) == rows[1:]


def test_nothing_waits_for_a_node_that_was_forgotten() -> None:
    """Its copies run on there: that was said to whoever forgot it."""
    app = b.row(DB)
    loose = [issued("c", Instance(ON_A.instance, *KEY, 1))]
    state = State(
        mesh=b.MESH,
        apps=[app],
        revisions={(app.name, 1): app},
        nodes=[b.node("a"), b.node("c")],
        facts={},
        losses=[],
        placements=[ON_A],
        claims=[],
        issued={b.nid("c"): loose},
    )
    key, word = signing.new_key(), signing.Signed(b"", b"")
    moment = Moment(0, b.entropy(), key, word, frozenset({b.nid("a")}))
    assert "node c may still run" in loops.run(state, moment).waiting[0].reason
    done = loops.run(dataclasses.replace(state, nodes=[b.node("a")]), moment)
    assert [(row.claim, row.node) for row in done.claims] == [(1, b.nid("a"))]


def test_a_store_that_was_put_back_reckons_with_claims_that_it_never_saw() -> None:
    """Whoever is away may hold one, granted by the hub that there was, for lost_after at most."""
    unknown = Unknown(above=1_000, listening_ms=59_000)
    for claims in ((), (replace(first(), state=ClaimState.FREE),)):
        early = step(claims, [ON_A], unknown=unknown)
        assert early.claims == claims
        assert "may hold a claim that it does not know" in early.waiting[0].reason
        assert early.again_ms == 1_000
        later = step(claims, [ON_A], unknown=Unknown(above=1_000, listening_ms=60_000))
        assert [(row.claim, row.state) for row in later.claims] == [(1_001, ClaimState.HELD)]
        assert later.again_ms is None
    # What it knows to be held goes on; and what was given since is known to the end.
    assert step((first(),), [ON_A], unknown=unknown).claims == (first(),)
    since = replace(first(), claim=Claim(1_001), state=ClaimState.FREE)
    assert step((since,), [ON_A], unknown=unknown).claims[0].claim == 1_002
