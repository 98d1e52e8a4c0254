"""`why`: the whole chain of each copy, and one sentence that names what is wrong."""

from __future__ import annotations

from skerry_hub.loops.compile import compile_node
from skerry_hub.loops.explain import STAGES, Why, why
from skerry_hub.loops.nodeports import Clash
from skerry_hub.model import AppRow, Fact, Loss, Placement, StepRow, Turned, Waiting
from skerry_protocol.ids import AppName
from skerry_protocol.messages import Assignment, Override, Step, StepName, StepState, Version
from skerry_protocol.network import Port

from .. import builders as b

ROW = AppRow(AppName("web"), 1, b.best_effort("web"), "mara", "first", 1_000)
PLACED = b.placement("web-1-i", "web", 1, "a", since_ms=2_000, revision=1)
DRAFT = compile_node(b.MESH, b.node("a"), [PLACED], [], {(ROW.name, 1): ROW}, [], None)
assert isinstance(DRAFT, Assignment)
NEWEST = b.issued_row(DRAFT)
TAKEN = Fact(b.nid("a"), NEWEST.issued, NEWEST.issued)


def step(name: StepName, state: StepState, reason: str = "", revision: int = 1) -> StepRow:
    return StepRow(
        b.nid("a"), Step(PLACED.instance, ROW.name, revision, name, state, Version(1, 1, 1), 1, 3_000, reason)
    )


def asked(placements: tuple[Placement, ...] = (PLACED,), row: AppRow = ROW, **more: object) -> Why:
    fields: dict[str, object] = {
        "claims": (), "turned": (), "waiting": (), "steps": (), "facts": (TAKEN,), "losses": (),
        "nodes": (b.node("a"),), "newest": (NEWEST,), "now_ms": 4_000, **more,
    }  # fmt: skip
    return why(row, placements, **fields)  # type: ignore[arg-type]


def test_a_healthy_copy_has_the_whole_chain() -> None:
    found = asked(steps=(step(StepName.HEALTHY, StepState.DONE),))
    assert (found.state, found.headline) == ("healthy", "the copy is healthy")
    assert tuple(stage.name for stage in found.copies[0].stages) == STAGES
    assert all(stage.state is StepState.DONE for stage in found.copies[0].stages)


def test_a_healthy_copy_tells_that_unit_files_were_changed_on_its_node() -> None:
    well = (step(StepName.HEALTHY, StepState.DONE),)
    found = asked(steps=well, edited={b.nid("a"): "unit-files: by hand", b.nid("b"): "no"})
    assert (found.state, found.copies[0].stages[-1].reason) == ("healthy", "a says unit-files: by hand")
    assert asked(steps=well, edited={b.nid("b"): "no"}).copies[0].stages[-1].reason == ""


def test_no_place() -> None:
    found = asked((), turned=(Turned(ROW.name, 1, 3, {"memory": 2, "label disk=ssd": 1}),))
    assert found.headline == "web-1 has no place: none of 3 nodes takes it: 2 memory, 1 label disk=ssd"
    assert asked(()).state == "waiting"


def test_waiting_for_a_claim() -> None:
    word = Waiting(ROW.name, 1, "claim", "claim 1 is still on node id-b", PLACED.instance)
    found = asked(newest=(), waiting=(word,))
    assert found.headline == "web-1 on a: step 'compile' is waiting: claim 1 is still on node id-b"
    held = asked(newest=(), withheld={b.nid("a"): "an operator must confirm"})
    assert (held.state, held.headline) == (
        "held",
        "web-1 on a: step 'compile' is held: an operator must confirm",
    )


def test_a_copy_that_waits_names_what_its_node_is_hindered_by() -> None:
    hindered = {b.nid("a"): "disk: it is full", b.nid("b"): "nothing of this"}
    assert asked(facts=(), hindered=hindered).headline.endswith("assignment yet (a says disk: it is full)")
    well = (step(StepName.HEALTHY, StepState.DONE),)
    assert asked(steps=well, hindered=hindered).headline == "the copy is healthy"
    failed = (step(StepName.STARTED, StepState.FAILED, "cannot write x"),)
    assert asked(steps=failed, hindered=hindered).headline.endswith("cannot write x")


def test_not_taken_refused_and_silent() -> None:
    assert "has not taken its newest assignment yet" in asked(facts=()).headline
    refusing = Fact(b.nid("a"), None, None, (), "the signature is wrong")
    assert asked(facts=(refusing,)).headline.endswith("is failed: the node refused: the signature is wrong")
    cut = Loss(b.nid("a"), 60_000, 2_000)
    assert "the node is silent; it gets this when it is back" in asked(facts=(), losses=(cut,)).headline
    well = (step(StepName.HEALTHY, StepState.DONE),)
    assert asked(steps=well, losses=(cut,)).state == "held"


def test_a_failed_step_wins_and_a_wedged_one_says_its_age() -> None:
    running = (step(StepName.FETCHED, StepState.RUNNING, "30 of 80 MB"),)
    found = asked(steps=running, now_ms=3_000 + 12 * 60_000)
    assert found.headline == "web-1 on a: step 'fetched' is running for 12 min: 30 of 80 MB"
    failed = (step(StepName.FETCHED, StepState.DONE), step(StepName.STARTED, StepState.FAILED, "exit 1"))
    assert asked(steps=failed).headline == "web-1 on a: step 'started' is failed: exit 1"
    assert asked(steps=(step(StepName.HEALTHY, StepState.DONE, revision=0),)).state == "waiting"


def test_an_override_and_a_removed_app() -> None:
    word = Override(PLACED.instance, ROW.name, 1, 0, "health", "did not become healthy")
    fact = Fact(b.nid("a"), NEWEST.issued, NEWEST.issued, (word,))
    found = asked(facts=(fact,))
    assert found.headline == (
        "web-1 on a: the node runs nothing in place of revision 1, by health: did not become healthy"
    )
    assert found.state == "held"
    assert asked((), b.gone("web")).headline == "web was removed by mara"


def test_a_copy_that_was_put_back_has_not_failed_whatever_step_did() -> None:
    """Its step failed, and then the node took back the former revision: that is what runs, and what is said."""
    word = Override(PLACED.instance, ROW.name, 1, 7, "health", "it ended 3 times")
    fact = Fact(b.nid("a"), NEWEST.issued, NEWEST.issued, (word,))
    for state in (StepState.FAILED, StepState.HELD, StepState.RUNNING):
        found = asked(facts=(fact,), steps=(step(StepName.STARTED, state, "exit status 1"),))
        assert (found.state, found.copies[0].state) == ("held", "held")
        assert found.headline == (
            "web-1 on a: the node runs revision 7 in place of revision 1, by health: it ended 3 times"
        )
        bad = [one for one in found.copies[0].stages if one.state is not StepState.DONE]
        assert (bad[0].name, bad[0].state) == ("started", StepState.HELD)


def test_a_copy_that_does_not_get_its_port_says_who_has_it() -> None:
    well = (step(StepName.HEALTHY, StepState.DONE),)
    found = asked(steps=well, clashes=(Clash(PLACED, Port(80), AppName("log")),))
    said = "web-1 is healthy on a, but port 80/tcp of a is that of log"
    assert (found.state, found.headline, found.copies[0].headline) == ("healthy", said, said)
    other = b.placement("log-1-i", "log", 1, "a")
    assert asked(steps=well, clashes=(Clash(other, Port(80), ROW.name),)).headline == "the copy is healthy"


def test_no_free_port() -> None:
    found = asked((), turned=(Turned(ROW.name, 1, 2, {"port 80/tcp (log has it)": 2}),))
    assert found.headline == "web-1 has no place: none of 2 nodes takes it: 2 port 80/tcp (log has it)"
