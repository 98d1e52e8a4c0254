"""What a node holds, over damage, full disks and crashes: never older, nothing lost, and it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry_agent.assignments.accept import Code, Refuse, Repeat, Take
from skerry_agent.disk.disk import DiskError
from skerry_agent.switch.overrides import NotPossible
from skerry_protocol.messages import Override

from .. import builders as b
from ..noderig import Copy, Rig, assignment, revisions

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


async def test_a_node_is_diverged_until_something_overwrites_what_it_holds_and_not_longer(rig: Rig) -> None:
    first = assignment(1, ONE)
    await rig.run(first)
    stranger = assignment(2, TWO)
    assert isinstance(rig.node.offer(b.envelope(stranger)), Refuse)
    known = assignment(3, TWO, since=(first,))
    refused = rig.open().offer(b.envelope(known))
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


async def test_a_change_stays_on_trial_over_restarts_until_it_was_healthy(rig: Rig) -> None:
    first = assignment(1, ONE)
    second = assignment(2, TWO, since=(first,))
    await rig.run(first)
    assert not rig.open().on_trial(ONE.instance.id, 1)  # nothing to go back to
    await rig.run(second)
    assert rig.open().on_trial(TWO.instance.id, 2)
    rig.node.passed(TWO.instance.id)
    assert not rig.open().on_trial(TWO.instance.id, 2)


async def test_what_was_gone_back_to_is_not_on_trial(rig: Rig) -> None:
    first = assignment(1, ONE)
    second = assignment(2, TWO, since=(first,))
    await rig.run(first)
    await rig.run(second)
    rig.node.roll_back(TWO.instance, "health", "bad", 5)
    await rig.switch()
    node = rig.open()
    assert not node.on_trial(TWO.instance.id, 1)
    assert not node.on_trial(TWO.instance.id, 2)
