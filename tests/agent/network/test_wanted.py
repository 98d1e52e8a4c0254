"""What a node wants of its network: the plan it was given, and nothing taken from a process that is still there."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from skerry_agent.network.records import Plan, Status
from skerry_agent.network.wanted import along, first, spaces_of, waits, wanted
from skerry_agent.switch.target import Running, State, Target, begin, build, settle
from skerry_agent.units.policy import Policy
from skerry_agent.units.render import NodeFacts, Paths
from skerry_netplan.linter import faults
from skerry_protocol.app import App
from skerry_protocol.ids import AppName, NodeName, instance_id
from skerry_protocol.messages import Assignment, StepState
from skerry_protocol.network import AppNetwork, CopyAt, Neighbour, Network, Port

from ..builders import Copy, a_network, an_app, assignment_of, assignments, issued, with_network
from ..noderig import Copy as Of
from ..noderig import assignment

OPEN = AppNetwork({"http": Port(80)}, (AppName("db"),), {"http": 8080}, egress=False)
POLICY = Policy(allow=("host-network",))


def target(made: Assignment) -> Target:
    return build(made, issued(made), (), {}, POLICY, Paths(), NodeFacts("n1", "x86_64"))


def all_of(made: Assignment) -> State:
    """Switched to the whole of it."""
    wants = target(made)
    state = State()
    for name in wants.instances:
        state = settle(begin(state, wants, name), wants, name)
    return state


def an_assignment(*copies: Copy, generation: int = 1) -> Assignment:
    """No two ids end alike, as if they were made by chance: an interface is named by the end of one."""
    made = assignment_of(list(copies), generation)
    instances = tuple(
        structs.replace(one, id=instance_id(one.app, one.number, hashlib.sha256(one.id.encode()).digest()))
        for one in made.instances
    )
    return with_network(structs.replace(made, instances=instances))


def made_of(made: Assignment, applied: State, *strange: str) -> Plan:
    assert made.network is not None
    return wanted(made.network, target(made), applied, strange)


def only(state: State) -> Running:
    (one,) = state.instances.values()
    return one


def at(plan: Plan, one: Running) -> str:
    return plan.network.addresses[one.instance.id]


def test_the_plan_is_the_assignments_own_with_whose_each_instance_is() -> None:
    made = assignment(1, Of(an_app(network=OPEN)))
    made = structs.replace(made, network=a_network(*made.instances), node_name=NodeName("n1"))
    (one,) = made.instances
    expected = Plan(a_network(one), NodeName("n1"), {one.id: AppName("web")}, {AppName("web"): OPEN})
    assert made_of(made, State()) == expected


def test_what_is_being_stopped_keeps_its_network_until_it_is_gone() -> None:
    applied = all_of(an_assignment(Copy("web", 0, "a", 0)))
    web, after = only(applied), an_assignment(Copy("db", 0, "a", 0), generation=2)
    plan = made_of(after, applied)
    assert at(plan, web) == a_network(web.instance).addresses[web.instance.id]
    assert plan.apps[web.instance.id] == "web"
    gone = settle(applied, target(after), web.instance.id)
    assert web.instance.id not in made_of(after, gone).network.addresses


def test_what_was_only_begun_keeps_its_network_too() -> None:
    before = an_assignment(Copy("web", 0, "a", 0))
    begun = begin(State(), target(before), before.instances[0].id)
    after = an_assignment(Copy("db", 0, "a", 0), generation=2)
    assert before.instances[0].id in made_of(after, begun).network.addresses


def test_a_unit_that_no_record_names_keeps_its_network() -> None:
    applied = all_of(an_assignment(Copy("web", 0, "a", 0)))
    web, after = only(applied), an_assignment(generation=2)
    text = web.rendered.units[web.rendered.service]
    assert list(spaces_of(text)) == [web.instance.id]
    assert list(made_of(after, State(), text).network.addresses) == [web.instance.id]
    assert (
        list(made_of(after, State(), "NetworkNamespacePath=/run/skerry/spaces/now/other\n").network.addresses)
        == []
    )


def test_an_app_with_the_machines_own_network_needs_none() -> None:
    made = assignment_of([Copy("web", 0, "a", 12)], 1)
    made = structs.replace(made, network=a_network())
    plan = made_of(made, all_of(made))
    assert (plan.network.addresses, plan.apps) == ({}, {})


def test_a_new_revision_may_what_it_says_before_it_starts_and_the_old_one_until_it_ends() -> None:
    def says(number: int) -> App:
        return an_app(network=AppNetwork({"a": Port(number)}, (AppName(f"db{number}"),), egress=number == 1))

    before, after = (with_network(assignment(number, Of(says(number), revision=number))) for number in (1, 2))
    assert made_of(after, all_of(before)).says == {
        AppName("web"): AppNetwork({"a": Port(2)}, (AppName("db1"), AppName("db2")), egress=True)
    }
    assert made_of(after, all_of(after)).says == {AppName("web"): says(2).network}


@given(assignments, assignments)
def test_a_plan_never_leaves_out_a_process_and_has_no_fault(before: list[Copy], after: list[Copy]) -> None:
    former, newer = an_assignment(*before), an_assignment(*after, generation=2)
    applied = all_of(former)
    plan = made_of(newer, applied)
    assert faults(plan.network) == ()
    spaces = {one.instance.id for one in applied.instances.values() if one.rendered.namespace}
    assert set(plan.network.addresses) == spaces | {one.id for one in newer.instances}
    assert spaces <= set(plan.apps)
    assert {*plan.apps.values(), *plan.hosted} == set(plan.says)


@given(assignments)
def test_a_node_without_a_plan_has_no_namespaces(copies: list[Copy]) -> None:
    made = assignment_of(copies, 1)
    assert not any(one.rendered.namespace for one in target(made).instances.values())


def test_another_way_to_the_hub_leaves_the_rest_as_it_is() -> None:
    (one,) = an_assignment(Copy("web", 0, "a", 0)).instances
    rest = structs.replace(a_network(one), neighbours=(Neighbour(one.app),))
    way = a_network(endpoint="192.0.2.9:1")
    assert along(way, rest) == structs.replace(rest, hubs=way.hubs)


def test_a_node_with_other_addresses_knows_nobody_elses_any_more() -> None:
    (one,) = an_assignment(Copy("web", 0, "a", 0)).instances
    before = a_network(one)
    rest = structs.replace(before, neighbours=(Neighbour(one.app, (CopyAt(0, before.addresses[one.id]),)),))
    moved = along(a_network(number=2), rest)
    assert moved == a_network(one, number=2)
    assert faults(moved) == ()


def test_a_first_plan_takes_nothing_from_what_was_there() -> None:
    network, name = a_network(), NodeName("n1")
    assert first(network, name, None) == Plan(network, name)
    (one,) = an_assignment(Copy("web", 0, "a", 0)).instances
    former = Plan(a_network(one), name, {one.id: one.app}, {one.app: OPEN})
    assert first(a_network(endpoint="192.0.2.9:1"), name, former) == structs.replace(
        former, network=a_network(one, endpoint="192.0.2.9:1")
    )


@given(st.text() | st.sampled_from(["fd00::/128", "fd00::1/80", "10.0.0.0/8"]))
def test_a_plan_without_sense_is_passed_on_as_it_is(text: str) -> None:
    applied, after = all_of(an_assignment(Copy("web", 0, "a", 0))), an_assignment(generation=2)
    plan = wanted(structs.replace(a_network(), node=text), target(after), applied)
    assert plan.network.node == text
    assert faults(plan.network) or only(applied).instance.id in plan.network.addresses


def test_what_an_instance_waits_for_is_said() -> None:
    (one,) = an_assignment(Copy("web", 0, "a", 0)).instances
    assert waits(one.id, Status(spaces=(one.id,), trouble="no nft")) is None
    running, waiting = StepState.RUNNING, StepState.WAITING
    for status, state, words in (
        (None, waiting, "systemctl status skerry-net"),
        (Status(), running, "skerry-net makes its network"),
        (Status(trouble="no nft"), waiting, "no nft"),
        (Status(taken_back="the hub did not answer"), waiting, "was taken back: the hub did not answer"),
    ):
        found = waits(one.id, status)
        assert found is not None
        assert found[0] is state
        assert words in found[1]


@given(st.text())
def test_no_text_is_taken_for_more_than_it_names(text: str) -> None:
    assert all(
        f"NetworkNamespacePath=/run/skerry/spaces/now/skerry-{name}" in text for name in spaces_of(text)
    )


def test_networks_of_these_tests_make_sense() -> None:
    plan: Network = a_network()
    assert faults(plan) == ()
