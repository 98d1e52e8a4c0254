from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from skerry_agent.assignments.accept import Alarm, Code, Held, Refuse, Repeat, Take, decide
from skerry_protocol import signing
from skerry_protocol.app import App
from skerry_protocol.codec import decode, encode
from skerry_protocol.ids import InstanceId, MeshName, NodeId, Region
from skerry_protocol.lease import Lease
from skerry_protocol.messages import AppRevision, Assignment, Instance, Issued, Version

from ..builders import (
    HUB,
    MESH,
    NODE,
    REGION,
    ROOT,
    Copy,
    an_app,
    an_instance,
    assignment_of,
    assignments,
    envelope,
    fenced,
    issued,
)

PIN = signing.pin(signing.public_key(ROOT))
THIEF = bytes(range(2, 34))
FRESH = Held(PIN, MESH, REGION, NODE)


def version(generation: int, epoch: int = 1, serial: int = 1) -> Version:
    return Version(serial, epoch, generation)


def of(generation: int = 1, copies: int = 1, app: App | None = None, **fields: object) -> Assignment:
    app = app or an_app()
    instances = tuple(an_instance(app, number) for number in range(copies))
    plain = Assignment(MESH, REGION, NODE, version(generation), instances, (AppRevision(1, app),))
    return structs.replace(plain, **fields)


def holding(assignment: Assignment, **fields: object) -> Held:
    """The node after it took this assignment."""
    taken = decide(FRESH, envelope(assignment))
    assert isinstance(taken, Take)
    ids = frozenset(one.id for one in taken.assignment.instances)
    held = structs.replace(FRESH, accepted=taken.issued, instances=ids, delegation=taken.delegation)
    return structs.replace(held, **fields)


def after(before: Assignment, generation: int = 2, copies: int = 1, **fields: object) -> Assignment:
    """What an honest hub issues next."""
    new = of(generation, copies)
    left = {one.id for one in before.instances} - {one.id for one in new.instances}
    new = structs.replace(new, since=(issued(before),), removed=tuple(sorted(left)))
    return structs.replace(new, **fields)


def refused(held: Held, offer: bytes) -> Code:
    found = decide(held, offer)
    assert isinstance(found, Refuse), found
    assert found.text.startswith("cannot accept the assignment: ")
    return found.code


def test_the_first_assignment_is_taken_when_it_is_signed() -> None:
    found = decide(FRESH, envelope(of()))
    assert isinstance(found, Take)
    assert found.issued == issued(of())
    assert found.vanished == frozenset()


def test_the_next_one_is_taken_and_says_what_vanishes() -> None:
    first = of(1, copies=3)
    found = decide(holding(first), envelope(after(first, copies=2)))
    assert isinstance(found, Take)
    assert found.vanished == {InstanceId("web-2-aaaaaaaaaa")}


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_rubbish_is_refused(data: bytes) -> None:
    assert refused(FRESH, data) is Code.MALFORMED


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_changed_byte_is_taken(data: st.DataObject) -> None:
    good = envelope(of(2))
    place = data.draw(st.integers(0, len(good) - 1))
    flip = data.draw(st.integers(1, 255))
    bad = good[:place] + bytes([good[place] ^ flip]) + good[place + 1 :]
    assert not isinstance(decide(holding(of(1)), bad), Take)
    assert not isinstance(decide(FRESH, bad), Take)


def test_another_mesh_another_region_and_a_stranger_cannot_speak() -> None:
    assert refused(FRESH, envelope(of(), root=THIEF)) is Code.BAD_DELEGATION
    word = signing.delegate(ROOT, MESH, Region("south"), 1, signing.public_key(HUB), b"t" * 32)
    signed = signing.sign(HUB, signing.ASSIGNMENT, encode(of()))
    assert refused(FRESH, encode(signing.Envelope(signed, word))) is Code.BAD_DELEGATION
    good = decode(signing.Envelope, envelope(of()))
    forged = signing.sign(THIEF, signing.ASSIGNMENT, encode(of()))
    assert refused(FRESH, encode(structs.replace(good, assignment=forged))) is Code.BAD_SIGNATURE
    for_joining = signing.sign(HUB, signing.JOIN, encode(of()))
    assert refused(FRESH, encode(structs.replace(good, assignment=for_joining))) is Code.BAD_SIGNATURE


def test_it_must_name_this_mesh_region_node_and_its_own_serial() -> None:
    wrong = (
        {"mesh": MeshName("sea")},
        {"region": Region("south")},
        {"node": NodeId("nbbbbbbbbbbbbbbbb")},
        {"version": version(1, serial=2)},
    )
    for fields in wrong:
        assert refused(FRESH, envelope(of(**fields))) is Code.NOT_OURS


def test_an_older_delegation_is_refused_and_a_newer_one_outbids_every_epoch() -> None:
    held = holding(of(1, version=version(9, epoch=9)))
    found = decide(
        held, envelope(after(of(1, version=version(9, epoch=9)), version=version(1, 1, 2)), serial=2)
    )
    assert isinstance(found, Take)
    held = structs.replace(held, delegation=found.delegation)
    assert refused(held, envelope(of(99))) is Code.OLD_DELEGATION


def test_a_newer_delegation_is_remembered_even_when_the_assignment_is_refused() -> None:
    found = decide(holding(of(1)), envelope(of(2, version=version(2, serial=2)), serial=2))
    assert isinstance(found, Refuse)
    assert found.code is Code.DIVERGED
    assert found.delegation is not None
    assert found.delegation.serial == 2


def test_two_hubs_under_one_serial_are_an_alarm() -> None:
    assert isinstance(decide(holding(of(1)), envelope(of(2), hub=THIEF)), Alarm)


def test_the_same_again_is_a_repeat_and_another_under_its_number_an_alarm() -> None:
    held = holding(of(5))
    assert isinstance(decide(held, envelope(of(5))), Repeat)
    assert isinstance(decide(held, envelope(of(5, copies=2))), Alarm)


def test_an_older_one_is_refused_by_epoch_first() -> None:
    held = holding(of(5, version=version(5, epoch=2)))
    for older in (version(4, epoch=2), version(6, epoch=1), version(5, epoch=1)):
        assert refused(held, envelope(after(of(5), version=older))) is Code.OLDER


def test_a_hub_that_does_not_know_what_is_held_is_refused_until_it_does_or_overwrites_it() -> None:
    first = of(5)
    held = holding(first)
    stranger = after(first, 6, since=(Issued(first.version, b"x" * 32),))
    assert refused(held, envelope(stranger)) is Code.DIVERGED
    assert refused(held, envelope(after(first, 7, since=(), overwrites=b"y" * 32))) is Code.DIVERGED
    assert isinstance(decide(held, envelope(after(first, 7))), Take)
    resumed = after(first, 7, since=(), overwrites=issued(first).digest)
    assert isinstance(decide(held, envelope(resumed)), Take)


def test_an_instance_that_vanishes_must_be_removed() -> None:
    first = of(1, copies=2)
    assert refused(holding(first), envelope(after(first, removed=()))) is Code.UNEXPLAINED_REMOVAL
    resumed = after(first, since=(), removed=(), overwrites=issued(first).digest)
    assert refused(holding(first), envelope(resumed)) is Code.UNEXPLAINED_REMOVAL


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 8), st.integers(0, 8), st.booleans())
def test_removing_most_needs_an_operator(before: int, left: int, confirmed: bool) -> None:
    left = min(before, left)
    first = of(1, copies=before)
    found = decide(
        holding(first), envelope(after(first, copies=left, confirmed_by="ann" if confirmed else None))
    )
    gone = before - left
    needs = gone >= 3 and gone > before / 2
    if needs and not confirmed:
        assert isinstance(found, Refuse)
        assert found.code is Code.UNCONFIRMED_REMOVAL
    else:
        assert isinstance(found, Take)


def test_content_that_makes_no_sense_is_refused() -> None:
    app, lone = an_app(), fenced()
    good = an_instance(app)
    guarded = an_instance(lone)
    bad: list[tuple[tuple[Instance, ...], App]] = [
        ((good, good), app),
        ((good, structs.replace(good, id=InstanceId("web-0-bbbbbbbbbb"))), app),
        ((structs.replace(good, revision=2),), app),
        ((structs.replace(good, id=InstanceId("../../etc/passwd")),), app),
        ((structs.replace(good, id=InstanceId("web-1-aaaaaaaaaa")),), app),
        ((structs.replace(good, lease=Lease(46_400, 10_000, 60_000)),), app),
        ((structs.replace(guarded, claim=None),), lone),
        ((structs.replace(guarded, lease=None),), lone),
        ((structs.replace(guarded, lease=Lease(60_000, 0, 60_000)),), lone),
        ((good,), structs.replace(app, run=())),
    ]
    for instances, content in bad:
        offer = of(instances=instances, apps=(AppRevision(1, content),))
        assert refused(FRESH, envelope(offer)) is Code.BAD_CONTENT, instances
    offer = of(removed=(good.id,))
    assert refused(FRESH, envelope(offer)) is Code.BAD_CONTENT
    assert isinstance(decide(FRESH, envelope(of(app=lone))), Take)


@settings(max_examples=150, deadline=None)
@given(assignments, assignments, st.booleans(), st.booleans(), st.integers(0, 3))
def test_whatever_is_taken_is_newer_known_and_meant(
    before: list[Copy], new: list[Copy], knows: bool, explains: bool, generation: int
) -> None:
    """The promise, whichever way the rules are written: never backwards, never deleted by absence."""
    first = structs.replace(assignment_of(before, 1), version=version(2))
    second = assignment_of(new, generation + 1)
    left = {one.id for one in first.instances} - {one.id for one in second.instances}
    second = structs.replace(
        second, since=(issued(first),) if knows else (), removed=tuple(sorted(left)) if explains else ()
    )
    held = holding(first)
    found = decide(held, envelope(second))
    if isinstance(found, Take):
        assert held.accepted is not None
        assert found.issued.version > held.accepted.version
        assert knows
        assert left <= set(found.assignment.removed)
        assert found.vanished == left
