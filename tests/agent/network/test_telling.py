"""What the agent tells skerry-net: written where it changed, kept twice, and no more proven than was."""

from pathlib import Path

import pytest
from msgspec import structs

from skerry_agent.disk import sealed
from skerry_agent.network.confirm import Failed, Standing, Trial
from skerry_agent.network.records import KEPT, REACHED, STATUS, WANTED, Kept, Plan, Reached, Status
from skerry_agent.network.telling import Telling, told, write_wanted
from skerry_agent.network.wanted import NOT_RUNNING
from skerry_agent.view.network import NetworkView, network
from skerry_agent.view.show import network_text, status_text, ways_lines, why_text
from skerry_agent.view.status import InstanceView, StatusView
from skerry_protocol.ids import NodeName
from skerry_protocol.messages import BeatReply

from ..builders import a_network, an_app, an_instance
from ..noderig import FullDisk

REPLY = BeatReply(1, 1)
PLAN = Plan(a_network(an_instance(an_app())), NodeName("n1"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def say(run: Path, status: Status) -> None:
    (run / "net").mkdir(parents=True, exist_ok=True)
    sealed.write(run / STATUS, sealed.bytes_of(status))


def reached(run: Path) -> object:
    return sealed.message(Reached, sealed.read(run / REACHED), REACHED)


def test_what_is_wanted_already_is_not_written_again(state: Path) -> None:
    write_wanted(state, PLAN)
    full = FullDisk()
    full.left = 0
    write_wanted(state, PLAN, full)
    assert told(state) == PLAN


@pytest.mark.parametrize("lost", [WANTED, f"{WANTED}.twin"])
def test_what_lost_its_twin_is_whole_again(state: Path, lost: str) -> None:
    write_wanted(state, PLAN)
    (state / lost).write_bytes(b"rubbish")
    assert told(state) == PLAN
    write_wanted(state, PLAN)
    assert sealed.read_twice(state / WANTED) == sealed.Twice(sealed.bytes_of(PLAN))


def test_an_answer_proves_the_way_that_was_in_use_when_its_beat_was_sent(state: Path, run: Path) -> None:
    telling = Telling(state, run)
    say(run, Status(way="old"))
    telling.sending(1_000)
    say(run, Status(way="new"))
    telling.answered("boot", REPLY)
    assert reached(run) == Reached("old", "boot", 1_000)
    telling.sending(2_000)
    telling.answered("boot", REPLY)
    assert reached(run) == Reached("new", "boot", 2_000)


def test_an_assignment_shows_that_the_hub_is_reached_but_confirms_no_way(state: Path, run: Path) -> None:
    """It may have been sent by the former one. Without this a first plan after a boot would be taken untried."""
    telling = Telling(state, run)
    telling.heard("boot", 1_000)
    assert reached(run) is None
    say(run, Status(way="new", trial=True))
    telling.heard("boot", 1_000)
    assert reached(run) is None
    say(run, Status(way="old"))
    telling.heard("boot", 2_000)
    assert reached(run) == Reached("old", "boot", 2_000)


def test_where_skerry_net_says_nothing_no_answer_proves_anything(state: Path, run: Path) -> None:
    telling = Telling(state, run)
    telling.sending(1_000)
    telling.answered("boot", REPLY)
    assert not run.exists()


def test_an_answer_that_cannot_be_kept_costs_nothing(state: Path, run: Path) -> None:
    full = FullDisk()
    telling = Telling(state, run, full)
    say(run, Status(way="old"))
    telling.sending(1_000)
    full.left = 0
    telling.answered("boot", REPLY)
    assert reached(run) is None


def test_damage_is_as_if_nothing_had_been_said(state: Path, run: Path) -> None:
    say(run, Status(way="old"))
    (run / STATUS).write_bytes(b"rubbish")
    (state / "network").mkdir(parents=True)
    for name in (WANTED, KEPT):
        (state / name).write_bytes(b"rubbish")
    telling = Telling(state, run)
    assert (telling.status(), telling.plan(), telling.standing()) == (None, None, Standing())


def test_a_node_of_no_network_has_nothing_to_show(state: Path, run: Path) -> None:
    assert network(Telling(state, run), 0) is None


def test_a_plan_without_sense_can_be_shown(state: Path, run: Path) -> None:
    write_wanted(state, structs.replace(PLAN, network=structs.replace(PLAN.network, node="?")))
    view = network(Telling(state, run), 0)
    assert view is not None
    assert view.address == "no address in '?'"


def test_people_are_told_of_the_network_and_of_its_newest_plan(state: Path, run: Path) -> None:
    telling = Telling(state, run)
    write_wanted(state, PLAN)
    address = "fd63:6f61:7374:0:1::1"
    assert network(telling, 0) == NetworkView(address, trouble=NOT_RUNNING)
    say(run, Status(backend="kernel", trouble="no nft"))
    failed = Failed("w", 2, "the hub did not answer by it within 60 s")
    sealed.write_twice(state / KEPT, sealed.bytes_of(Kept(Standing("v", Trial("x", "b", 9_000), failed))))
    view = network(telling, 4_000)
    assert view == NetworkView(address, "kernel", 5_000, failed.reason, True, "no nft")
    assert network_text(view) == (
        f"{address} by the kernel's WireGuard; "
        "a new plan is on trial: it is taken back unless the hub answers under it within 5 s; "
        "the newest plan was taken back, because the hub did not answer by it within 60 s "
        "(until there is another plan); no nft"
    )
    whole = StatusView("n", "n1", "coast", "north", "running", "", "", "", network=view)
    web = InstanceView("web-0", "web-0-a", "web", "", 1, 0, "", "network waiting")
    assert f"network    {network_text(view)}" in status_text(whole).splitlines()
    assert "network: the newest plan was taken back, because the hub" in why_text(whole, [web])
    assert "network" not in status_text(structs.replace(whole, network=None))


def test_the_way_to_each_node_is_shown() -> None:
    view = NetworkView("fd00::1", mates={"n3": "", "n2": "192.0.2.3:50000"})
    assert ways_lines(view) == [
        "way        to n2: directly, to 192.0.2.3:50000",
        "way        to n3: through the hub",
    ]
