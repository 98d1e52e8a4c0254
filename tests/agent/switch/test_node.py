"""What a node holds, over damage, full disks and crashes: never older, nothing lost, and it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry_agent.assignments.accept import Code, Refuse, Repeat, Take
from skerry_agent.disk.disk import DiskError
from skerry_agent.health.steps import Book
from skerry_agent.leases.leases import Armed, Leases
from skerry_agent.switch.actions import StartUnit
from skerry_agent.switch.executor import Executor
from skerry_agent.switch.overrides import NotPossible
from skerry_agent.switch.plan import Plan
from skerry_agent.switch.revisions import way_back
from skerry_agent.units.leaseunits import target_name
from skerry_agent.units.unitfiles import UnitFiles
from skerry_agent.view.answering import clear
from skerry_agent.view.status import of_app, status
from skerry_protocol.ids import AppName, NodeId
from skerry_protocol.messages import Override

from .. import builders as b
from ..noderig import Copy, Rig, assignment, identity, revisions

WEB = "skerry-web-0.service"
ONE, TWO, THREE = revisions(1, 2, 3)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def spoil(rig: Rig, generation: int) -> None:
    (rig.places.state / f"generations/1-1-{generation}/envelope").write_bytes(b"rubbish")


async def test_damage_lets_no_older_assignment_in_and_the_same_one_mends_it(rig: Rig) -> None:
    first = assignment(1, ONE)
    second, third = assignment(2, TWO, since=(first,)), assignment(3, THREE, since=(first,))
    await rig.run(first)
    rig.node.offer(b.envelope(third))  # accepted, not switched to
    spoil(rig, 3)
    node = rig.open()
    assert node.assignment is None
    assert node.conditions["damaged"].startswith("stored assignment damaged")
    assert node.accepted == b.issued(third)
    older = node.offer(b.envelope(second))
    assert isinstance(older, Refuse)
    assert older.code is Code.OLDER
    assert (await rig.switch()).plan.actions == ()
    assert isinstance(node.offer(b.envelope(third)), Repeat)
    assert "damaged" not in node.conditions
    await rig.switch()
    assert "sleep 3" in rig.command(WEB)


@pytest.mark.parametrize("room", range(9))
async def test_a_full_disk_at_any_write_of_an_acceptance_loses_nothing(tmp_path: Path, room: int) -> None:
    rig = Rig(tmp_path)
    first = assignment(1, ONE)
    second = assignment(2, TWO, since=(first,))
    third = assignment(3, THREE, since=(second,))
    await rig.run(first)
    await rig.run(second)
    assert isinstance(rig.node.roll_back(TWO.instance, "admin", "bad", 5), Override)
    rig.disk.left = room
    try:
        rig.node.offer(b.envelope(third))
    except DiskError:
        reopened = rig.open()
        assert reopened.accepted in (b.issued(second), b.issued(third))
        rig.disk.left = None
        reopened.offer(b.envelope(third))
    rig.disk.left = None
    assert rig.node.accepted == b.issued(third)
    assert rig.node.overrides == ()
    await rig.switch()
    assert "sleep 3" in rig.command(WEB)
    again = rig.open()
    assert (again.accepted, again.applied.issued, again.overrides) == (b.issued(third), b.issued(third), ())


@pytest.mark.parametrize("room", range(0, 16, 3))
async def test_a_full_disk_in_a_switch_is_a_condition_that_goes(tmp_path: Path, room: int) -> None:
    rig = Rig(tmp_path)
    first = assignment(1, ONE)
    await rig.run(first)
    rig.node.offer(b.envelope(assignment(2, TWO, since=(first,))))
    rig.disk.left = room
    done = await rig.switch()
    if done.failures:
        assert "No space left" in rig.node.conditions["disk"]
    rig.disk.left = None
    await rig.switch()
    assert "disk" not in rig.node.conditions
    assert "sleep 2" in rig.command(WEB)
    assert await rig.up(WEB)


async def test_what_does_not_know_what_a_node_holds_is_refused_and_what_overwrites_it_is_taken(
    rig: Rig,
) -> None:
    first = assignment(1, ONE)
    await rig.run(first)
    stranger = assignment(2, TWO)
    assert isinstance(rig.node.offer(b.envelope(stranger)), Refuse)
    refused = rig.open().offer(b.envelope(assignment(3, TWO, since=(stranger,))))
    assert isinstance(refused, Refuse)
    assert refused.code is Code.DIVERGED
    over = assignment(4, TWO, overwrites=b.issued(first).digest)
    rig.disk.left = 3  # the assignment and both copies of what names it, and nothing after that
    assert isinstance(rig.node.offer(b.envelope(over)), Take)
    rig.disk.left = None
    assert isinstance(rig.open().offer(b.envelope(assignment(5, THREE, since=(over,)))), Take)


async def test_a_word_given_before_a_crash_is_kept_and_done_after_it(rig: Rig) -> None:
    first = assignment(1, ONE)
    await rig.run(first)
    await rig.run(assignment(2, TWO, since=(first,)))
    word = rig.node.roll_back(TWO.instance, "health", "it was not healthy", 5)
    assert isinstance(word, Override)
    rig.open()  # the agent died before it switched
    await rig.switch()
    assert "sleep 1" in rig.command(WEB)
    assert rig.node.applied.issued == rig.node.accepted
    assert rig.node.clear(None) == (word,)
    await rig.switch()
    assert "sleep 2" in rig.command(WEB)


async def test_another_revision_ends_a_word_for_good(rig: Rig) -> None:
    first = assignment(1, ONE)
    second = assignment(2, TWO, since=(first,))
    third = assignment(3, THREE, since=(second,))
    await rig.run(first)
    await rig.run(second)
    rig.node.roll_back(TWO.instance, "admin", "bad", 5)
    await rig.switch()
    await rig.run(third)
    assert rig.node.overrides == ()
    await rig.run(assignment(4, TWO, since=(third,)))
    assert "sleep 2" in rig.command(WEB)


async def test_without_another_revision_there_is_nothing_to_go_back_to(rig: Rig) -> None:
    await rig.run(assignment(1, ONE))
    assert isinstance(rig.node.roll_back(ONE.instance, "admin", "bad", 5), NotPossible)


async def test_a_lost_record_of_what_is_applied_restarts_and_stops_nothing(rig: Rig) -> None:
    await rig.run(assignment(1, ONE))
    for name in ("applied", "applied.twin"):
        (rig.places.state / name).write_bytes(b"rubbish")
    node = rig.open()
    assert "damaged-applied" in node.conditions
    rig.systemd.calls.clear()
    await rig.switch()
    assert not [call for call in rig.systemd.calls if call.startswith(("stop", "restart"))]
    assert node.conditions == {}
    assert node.applied.issued == node.accepted


async def test_a_lost_name_of_what_was_accepted_lets_no_older_assignment_in(rig: Rig) -> None:
    """Accepted and not switched to, then both copies of the name are lost: what was kept says what is too old."""
    first = assignment(1, ONE)
    second, third = assignment(2, TWO, since=(first,)), assignment(3, THREE, since=(first,))
    await rig.run(first)
    rig.node.offer(b.envelope(third))
    for name in ("accepted", "accepted.twin"):
        (rig.places.state / name).write_bytes(b"rubbish")
    node = rig.open()
    assert (node.assignment, node.accepted) == (None, b.issued(third))
    older = node.offer(b.envelope(second))
    assert isinstance(older, Refuse)
    assert older.code is Code.OLDER
    assert isinstance(node.offer(b.envelope(third)), Repeat)
    await rig.switch()
    assert "sleep 3" in rig.command(WEB)


@pytest.mark.parametrize("lost", ["accepted", "accepted.twin", "applied", "applied.twin", "revisions.twin"])
async def test_what_is_kept_twice_is_so_again_after_a_start(rig: Rig, lost: str) -> None:
    await rig.run(assignment(1, ONE))
    path = rig.places.state / lost
    whole = path.read_bytes()
    path.write_bytes(b"rubbish")
    assert rig.open().conditions == {}
    assert path.read_bytes() == whole


async def test_a_full_disk_keeps_no_agent_from_starting(rig: Rig) -> None:
    await rig.run(assignment(1, ONE))
    (rig.places.state / "accepted").write_bytes(b"rubbish")
    (rig.places.state / "owner").unlink()
    rig.disk.left = 0
    node = rig.open()
    assert node.assignment == assignment(1, ONE)
    assert "No space left" in node.conditions["disk"]
    rig.disk.left = None
    assert rig.open().conditions == {}


async def test_a_damaged_record_of_words_is_mended_by_taking_them_back(rig: Rig) -> None:
    await rig.run(assignment(1, ONE))
    (rig.places.state / "overrides").write_bytes(b"rubbish")
    node = rig.open()
    assert "damaged-overrides" in node.conditions
    assert "made anew" in clear(node, "")[0]
    assert node.conditions == {}
    assert rig.open().conditions == {}


async def test_a_machine_that_joined_anew_begins_with_nothing_and_its_old_units_are_left_over(
    rig: Rig,
) -> None:
    ledger = Copy(b.fenced("db"))
    await rig.run(assignment(1, ONE, ledger))
    wants = rig.places.units / f"{ledger_target(ledger)}.wants"
    assert [link.name for link in wants.iterdir()] == ["skerry-db-0.service"]
    rig.identity = identity(NodeId("n" + "b" * 16))
    node = rig.open()
    assert (node.accepted, node.applied.issued, node.conditions) == (None, None, {})
    assert node.left_over() == ("skerry-db-0.service", WEB)
    assert list(wants.iterdir()) == []  # no lease of the new node may start it
    assert await rig.up(WEB)
    assert node.collect() == []  # what they need stays
    assert (rig.places.state / "former" / b.NODE / "applied").exists()
    other = Copy(b.an_app("api"))
    await rig.run(assignment(1, other, node=rig.identity.node))
    assert await rig.up(WEB)
    assert rig.open().left_over() == ("skerry-db-0.service", WEB)
    await rig.systemd.stop(WEB, 1)
    node.discard(WEB)
    assert node.left_over() == ("skerry-db-0.service",)


async def test_a_copy_that_takes_over_a_left_over_units_name_does_not_go_on_as_the_old_one(rig: Rig) -> None:
    await rig.run(assignment(1, ONE))
    rig.identity = identity(NodeId("n" + "b" * 16))
    rig.open()
    rig.systemd.calls.clear()
    await rig.run(assignment(1, TWO, node=rig.identity.node))
    assert f"restart {WEB}" in rig.systemd.calls
    assert rig.node.left_over() == ()


async def test_a_fenced_copy_that_no_record_names_is_ended(rig: Rig) -> None:
    """The record of what was switched to is lost, and with the next assignment the copy is to be gone."""
    ledger, other = Copy(b.fenced("db")), Copy(b.fenced("api"))
    first = assignment(1, ledger, other)
    await rig.run(first)
    await opened(rig, ledger)
    assert await rig.up("skerry-db-0.service")
    for name in ("applied", "applied.twin"):
        (rig.places.state / name).write_bytes(b"rubbish")
    node = rig.open()
    node.offer(b.envelope(assignment(2, other, since=(first,), removed=(ledger.instance.id,))))
    assert (await rig.switch()).failures == ()
    assert not await rig.up("skerry-db-0.service")
    assert await rig.up("skerry-api-0.service")


async def test_a_fenced_copy_that_is_refused_although_its_lease_is_open_has_failed(rig: Rig) -> None:
    ledger = Copy(b.fenced("db"))
    lease = ledger_target(ledger)
    start = StartUnit(ledger.instance.id, "skerry-db-0.service", lease)
    await rig.run(assignment(1, ledger))
    executor = Executor(rig.systemd, UnitFiles(rig.places.rendering), lambda _: None)
    assert await executor.run([start], 1) == []  # no lease: it starts with the next one
    await opened(rig, ledger)
    await rig.systemd.stop("skerry-db-0.service", 1)
    drop_in = rig.places.units / "skerry-db-0.service.d"
    drop_in.mkdir()
    (drop_in / "more.conf").write_text("[Unit]\nRequisite=other.service\n")
    await rig.systemd.reload(1)
    (failure,) = await executor.run([start], 1)
    assert "cannot start skerry-db-0.service" in failure.reason


async def opened(rig: Rig, copy: Copy) -> None:
    """Its lease is open for a while."""
    assert copy.instance.lease is not None
    leases = Leases(rig.systemd, rig.places.run_units)
    until_us = rig.systemd.boottime_us() + 60_000_000
    assert isinstance(await leases.arm(copy.instance.lease.length_ms, until_us, opens=True), Armed)


def ledger_target(copy: Copy) -> str:
    assert copy.instance.lease is not None
    return target_name(copy.instance.lease.length_ms)


async def test_a_unit_file_that_is_changed_by_hand_is_said_and_harms_nothing(rig: Rig) -> None:
    await rig.run(assignment(1, ONE))
    path = rig.places.units / WEB
    whole = path.read_text()
    path.write_text(whole + "# mine\n")
    rig.systemd.calls.clear()
    await rig.switch()
    assert WEB in rig.node.conditions["unit-files"]
    assert why(rig) == f"{WEB} was changed by hand, and is put back at the next boot"
    assert path.read_text() == whole + "# mine\n"
    assert not [call for call in rig.systemd.calls if call.startswith(("stop", "restart", "start"))]
    path.write_text(whole)
    await rig.switch()
    assert rig.node.conditions == {}
    assert why(rig) == ""


def why(rig: Rig) -> str:
    """What the node says of its only instance."""
    (view,) = of_app(status(rig.node, {}, Book(), None, "", "running", 0), AppName("web"))
    return view.reason


async def test_a_unit_file_that_is_gone_is_put_back_and_said_and_nothing_is_touched(rig: Rig) -> None:
    await rig.run(assignment(1, ONE))
    path = rig.places.units / WEB
    whole = path.read_text()
    path.unlink()
    rig.systemd.calls.clear()
    done = await rig.switch()
    assert (path.read_text(), done.plan.gone) == (whole, (WEB,))
    assert rig.systemd.calls == ["reload"]
    assert rig.node.conditions == {}
    assert (await rig.switch()).plan == Plan()


async def test_a_damaged_policy_permits_nothing_new_and_says_so(rig: Rig) -> None:
    rig.places.policy.write_text("allow = [")
    rig.node.offer(b.envelope(assignment(1, Copy(b.an_app(sandbox_allow=("host-network",))))))
    (waiting,) = (await rig.switch()).plan.waiting
    assert "host-network" in waiting.reason
    assert "policy" in rig.node.conditions
    rig.places.policy.write_text("")
    await rig.switch()
    assert "policy" not in rig.node.conditions


async def test_a_switch_whose_reload_fails_starts_nothing_in_an_old_form(rig: Rig) -> None:
    first = assignment(1, ONE)
    await rig.run(first)
    rig.node.offer(b.envelope(assignment(2, TWO, since=(first,))))
    rig.systemd.slow.add("")  # daemon-reload does not end
    done = await rig.switch()
    assert [one.instance for one in done.failures] == [None]
    assert rig.node.applied.issued == b.issued(first)
    assert f"restart {WEB}" not in rig.systemd.calls
    rig.systemd.slow.clear()
    await rig.switch()
    assert f"restart {WEB}" in rig.systemd.calls


async def test_the_way_back_is_known_after_a_restart(rig: Rig) -> None:
    first = assignment(1, ONE)
    second = assignment(2, TWO, since=(first,))
    await rig.run(first)
    rig.node.healthy(ONE.instance.id, 1)
    await rig.run(second)
    assert way_back(rig.open().revisions, TWO.instance.id, 2) == 1
    rig.node.healthy(TWO.instance.id, 2)
    assert way_back(rig.open().revisions, TWO.instance.id, 2) is None
