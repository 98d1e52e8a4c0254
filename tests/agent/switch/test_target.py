from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from skerry_agent.switch.target import Kept, State, Target, begin, build, finish, settle
from skerry_agent.units.policy import Policy
from skerry_agent.units.render import NodeFacts, Paths
from skerry_protocol.codec import decode, encode
from skerry_protocol.ids import InstanceId
from skerry_protocol.messages import AppRevision, Assignment, Override

from ..builders import Copy, an_app, assignment_of, assignments, issued

WEB = InstanceId("web-0-aaaaaaaaaa")


def built(assignment: Assignment, overrides: tuple[Override, ...] = (), kept: Kept | None = None) -> Target:
    facts = NodeFacts("n1", "x86_64")
    return build(assignment, issued(assignment), overrides, kept or {}, Policy(), Paths(), facts)


policies = st.sampled_from([Policy(), Policy(("host-network",)), Policy(memory_bytes=1 << 20)])


@given(assignments, assignments, policies, policies)
def test_what_is_taken_from_a_former_target_is_what_would_be_rendered(
    before: list[Copy], after: list[Copy], was: Policy, now: Policy
) -> None:
    facts = NodeFacts("n1", "x86_64")

    def of(copies: list[Copy], policy: Policy, former: Target | None) -> Target:
        made = assignment_of(copies, 1)
        return build(made, issued(made), (), {}, policy, Paths(), facts, former)

    assert of(after, now, of(before, was, None)) == of(after, now, None)


def test_a_neighbour_that_comes_is_waited_for_also_by_who_did_not_change() -> None:
    alone, both = [Copy("web", 0, "a", 15)], [Copy("web", 0, "a", 15), Copy("db", 0, "a", 0)]
    facts = NodeFacts("n1", "x86_64")
    first, second = assignment_of(alone, 1), assignment_of(both, 2)
    former = build(first, issued(first), (), {}, Policy(), Paths(), facts)
    target = build(second, issued(second), (), {}, Policy(), Paths(), facts, former)
    assert "skerry-db-0.service" in target.instances[WEB].rendered.units["skerry-web-0.service"]


def word(revision: int, instead: int) -> Override:
    return Override(
        WEB, assignment_of([Copy("web", 0, "a", 0)], 1).instances[0].app, revision, instead, "me", "bad"
    )


def test_an_override_runs_the_kept_revision_under_the_assigned_instance() -> None:
    assignment = assignment_of([Copy("web", 0, "a", 1)], 1)
    kept = {WEB: (AppRevision(1, an_app()),)}
    running = built(assignment, (word(2, 1),), kept).instances[WEB]
    assert running.entry.revision == 1
    assert running.instance == assignment.instances[0]
    assert built(assignment, (word(9, 1),), kept).instances[WEB].entry.revision == 2
    assert built(assignment, (word(2, 7),), kept).instances[WEB].entry.revision == 2


def test_an_override_to_nothing_holds_the_instance_back() -> None:
    target = built(assignment_of([Copy("web", 0, "a", 1)], 1), (word(2, 0),))
    assert target.instances == {}
    assert target.idle == {WEB}


def test_one_that_cannot_be_rendered_keeps_nobody_else() -> None:
    target = built(assignment_of([Copy("web", 0, "a", 12), Copy("db", 0, "a", 0)], 1))
    assert set(target.instances) == {"db-0-aaaaaaaaaa"}
    assert "host-network" in target.refused[WEB][0]


def test_a_state_keeps_all_that_was_begun_until_it_is_settled() -> None:
    one, two = (built(assignment_of([Copy("web", 0, "a", variant)], 1)) for variant in (0, 1))
    state = begin(begin(begin(State(), one, WEB), two, WEB), two, WEB)
    assert state.of(WEB) == (one.instances[WEB], two.instances[WEB])
    assert state.names() == {WEB}
    assert len(state.may_run()) == 2
    settled = finish(settle(state, two, WEB), two.issued)
    assert settled.of(WEB) == (two.instances[WEB],)
    assert settled.issued == two.issued
    empty = built(assignment_of([], 2))
    assert settle(settled, empty, WEB) == structs.replace(State(), issued=two.issued)
    assert begin(State(), empty, WEB) == State()
    assert begin(settled, empty, WEB).pending == {WEB: settled.of(WEB)}


def test_a_state_survives_the_disk() -> None:
    target = built(assignment_of([Copy("web", 0, "a", 13), Copy("db", 1, "b", 7)], 1))
    state = State()
    for name in target.instances:
        state = settle(begin(state, target, name), target, name)
    state = begin(state, target, WEB)
    assert decode(State, encode(state)) == state
