from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from skerry_agent.switch.actions import (
    Action,
    CheckStop,
    DropProperties,
    EnableUnit,
    Finish,
    Reload,
    RemoveInstance,
    RestartUnit,
    SetProperties,
    Settle,
    StartUnit,
    StopUnit,
    WriteUnit,
)
from skerry_agent.switch.observed import Closer, Observed, for_switch
from skerry_agent.switch.plan import Plan, plan
from skerry_agent.switch.putback import restore
from skerry_agent.switch.target import Running, State, Target, build
from skerry_agent.units.leaseunits import target_name
from skerry_agent.units.policy import Policy
from skerry_agent.units.render import LIVE, NodeFacts, Paths
from skerry_protocol.app import Resources
from skerry_protocol.change import ChangeClass, classify
from skerry_protocol.ids import InstanceId
from skerry_protocol.messages import AppRevision, Assignment, StepName, Version

from ..builders import (
    MESH,
    NODE,
    REGION,
    SHA_A,
    SHA_B,
    VARIANTS,
    Copy,
    an_app,
    an_instance,
    assignment_of,
    assignments,
    fenced,
    issued,
)
from ..machine import Machine

ALL = frozenset([SHA_A, SHA_B])
LEASES = [target_name(length) for length in (46_400, 76_100)]


def target_of(assignment: Assignment, policy: Policy | None = None) -> Target:
    node = NodeFacts("n1", "x86_64")
    return build(assignment, issued(assignment), (), {}, policy or Policy(), Paths(), node)


def planned(machine: Machine, target: Target, artifacts: frozenset[str]) -> Plan:
    """What is looked at is enough: who looks at everything comes to the same plan."""
    everything = machine.observe()
    enough = only(everything, for_switch(machine.applied, target))
    found = plan(machine.applied, target, enough, artifacts)
    assert found == plan(machine.applied, target, everything, artifacts)
    return found


def only(everything: Observed, closer: Closer) -> Observed:
    """What is seen of it by who looks closely at no more than that."""
    names = {one.instance.id for one in closer.instances}
    return structs.replace(
        everything,
        trees=frozenset(
            (one.instance.id, one.rendered.tree_name)
            for one in closer.instances
            if (one.instance.id, one.rendered.tree_name) in everything.trees
        ),
        current={name: tree for name, tree in everything.current.items() if name in names},
        stale=everything.stale & (closer.units | closer.fenced),
        stop_ms={unit: ms for unit, ms in everything.stop_ms.items() if unit in closer.fenced},
    )


def run(
    machine: Machine, target: Target, artifacts: frozenset[str] = ALL, steps: int | None = None
) -> list[Action]:
    done = list(planned(machine, target, artifacts).actions)[:steps]
    for action in done:
        machine.do(action, target)
    return done


def of(*apps_and_revisions: tuple[str, dict[str, object], int], generation: int = 1) -> Assignment:
    apps = [(an_app(name, **fields), revision) for name, fields, revision in apps_and_revisions]
    return Assignment(
        MESH,
        REGION,
        NODE,
        Version(1, 1, generation),
        tuple(an_instance(app, 0, revision) for app, revision in apps),
        tuple(AppRevision(revision, app) for app, revision in apps),
    )


def kinds(actions: list[Action]) -> list[type]:
    return [type(action) for action in actions]


def check_process(machine: Machine, one: Running) -> None:
    """The process was started from what is on disk now, limits aside."""
    text, current = machine.ran[one.rendered.starts]
    live = tuple(f"{key}=" for key in LIVE)
    texts = (text, machine.files[one.rendered.starts])
    kept = [[line for line in each.splitlines() if not line.startswith(live)] for each in texts]
    assert kept[0] == kept[1]
    if one.rendered.starts == one.rendered.service:
        assert current[one.instance.id] == one.rendered.tree_name


def check(machine: Machine, target: Target, artifacts: frozenset[str]) -> None:
    """What holds once a plan was carried out."""
    again = planned(machine, target, artifacts)
    assert again.actions == ()
    assert not machine.drop_ins
    for name, one in target.instances.items():
        if one.rendered.artifact is not None and one.rendered.artifact not in artifacts:
            continue
        assert machine.applied.instances[name] == one
        assert machine.current[name] == one.rendered.tree_name
        assert (one.rendered.wanted_by, one.rendered.starts) in machine.links
        leased = one.rendered.lease is None or one.rendered.wanted_by in machine.active
        assert (one.rendered.starts in machine.active) == leased
        if leased:
            check_process(machine, one)
    services = {unit for unit in machine.active if not unit.endswith(".target")}
    files = {name for name in machine.files if not name.endswith(".target")}
    assert services <= units_of(machine.applied, halfway=True)
    assert units_of(machine.applied, halfway=False) <= files <= units_of(machine.applied, halfway=True)
    assert set(machine.applied.pending) <= {one.instance for one in again.waiting}


def units_of(state: State, halfway: bool) -> set[str]:
    """The units of all that is settled; with `halfway` also of what was begun, broke off and cannot go on now."""
    names = state.names() if halfway else state.names() - set(state.pending)
    return {unit for name in names for one in state.of(name) for unit in one.rendered.units}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(assignments, st.sets(st.sampled_from(LEASES)), st.sampled_from([ALL, frozenset([SHA_A])])),
        max_size=4,
    )
)
def test_every_plan_reaches_its_target_and_the_next_one_is_empty(
    history: list[tuple[list[Copy], set[str], frozenset[str]]],
) -> None:
    machine = Machine()
    for generation, (copies, leases, artifacts) in enumerate(history, 1):
        machine.close_leases()
        for lease in sorted(leases):
            machine.open_lease(lease)
        target = target_of(assignment_of(copies, generation))
        run(machine, target, artifacts)
        check(machine, target, artifacts)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(assignments, st.integers(0, 40)), max_size=4),
    assignments,
    st.sets(st.sampled_from(LEASES)),
)
def test_crashes_anywhere_are_made_good_by_the_next_plan(
    history: list[tuple[list[Copy], int]], last: list[Copy], leases: set[str]
) -> None:
    """Each plan but the last breaks off after some steps, and the next one is for another assignment."""
    machine = Machine()
    for generation, (copies, steps) in enumerate(history, 1):
        run(machine, target_of(assignment_of(copies, generation)), steps=steps)
        for lease in sorted(leases):
            machine.open_lease(lease)
    target = target_of(assignment_of(last, 9))
    run(machine, target)
    check(machine, target, ALL)


@settings(max_examples=150, deadline=None)
@given(assignments, assignments)
def test_what_does_not_change_is_not_touched(before: list[Copy], after: list[Copy]) -> None:
    machine = Machine()
    run(machine, target_of(assignment_of(before, 1)))
    old, starts = machine.applied, dict(machine.started)
    target = target_of(assignment_of(after, 2))
    done = run(machine, target)
    for name, one in target.instances.items():
        if name in old.instances and old.instances[name].rendered == one.rendered:
            touched = [action for action in done if getattr(action, "instance", None) == name]
            assert {type(action).__name__ for action in touched} <= {"Settle"}
            for unit in one.rendered.units:
                assert machine.started.get(unit) == starts.get(unit)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(VARIANTS) - 1), st.integers(0, len(VARIANTS) - 1))
def test_the_node_never_does_more_to_a_copy_than_was_announced(before: int, after: int) -> None:
    """`apply` announces the class; the node may find less to do, never more."""
    old, new = an_app(**VARIANTS[before]), an_app(**VARIANTS[after])
    machine = Machine()
    run(machine, target_of(of(("web", VARIANTS[before], 1))), ALL)
    if not machine.applied.instances:
        return
    done = run(machine, target_of(of(("web", VARIANTS[after], 2), generation=2)))
    if any(isinstance(action, StartUnit | StopUnit | RestartUnit) for action in done):
        assert classify(old, new, "x86_64") >= ChangeClass.RESTART
    if any(isinstance(action, SetProperties | WriteUnit) for action in done):
        assert classify(old, new, "x86_64") >= ChangeClass.LIVE


def test_a_live_change_sets_properties_and_starts_nothing() -> None:
    machine = Machine()
    run(machine, target_of(of(("web", {"resources": Resources(memory_bytes=1 << 20)}, 1))))
    done = run(
        machine, target_of(of(("web", {"resources": Resources(memory_bytes=2 << 20)}, 2), generation=2))
    )
    assert kinds(done)[1:5] == [WriteUnit, SetProperties, DropProperties, Reload]
    assert not {StartUnit, StopUnit, RestartUnit} & set(kinds(done))
    assert [action.properties for action in done if isinstance(action, SetProperties)] == [
        {"MemoryMax": 2 << 20}
    ]


def test_a_live_change_that_broke_off_anywhere_starts_nothing_either() -> None:
    """The agent may be killed at any point of it."""
    first = target_of(of(("web", {"resources": Resources(memory_bytes=1 << 20)}, 1)))
    second = target_of(of(("web", {"resources": Resources(memory_bytes=2 << 20)}, 2), generation=2))
    for steps in range(8):
        machine = Machine()
        run(machine, first)
        broken = run(machine, second, steps=steps)
        mended = run(machine, second)
        assert RestartUnit not in kinds(mended)
        assert machine.started["skerry-web-0.service"] == 1
        settled = any(isinstance(action, Settle) for action in broken)
        assert settled or [one.properties for one in mended if isinstance(one, SetProperties)] == [
            {"MemoryMax": 2 << 20}
        ]
        check(machine, second, ALL)


def test_an_agent_that_renders_the_same_app_in_another_way_restarts_nothing() -> None:
    """No unit notices an upgrade; the new text holds from the unit's next start."""
    machine = Machine()
    target = target_of(of(("web", {}, 1)))
    run(machine, target)
    name, one = next(iter(target.instances.items()))
    text = one.rendered.units[one.rendered.service] + "# by a newer agent\n"
    newer = structs.replace(one.rendered, units={one.rendered.service: text}, restart_key="newer")
    upgraded = structs.replace(target, instances={name: structs.replace(one, rendered=newer)})
    for steps in range(6):
        again = replace(machine, files=dict(machine.files), loaded=dict(machine.loaded))
        run(again, upgraded, steps=steps)
        run(again, upgraded)
        assert again.files[one.rendered.service] == text
        assert again.started[one.rendered.service] == 1
        assert again.applied.instances == upgraded.instances
        assert plan(again.applied, upgraded, again.observe(), ALL).actions == ()


def test_new_content_needs_a_restart_but_no_reload() -> None:
    machine = Machine()
    run(machine, target_of(of(("web", {"env": {"A": "1"}}, 1))))
    done = run(machine, target_of(of(("web", {"env": {"A": "2"}}, 2), generation=2)))
    assert RestartUnit in kinds(done)
    assert Reload not in kinds(done)


def test_the_first_start_needs_no_reload() -> None:
    assert Reload not in kinds(run(Machine(), target_of(of(("web", {}, 1)))))


def test_what_waits_for_its_archive_keeps_its_revision_while_removals_go_ahead() -> None:
    machine = Machine()
    run(machine, target_of(of(("web", {}, 1), ("db", {}, 1))))
    target = target_of(of(("web", VARIANTS[11], 2), generation=2))
    found = plan(machine.applied, target, machine.observe(), frozenset([SHA_A]))
    assert [(one.instance, one.step) for one in found.waiting] == [("web-0-aaaaaaaaaa", StepName.FETCHED)]
    assert [one.sha256 for one in found.fetches] == [SHA_B]
    assert StopUnit(InstanceId("db-0-aaaaaaaaaa"), "skerry-db-0.service") in found.actions
    for action in found.actions:
        machine.do(action, target)
    assert machine.active == {"skerry-web-0.service"}
    assert machine.applied.instances[InstanceId("web-0-aaaaaaaaaa")].entry.revision == 1
    assert machine.applied.issued == target.issued


def test_a_fenced_copy_that_waits_keeps_the_assignment_from_being_applied() -> None:
    """Its lease may be longer than the new one's; until it is switched the hub must count by the old one."""
    machine = Machine()
    run(machine, target_of(of(("web", VARIANTS[8], 1))))
    fields = {**VARIANTS[6], **VARIANTS[11]}
    target = target_of(of(("web", fields, 2), generation=2))
    done = run(machine, target, frozenset())
    assert Finish not in kinds(done)
    assert machine.applied.issued != target.issued


def test_what_the_policy_refuses_goes_on_as_it_was() -> None:
    machine = Machine()
    run(machine, target_of(of(("web", {}, 1))))
    target = target_of(of(("web", VARIANTS[12], 2), generation=2))
    found = plan(machine.applied, target, machine.observe(), ALL)
    assert kinds(list(found.actions)) == [Finish]
    assert "host-network" in found.waiting[0].reason


def test_a_unit_that_an_admin_stopped_stays_stopped() -> None:
    machine = Machine()
    run(machine, target_of(of(("web", {}, 1))))
    machine.active.clear()
    assert kinds(run(machine, target_of(of(("web", {}, 1), generation=2)))) == [Finish]
    assert machine.active == set()


def test_another_lease_length_stops_the_copy_before_its_files_change() -> None:
    machine = Machine()
    run(machine, target_of(of(("web", VARIANTS[6], 1))))
    machine.open_lease(LEASES[0])
    done = run(machine, target_of(of(("web", VARIANTS[8], 2), generation=2)))
    stop = done.index(StopUnit(InstanceId("web-0-aaaaaaaaaa"), "skerry-web-0.service"))
    written = [n for n, action in enumerate(done) if isinstance(action, WriteUnit) and action.instance]
    assert stop < min(written)
    assert "skerry-web-0.service" not in machine.active


def test_a_fenced_copy_is_enabled_only_after_its_stop_timeout_was_seen() -> None:
    machine = Machine()
    done = run(machine, target_of(of(("web", VARIANTS[6], 1))))
    assert kinds(done).index(CheckStop) < kinds(done).index(EnableUnit) < kinds(done).index(StartUnit)
    # The lease may have opened since the plan was made, and then did not see the link; else systemd refuses.
    (start,) = (action for action in done if isinstance(action, StartUnit))
    assert start.lease is not None
    assert start.unit not in machine.active


def test_a_drop_in_that_lengthens_the_stop_ends_a_fenced_copy() -> None:
    machine = Machine()
    target = target_of(of(("web", VARIANTS[6], 1)))
    run(machine, target)
    machine.open_lease(LEASES[0])
    seen = structs.replace(machine.observe(), stop_ms={"skerry-web-0.service": 10_001})
    found = plan(machine.applied, target, seen, ALL)
    assert StopUnit(InstanceId("web-0-aaaaaaaaaa"), "skerry-web-0.service") in found.actions
    assert "10001 ms" in found.waiting[0].reason
    for action in found.actions:
        machine.do(action, target)
    assert "skerry-web-0.service" not in machine.active
    run(machine, target)  # the drop-in is gone
    check(machine, target, ALL)


def test_removal_deletes_rendered_content_alone() -> None:
    machine = Machine()
    run(machine, target_of(of(("web", VARIANTS[13], 1))))
    done = run(machine, target_of(of(generation=2)))
    assert RemoveInstance(InstanceId("web-0-aaaaaaaaaa")) in done
    assert machine.files == {}
    assert machine.links == set()


@settings(max_examples=50, deadline=None)
@given(assignments)
def test_restore_puts_everything_back_and_finds_nothing_to_do_after(copies: list[Copy]) -> None:
    machine = Machine()
    target = target_of(assignment_of(copies, 1))
    run(machine, target)
    assert restore(machine.applied, machine.observe()) == ()
    bare = Machine(applied=machine.applied)
    for action in restore(machine.applied, Observed()):
        assert not isinstance(action, StartUnit | StopUnit | RestartUnit)
        bare.do(action, target)
    assert (bare.files, bare.links, bare.current) == (machine.files, machine.links, machine.current)


def test_nothing_to_run_and_nothing_applied_is_nothing_to_do() -> None:
    assignment = of()
    target = target_of(assignment)
    assert plan(State(), target, Observed(), frozenset()).actions == (Finish(target.issued),)
    assert fenced().fenced
