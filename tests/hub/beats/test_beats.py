"""Beats: grants, boots, clones, freed claims, silence and the storm brake, event by event."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from skerry_hub.beats.beats import Beats
from skerry_hub.beats.events import (
    Action,
    AskNodes,
    BeatHeard,
    DeclareReturned,
    DeclareSilent,
    DropLate,
    ForgetLoss,
    FreeClaim,
    Gap,
    HubStarted,
    LeadRenewed,
    Learned,
    NodeTerms,
    OperatorNamed,
    PublishAgain,
    Reply,
    ReportAhead,
    ReportClone,
    ReportStorm,
    ReportStormOver,
    StoreBoot,
    Tick,
)
from skerry_hub.loops.claims import lease_of
from skerry_hub.model import AssignmentRow, BootRow, ClaimRow, ClaimState, Loss
from skerry_protocol.app import Overlap
from skerry_protocol.ids import AppName, Claim, InstanceId
from skerry_protocol.messages import Assignment, Beat, BeatReply, Holding, Instance, Issued, Version

from .. import builders as b

LEASE = lease_of(b.ha("db", Overlap.FORBID))
assert LEASE is not None
L = LEASE.length_ms
A = b.nid("a")
HELD = Holding(InstanceId("db-1-a"), AppName("db"), 1, Claim(1), L)
CLAIM = ClaimRow(AppName("db"), 1, Claim(1), A, HELD.instance, 60_000, lengths=(L,))


def issued(generation: int, *copies: Instance, node: str = "a") -> AssignmentRow:
    version = Version(1, 1, generation)
    return b.issued_row(Assignment(b.MESH.mesh, b.MESH.region, b.nid(node), version, copies))  # type: ignore[arg-type]


WITH = issued(1, Instance(HELD.instance, HELD.app, 1, 1, HELD.claim, LEASE))
WITHOUT = issued(2)


def terms(name: str, *rows: AssignmentRow, **more: object) -> NodeTerms:
    fields = {"lost_after_ms": frozenset({60_000}), "newest": rows[-1].issued if rows else None, **more}
    return NodeTerms(b.nid(name), name, issued=rows, **fields)  # type: ignore[arg-type]


def hub(*rows: AssignmentRow, now: float = 0.0, **more: object) -> Beats:
    """A hub with node a and its claim."""
    beats = Beats(HubStarted(now, 7, **more))  # type: ignore[arg-type]
    beats.handle(Learned(now, {A: terms("a", *(rows or (WITH,)))}, (CLAIM,)))
    return beats


def hear(
    beats: Beats, now: float, boot: str = "one", reply: int = 0, **more: object
) -> tuple[BeatReply, list[Action]]:
    fields: dict[str, object] = {"accepted": WITH.issued, "applied": WITH.issued, "claims": (HELD,), **more}
    actions = beats.handle(BeatHeard(now, A, Beat(boot, reply, **fields)))  # type: ignore[arg-type]
    last = actions[-1]
    assert isinstance(last, Reply)
    return last.reply, actions[:-1]


def kinds(actions: list[Action]) -> list[str]:
    return [type(action).__name__ for action in actions]


def test_a_held_claim_is_granted_and_the_boot_is_stored_first() -> None:
    reply, actions = hear(hub(), 1.0)
    assert reply == BeatReply(7, 1, (L,), WITH.issued)
    assert actions == [StoreBoot(BootRow(A, "one"))]


def test_a_second_beat_writes_nothing() -> None:
    beats = hub()
    reply, _ = hear(beats, 1.0)
    assert hear(beats, 2.0, reply=reply.number)[1] == []


@pytest.mark.parametrize("state", [ClaimState.VOID, ClaimState.FREE])
def test_a_void_claim_stops_its_whole_length(state: ClaimState) -> None:
    beats = hub()
    other = ClaimRow(AppName("queue"), 1, Claim(3), A, InstanceId("queue-1-a"), 60_000, lengths=(L,))
    void = ClaimRow(AppName("db"), 1, Claim(1), A, HELD.instance, 60_000, state, (L,))
    beats.handle(Learned(0.0, {}, (void, other)))
    queue = Holding(other.instance, other.app, 1, other.claim, L)
    assert hear(beats, 1.0, claims=(HELD, queue))[0].grants == ()
    assert hear(beats, 2.0, reply=1, claims=(queue,))[0].grants == (L,)


def test_an_unknown_claim_is_granted_only_while_restored() -> None:
    newer = Holding(HELD.instance, HELD.app, 1, Claim(2), L)
    beats = hub()
    assert hear(beats, 1.0, claims=(newer,))[0].grants == ()
    beats.handle(Learned(1.0, {}, (), restored=True))
    assert hear(beats, 2.0, reply=1, claims=(newer,))[0].grants == (L,)


def test_no_grants_after_the_lead_ends() -> None:
    beats = hub()
    beats.handle(LeadRenewed(5.0, 8))
    assert hear(beats, 4.9)[0].grants == (L,)
    reply, _ = hear(beats, 5.0, reply=1)
    assert (reply.grants, reply.term) == ((), 8)
    assert "does not lead" in str(reply.trouble)


def ending(beats: Beats, now: float) -> None:
    row = ClaimRow(AppName("db"), 1, Claim(1), A, HELD.instance, 60_000, ClaimState.ENDING, (L,))
    beats.handle(Learned(now, {A: terms("a", WITH, WITHOUT)}, (row,)))


def test_an_ended_claim_is_freed_by_a_beat_that_applied_and_does_not_name_it() -> None:
    beats = hub()
    hear(beats, 1.0)
    ending(beats, 2.0)
    assert hear(beats, 3.0, reply=1)[0].grants == (L,)
    _, named = hear(beats, 4.0, reply=2, applied=WITHOUT.issued, accepted=WITHOUT.issued)
    assert FreeClaim(CLAIM.key) not in named
    _, older = hear(beats, 5.0, reply=3, applied=WITH.issued, claims=())
    assert FreeClaim(CLAIM.key) not in older
    _, freed = hear(beats, 6.0, reply=4, applied=WITHOUT.issued, accepted=WITHOUT.issued, claims=())
    assert FreeClaim(CLAIM.key) in freed
    assert beats.freed == {CLAIM.key}
    assert hear(beats, 7.0, reply=5)[0].grants == ()


def test_an_applied_assignment_before_the_claim_frees_nothing() -> None:
    before, beats = issued(0), hub()
    row = ClaimRow(AppName("db"), 1, Claim(1), A, HELD.instance, 60_000, ClaimState.ENDING, (L,))
    beats.handle(Learned(2.0, {A: terms("a", before, WITH, WITHOUT)}, (row,)))
    _, actions = hear(beats, 3.0, applied=before.issued, accepted=before.issued, claims=())
    assert "FreeClaim" not in kinds(actions)


def test_an_ended_claim_is_freed_by_time_since_the_last_grant() -> None:
    beats = hub()
    hear(beats, 10.0)
    ending(beats, 11.0)
    for now in range(12, 70):
        assert "FreeClaim" not in kinds(beats.handle(Tick(float(now))))
    assert FreeClaim(CLAIM.key) in beats.handle(Tick(70.0))


def test_without_a_memory_time_begins_at_the_start() -> None:
    beats = hub(now=100.0)
    ending(beats, 100.0)
    assert "FreeClaim" not in kinds(beats.handle(Tick(159.9)))
    assert "FreeClaim" in kinds(beats.handle(Tick(160.0)))


def test_a_new_boot_waits_for_the_old_one_unless_it_said_that_all_had_stopped() -> None:
    beats = hub()
    hear(beats, 1.0)
    reply, actions = hear(beats, 5.0, boot="two")
    assert reply.grants == ()
    assert actions == [StoreBoot(BootRow(A, "two", settled=False))]
    assert hear(beats, 60.9, boot="two", reply=2)[0].grants == ()
    reply, actions = hear(beats, 61.0, boot="two", reply=3)
    assert reply.grants == (L,)
    assert actions == [StoreBoot(BootRow(A, "two"))]
    reply, actions = hear(beats, 62.0, boot="two", reply=4, stopped=True, claims=())
    assert actions == [StoreBoot(BootRow(A, "two", stopped=True))]
    assert hear(beats, 63.0, boot="three")[0].grants == (L,)


def test_a_new_boot_on_an_older_disk_waits_for_what_its_claims_are_held_under_now() -> None:
    """Its length was over, and the copy that it would start lived on under the length that had taken its place."""
    assert LEASE is not None
    longer = structs.replace(LEASE, length_ms=2 * L, lost_after_ms=120_000)
    copy = Instance(HELD.instance, HELD.app, 1, 2, HELD.claim, longer)
    now_so = issued(2, copy)
    held = Holding(HELD.instance, HELD.app, 1, HELD.claim, 2 * L)
    for lengths, rows in (((L, 2 * L), (WITH,)), ((2 * L,), (WITH, now_so))):
        beats = hub()
        assert hear(beats, 1)[0].grants == (L,)
        claim = structs.replace(CLAIM, lengths=lengths, lost_after_ms=120_000)
        beats.handle(Learned(2, {A: terms("a", *rows)}, (claim,)))
        assert hear(beats, 100, reply=1, claims=(held,))[0].grants == (2 * L,)
        assert hear(beats, 101, boot="older")[0].grants == ()
        assert hear(beats, 219, boot="older", reply=3)[0].grants == ()
        assert hear(beats, 221.1, boot="older", reply=4)[0].grants == (L,)


def test_a_restarted_hub_knows_the_boot_that_it_granted() -> None:
    same = hub(now=100.0, boots=(BootRow(A, "one"),))
    assert hear(same, 101.0, reply=9)[0].grants == (L,)
    for row in (BootRow(A, "zero"), BootRow(A, "one", settled=False)):
        other = hub(now=100.0, boots=(row,))
        assert hear(other, 101.0, reply=9)[0].grants == ()
        assert hear(other, 160.0, reply=10)[0].grants == (L,)


def test_boots_that_are_heard_by_turns_are_clones_until_an_operator_names_one() -> None:
    beats = hub()
    hear(beats, 1.0, boot="one")
    hear(beats, 2.0, boot="two")
    assert hear(beats, 2.3, boot="one", reply=1)[0].grants == ()
    assert hear(beats, 2.6, boot="two", reply=1)[0].grants == ()
    reply, actions = hear(beats, 3.0, boot="one", reply=1)
    assert reply.grants == ()
    assert "two machines, one identity" in str(reply.trouble)
    assert kinds(actions) == ["StoreBoot", "ReportClone"]
    assert hear(beats, 200.0, boot="two", reply=2)[0].grants == ()
    assert kinds(beats.handle(OperatorNamed(201.0, A, "two"))) == ["StoreBoot"]
    assert hear(beats, 202.0, boot="two", reply=4)[0].grants == (L,)
    banned, _ = hear(beats, 203.0, boot="one", reply=3)
    assert banned.grants == ()
    assert "ruled this machine out" in str(banned.trouble)


def test_an_old_number_is_a_clone_but_a_lost_reply_or_a_new_agent_is_not() -> None:
    beats = hub()
    first, _ = hear(beats, 1.0)
    hear(beats, 2.0, reply=first.number)  # this answer is lost
    third, _ = hear(beats, 3.0, reply=first.number)
    assert hear(beats, 4.0, reply=0)[0].grants == (L,)  # its agent began anew
    after, _ = hear(beats, 5.0, reply=0)
    assert hear(beats, 6.0, reply=after.number)[0].grants == (L,)
    assert any(isinstance(one, ReportClone) for one in hear(beats, 7.0, reply=third.number)[1])


def test_a_late_beat_says_nothing() -> None:
    """Not that a claim is free, not that the node is there, and not that there are two machines."""
    beats = hub()
    first, _ = hear(beats, 1.0, at_us=100)
    second, _ = hear(beats, 2.0, at_us=200, reply=first.number)
    ending(beats, 3.0)
    for at_us in (100, 199, 200):
        late, actions = hear(
            beats, 50.0, at_us=at_us, applied=WITHOUT.issued, accepted=WITHOUT.issued, claims=()
        )
        assert actions == [DropLate(A)]
        assert (late.grants, late.number) == ((), 0)
        assert "it came late" in str(late.trouble)
    assert beats.last_heard(A) == 2.0
    assert hear(beats, 51.0, at_us=201, reply=second.number)[0].trouble is None


def test_what_a_restarted_hub_hears_first_may_have_come_late() -> None:
    """The node has a newer reply of the hub before: that is no other machine. What comes back after it is."""
    beats = hub(boots=(BootRow(A, "one"),))
    assert hear(beats, 1.0, reply=35, at_us=10)[0].number == 36
    newer, actions = hear(beats, 2.0, reply=37, at_us=20)
    assert (newer.trouble, kinds(actions)) == (None, [])
    assert newer.grants == (L,)
    assert "ReportClone" in kinds(hear(beats, 3.0, reply=36, at_us=30)[1])


def test_an_old_boots_last_word_that_comes_late_makes_the_new_one_wait_and_no_more() -> None:
    beats = hub()
    hear(beats, 1.0, boot="one", at_us=9_000)
    hear(beats, 2.0, boot="two", at_us=50)
    assert hear(beats, 3.0, boot="one", at_us=9_000)[1] == [DropLate(A)]  # this one had come before
    assert hear(beats, 3.5, boot="two", at_us=60)[0].trouble is None
    assert hear(beats, 4.0, boot="one", at_us=9_500)[0].grants == ()  # this one had not
    for now in (5.0, 40.0, 63.9):
        assert hear(beats, now, boot="two", at_us=int(now * 1e6))[0].grants == ()
    reply, actions = hear(beats, 66.0, boot="two", at_us=66_000_000)
    assert (reply.grants, reply.trouble) == ((L,), None)
    assert "ReportClone" not in kinds(actions)


def test_a_clone_frees_no_claim() -> None:
    beats = hub()
    hear(beats, 1.0, boot="one")
    hear(beats, 2.0, boot="two")
    hear(beats, 3.0, boot="one")
    hear(beats, 3.3, boot="two")
    hear(beats, 3.6, boot="one")
    ending(beats, 4.0)
    _, actions = hear(beats, 5.0, boot="two", applied=WITHOUT.issued, accepted=WITHOUT.issued, claims=())
    assert "FreeClaim" not in kinds(actions)


def test_behind_is_published_again_and_ahead_is_told_once() -> None:
    beats = hub()
    hear(beats, 1.0)
    beats.handle(Learned(2.0, {A: terms("a", WITH, WITHOUT)}))
    assert PublishAgain(A) not in hear(beats, 11.9, reply=1)[1]
    assert PublishAgain(A) in hear(beats, 12.0, reply=2)[1]
    assert PublishAgain(A) not in hear(beats, 13.0, reply=3)[1]
    ahead = Issued(Version(1, 1, 5), b"?")
    reply, actions = hear(beats, 14.0, reply=4, accepted=ahead)
    assert ReportAhead(A, ahead) in actions
    assert reply.newest is None
    assert ReportAhead(A, ahead) not in hear(beats, 15.0, reply=5, accepted=ahead)[1]


def region(*names: str, own: str = "", now: float = 0.0, **more: object) -> Beats:
    beats = Beats(HubStarted(now, 1))
    nodes = {b.nid(name): terms(name, own_machine=name == own) for name in names}
    beats.handle(Learned(now, nodes, **more))  # type: ignore[arg-type]
    return beats


def run(beats: Beats, start: int, end: int, alive: str, answer: str = "") -> list[Action]:
    """A tick a second; `alive` beat every 10 s, and they and `answer` whenever they are asked."""
    found: list[Action] = []
    for now in range(start, end):
        for name in alive if now % 10 == 0 else "":
            found += beats.handle(BeatHeard(now, b.nid(name), Beat("boot")))
        for action in beats.handle(Tick(now)):
            found.append(action)
            for node in action.nodes if isinstance(action, AskNodes) else ():
                if node.removeprefix("id-") in alive + answer:
                    found += beats.handle(BeatHeard(now + 0.5, node, Beat("boot")))
    return [one for one in found if not isinstance(one, Reply | StoreBoot | AskNodes)]


def test_a_silent_node_is_lost_and_comes_back() -> None:
    beats = region(*"abcd")
    assert run(beats, 0, 60, "bcd") == []
    assert run(beats, 60, 65, "bcd") == [DeclareSilent(A, 60_000)]
    assert run(beats, 65, 300, "bcd") == []
    assert run(beats, 300, 301, "abcd") == [DeclareReturned(A, (60_000,))]
    assert run(beats, 301, 901, "abcd") == [ForgetLoss(A, 60_000)]
    assert DeclareSilent(A, 60_000) in run(beats, 901, 970, "bcd")


def test_a_shorter_time_counts_from_when_it_was_asked_for() -> None:
    """Before that the node beat as seldom as it was asked to."""
    beats = region(*"abcd")
    run(beats, 0, 40, "abcd")
    assert run(beats, 40, 60, "bcd") == []
    copy = replace(beats._nodes[A], lost_after_ms=frozenset({20_000, 60_000}))
    beats.handle(Learned(60, {A: copy}, ()))
    assert run(beats, 60, 80, "bcd") == []
    assert run(beats, 80, 82, "bcd") == [DeclareSilent(A, 20_000)]


def test_silence_counts_only_while_the_hub_listens() -> None:
    beats = region(*"abcd")
    run(beats, 0, 50, "bcd")
    beats.handle(Gap(50.0))
    assert run(beats, 51, 109, "bcd") == []
    later = region(*"abcd")
    run(later, 0, 50, "bcd")
    assert run(later, 58, 117, "bcd") == []  # the loop stood for 8 s
    assert run(later, 117, 125, "bcd") == [DeclareSilent(A, 60_000)]


def test_the_storm_brake_holds_and_ends() -> None:
    beats = region(*"abcdefgh")
    found = run(beats, 0, 90, "ab")
    assert {type(one) for one in found} == {ReportStorm}
    assert beats.storm
    last = found[-1]
    assert isinstance(last, ReportStorm)
    assert len(last.nodes) == 6
    assert "this hub that is cut off" in last.reason
    over = run(beats, 90, 130, "abcdefgh")
    assert any(isinstance(one, ReportStormOver) for one in over)
    assert not any(isinstance(one, DeclareSilent) for one in over)
    assert DeclareSilent(A, 60_000) in run(beats, 130, 260, "bcdefgh")


def test_a_region_may_set_how_long_the_brake_holds() -> None:
    beats = region(*"abcdefgh", storm_hold_ms=30_000)
    found = run(beats, 0, 100, "ab")
    assert sum(isinstance(one, DeclareSilent) for one in found) == 6
    storms = [one for one in found if isinstance(one, ReportStorm)]
    assert storms[0].reason.startswith("nothing is replaced until they answer, or for 30 s: ")
    assert [one.reason for one in storms if not one.holds] == [
        "it held for 30 s and the nodes do not answer: what is lost is replaced from now on"
    ], "who looks must not read that nothing is replaced"


def test_the_storm_names_what_is_down_first_and_once() -> None:
    beats = Beats(HubStarted(0.0, 1))
    beats.handle(Learned(0.0, {b.nid(name): terms(name, fenced=(f"db-{name}",)) for name in "abcdefgh"}))
    storms = [one for one in run(beats, 0, 90, "ab") if isinstance(one, ReportStorm)]
    reason = storms[-1].reason
    assert reason.startswith(
        "6 copies that forbid overlap are down (db-c, db-d, db-e, db-f, db-g, ...); nothing"
    )
    assert reason.count("db-c") == reason.count("nothing is replaced") == 1


def test_a_small_region_needs_all_silent_but_the_hubs_own_machine() -> None:
    found = run(region(*"abc"), 0, 70, "c")
    assert {one.node for one in found if isinstance(one, DeclareSilent)} == {b.nid("a"), b.nid("b")}
    found = run(region(*"abc", own="c"), 0, 70, "c")
    assert {type(one) for one in found} == {ReportStorm}
    found = run(region(*"ac", own="c"), 0, 70, "c")
    assert found == [DeclareSilent(A, 60_000)]


def test_a_best_effort_node_that_answers_keeps_the_storm_away() -> None:
    beats = region(*"abcdef")
    found = run(beats, 0, 70, "", answer="bcdef")
    assert all(not isinstance(one, ReportStorm) for one in found)


def test_losses_of_before_a_restart_stay_until_the_node_is_heard() -> None:
    beats = Beats(HubStarted(0.0, 1, losses=(Loss(A, 60_000), Loss(b.nid("b"), 60_000, 0, 1))))
    beats.handle(Learned(0.0, {b.nid(name): terms(name) for name in "abcd"}))
    assert run(beats, 0, 100, "bcd") == []
    assert run(beats, 100, 101, "abcd") == [DeclareReturned(A, (60_000,))]
    assert ForgetLoss(b.nid("b"), 60_000) in run(beats, 101, 605, "abcd")
