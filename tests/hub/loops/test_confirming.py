"""Most copies of a node vanish by an operator's word alone: given now, or before, when an app's policy was chosen."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from skerry_hub.loops import loops
from skerry_hub.loops.compile import Withheld, compile_node
from skerry_hub.loops.confirming import Confirmed, confirmed, unconfirmed
from skerry_hub.loops.loops import Moment, State
from skerry_hub.model import AppRow, AssignmentRow, Fact, Loss, NodeRow, NodeState, Placement, StepRow, Word
from skerry_hub.store import Owner, rows
from skerry_protocol import signing
from skerry_protocol.app import OnReturn, Overlap
from skerry_protocol.codec import decode
from skerry_protocol.ids import InstanceId
from skerry_protocol.messages import Assignment, Step, StepName, StepState, Version

from .. import builders as b
from ..beats.test_retell import beat, newest
from ..hubs import Machine, serving, token_of

NAMES = ("one", "two", "three", "four")
HUB_KEY = signing.new_key()
DELEGATION = signing.Signed(b"", b"")


def placed(app: str, on: str = "a") -> Placement:
    return b.placement(f"{app}-1-i", app, 1, on, revision=1)


def state_of(apps: list[AppRow], nodes: list[NodeRow], before: list[Placement], **more: object) -> State:
    """Everything placed is issued and applied."""
    revisions = {(row.name, row.revision): row for row in apps}
    made = compile_node(b.MESH, nodes[0], before, (), revisions, [], None)
    assert isinstance(made, Assignment)
    issued = b.issued_row(made)
    values: dict[str, object] = {
        "mesh": b.MESH,
        "apps": apps,
        "revisions": revisions,
        "nodes": nodes,
        "facts": {nodes[0].id: Fact(nodes[0].id, issued.issued, issued.issued)},
        "losses": [],
        "placements": before,
        "claims": [],
        "issued": {nodes[0].id: [issued]},
        **more,
    }
    return State(**values)  # type: ignore[arg-type]


def moment(*fresh: str) -> Moment:
    return Moment(0, b.entropy(), HUB_KEY, DELEGATION, frozenset(b.nid(name) for name in fresh))


def for_a(outcome: loops.Outcome) -> Assignment | Withheld | None:
    """What the run made for node a."""
    rows_of_a: list[AssignmentRow] = [row for row in outcome.assignments if row.node == b.nid("a")]
    if rows_of_a:
        envelope = decode(signing.Envelope, rows_of_a[0].envelope)
        return decode(Assignment, envelope.assignment.payload)
    return outcome.withheld.get(b.nid("a"))


def ha_rows() -> list[AppRow]:
    return [b.row(b.ha(name, Overlap.FORBID)) for name in NAMES]


def fenced_state(**more: object) -> State:
    """Four copies of fenced apps on a, issued without claims, which do not matter here."""
    before = [placed(name) for name in NAMES]
    return state_of(
        [b.row(b.best_effort(name)) for name in NAMES], [b.node("a"), b.node("b")], before, **more
    )


def test_copies_that_the_policy_replaced_go_by_the_word_of_who_chose_it() -> None:
    state = fenced_state()
    apps = ha_rows()
    state = replace_state(
        state,
        apps=apps,
        revisions={(row.name, 1): row for row in apps},
        losses=[Loss(b.nid("a"), 60_000)],
    )
    made = for_a(loops.run(state, moment("b")))
    assert isinstance(made, Assignment)
    assert made.instances == ()
    assert made.confirmed_by == "mara (ha policy of four, one, three, two)"


def replace_state(state: State, **values: object) -> State:
    fields = {name: getattr(state, name) for name in State.__dataclass_fields__}
    return State(**{**fields, **values})


def test_any_other_cause_among_them_still_waits() -> None:
    apps = [*ha_rows()[:3], b.gone("four")]
    revisions = {**{(row.name, 1): row for row in ha_rows()}, (apps[3].name, 2): apps[3]}
    lost = [Loss(b.nid("a"), 60_000)]
    state = replace_state(fenced_state(), apps=apps, revisions=revisions, losses=lost)
    outcome = loops.run(state, moment("b"))
    found = for_a(outcome)
    assert isinstance(found, Withheld)
    assert found.needs_confirmation
    assert "four-1-i" in found.reason
    assert "skerry node confirm a" in found.text
    # The same removal with --confirm is a word too.
    state = replace_state(state, apps=[*apps[:3], replace(apps[3], confirmed=True)])
    made = for_a(loops.run(state, moment("b")))
    assert isinstance(made, Assignment)
    assert made.confirmed_by == "mara (ha policy of one, three, two; removal of four)"


def test_what_an_earlier_run_ended_counts_by_its_stored_word() -> None:
    state = replace_state(fenced_state(), placements=[], apps=[])
    assert isinstance(for_a(loops.run(state, moment())), Withheld)
    words = {InstanceId(f"{name}-1-i"): Word("mara", "ha policy", name) for name in NAMES}
    made = for_a(loops.run(replace_state(state, words=words), moment()))
    assert isinstance(made, Assignment)
    del words[InstanceId("two-1-i")]
    assert isinstance(for_a(loops.run(replace_state(state, words=words), moment())), Withheld)


def test_a_return_by_the_policy_is_a_word_too() -> None:
    """Overlap allowed: the copies of a that came back go once their replacements on b are known to be healthy."""
    apps = [b.row(b.ha(name, on_return=OnReturn.KEEP_REPLACEMENT)) for name in NAMES]
    before = [placed(name) for name in NAMES]
    stand_ins = [
        b.placement(f"{name}-1-r", name, 1, "b", revision=1, replaces=InstanceId(f"{name}-1-i"))
        for name in NAMES
    ]
    state = state_of(apps, [b.node("a"), b.node("b")], before)
    steps = [
        StepRow(
            b.nid("b"),
            Step(one.instance, one.app, 1, StepName.HEALTHY, StepState.DONE, Version(1, 1, 1), 1, 0),
        )
        for one in stand_ins
    ]
    state = replace_state(state, placements=[*before, *stand_ins], steps=steps)
    made = for_a(loops.run(state, moment("a", "b")))
    assert isinstance(made, Assignment)
    assert made.instances == ()
    assert made.confirmed_by == "mara (ha policy of four, one, three, two)"


def test_drain_and_dead_are_words_of_their_own() -> None:
    before = [placed(name) for name in NAMES]
    apps = [b.row(b.best_effort(name)) for name in NAMES]
    for given, text in ((NodeState.DRAINING, "drain of a"), (NodeState.DEAD, "death of a")):
        for by in ("olaf", ""):
            nodes = [replace(b.node("a", given), state_by=by), b.node("b")]
            made = for_a(loops.run(state_of(apps, nodes, before), moment("a", "b")))
            if by:
                assert isinstance(made, Assignment)
                assert made.confirmed_by == f"olaf ({text})"
            else:
                assert isinstance(made, Withheld)


def test_the_text_names_everybody_once() -> None:
    ids = [InstanceId(name) for name in ("a", "b", "c", "d")]
    words = {
        ids[0]: Word("zoe", "ha policy", "web"),
        ids[1]: Word("ann", "drain", "n1"),
        ids[2]: Word("zoe", "ha policy", "web"),
        ids[3]: Word("zoe", "ha policy", "ledger"),
    }
    assert confirmed(ids, words) == Confirmed("ann (drain of n1), zoe (ha policy of ledger, web)")
    assert confirmed([*ids, InstanceId("e")], words) is None
    assert unconfirmed([*ids, InstanceId("e")], words) == [InstanceId("e")]
    assert confirmed([], words) is None


async def test_a_word_is_stored_with_what_it_ended_and_an_operator_can_confirm_the_rest(
    tmp_path: Path,
) -> None:
    """Four apps on one node; three are drained of their node's word, then it is as if nobody had said it."""
    async with serving(tmp_path / "hub") as desk:
        machine = Machine(desk)
        await machine.join(desk.client, await token_of(desk))
        await beat(desk, machine, None)
        apps = [{"name": name, "run": ["/bin/sleep", "9"], "availability": "best-effort"} for name in NAMES]
        await desk.post("/api/apply", {"apps": apps})
        await desk.hub.reconciler.once()
        held = await newest(desk, machine)
        await beat(desk, machine, held)
        assert (await desk.post("/api/nodes/box/confirm", {})).status_code == 409

        async with desk.hub.store.write() as tx:  # the copies are ended by nobody's word
            for one in await rows.placements(tx):
                await rows.end_placement(tx.as_owner(Owner.SCHEDULE), one, 1, "a fault")
            for row in await rows.apps(tx):
                await rows.put_app(tx.as_owner(Owner.OPERATORS), replace(row, app=None))
        await desk.hub.reconciler.once()
        (shown,) = (await desk.client.get("/api/nodes/box")).json()["conditions"]
        assert "skerry node confirm box" in shown
        assert any("box" in text for text in (await desk.client.get("/api/status")).json()["loud"])
        assert await newest(desk, machine) == held
        # What is withheld already is in nobody's way.
        other = {**apps[0], "name": "other"}
        assert (await desk.post("/api/apply", {"apps": [other]})).status_code == 200
        answer = await desk.post("/api/nodes/box/confirm", {"reason": "looked"})
        assert answer.status_code == 200, answer.text
        await desk.hub.reconciler.once()
        assert await newest(desk, machine) != held
