"""Whether an offered assignment is taken, and every reason to refuse one. Pure.

Owns the rules of docs/protocol.md, "What a node accepts". They are checked in one order: who speaks (delegation, then
signature), to whom (mesh, region, node), whether it is newer, whether it knows what this node holds, whether each
removal is meant, and whether its content makes sense. Must never take what it cannot verify, and never go back: what is
refused changes nothing on the node but the delegation that it has seen.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from skerry_protocol.codec import WireError, decode
from skerry_protocol.ids import InstanceId, MeshName, NodeId, Region
from skerry_protocol.messages import Assignment, Issued
from skerry_protocol.signing import (
    ASSIGNMENT,
    BadSignature,
    Delegation,
    Envelope,
    digest,
    open_delegation,
    verify,
)

from .sanity import faults

UNCONFIRMED_MAX = 2


class Code(StrEnum):
    """Why an assignment was not taken. Released codes never change their meaning."""

    MALFORMED = "malformed"
    BAD_DELEGATION = "bad-delegation"
    OLD_DELEGATION = "old-delegation"
    BAD_SIGNATURE = "bad-signature"
    NOT_OURS = "not-ours"
    OLDER = "older"
    DIVERGED = "diverged"
    UNEXPLAINED_REMOVAL = "unexplained-removal"
    UNCONFIRMED_REMOVAL = "unconfirmed-removal"
    BAD_CONTENT = "bad-content"


class Held(Struct, frozen=True, omit_defaults=True):
    """What the node knows before an offer comes.

    `pin` names the mesh's root (hex); `delegation` is the one with the highest serial seen for this region; `instances`
    are those of the accepted assignment.
    """

    pin: str
    mesh: MeshName
    region: Region
    node: NodeId
    delegation: Delegation | None = None
    accepted: Issued | None = None
    instances: frozenset[InstanceId] = frozenset()


class Take(Struct, frozen=True):
    """Accept it. `vanished` are the instances that it takes away, `delegation` is to be remembered."""

    assignment: Assignment
    issued: Issued
    delegation: Delegation
    vanished: frozenset[InstanceId] = frozenset()


class Repeat(Struct, frozen=True):
    """It is the accepted one again."""

    issued: Issued
    delegation: Delegation


class Refuse(Struct, frozen=True):
    """Keep what is there, and report `text`. `delegation` is newly seen and to be remembered even so."""

    code: Code
    text: str
    delegation: Delegation | None = None


class Alarm(Struct, frozen=True):
    """Two different assignments, or two hubs, under one number: keep what is there, and say so loudly."""

    text: str
    delegation: Delegation | None = None


Decision = Take | Repeat | Refuse | Alarm


def decide(held: Held, offer: bytes) -> Decision:
    """What to do with the bytes of an Envelope as they were received."""
    try:
        envelope = decode(Envelope, offer)
    except WireError as error:
        return _no(Code.MALFORMED, f"it is not an assignment: {error}")
    spoken = _speaker(held, envelope)
    if not isinstance(spoken, Delegation):
        return spoken
    try:
        payload = verify(spoken.hub_key, ASSIGNMENT, envelope.assignment)
        assignment = decode(Assignment, payload)
    except BadSignature as error:
        return _no(Code.BAD_SIGNATURE, f"{error} that the root delegated (serial {spoken.serial})", spoken)
    except WireError as error:
        return _no(Code.MALFORMED, f"it is signed, but cannot be read: {error}", spoken)
    return _judge(held, assignment, Issued(assignment.version, digest(payload)), spoken)


def _no(code: Code, reason: str, seen: Delegation | None = None) -> Refuse:
    return Refuse(code, f"cannot accept the assignment: {reason}", seen)


def _speaker(held: Held, envelope: Envelope) -> Delegation | Refuse | Alarm:
    """The delegation by which the offer speaks, if the root gave it and none newer was seen."""
    try:
        word = open_delegation(envelope.delegation, held.pin)
    except BadSignature as error:
        return _no(Code.BAD_DELEGATION, f"its delegation does not hold: {error}")
    if (word.mesh, word.region) != (held.mesh, held.region):
        return _no(Code.BAD_DELEGATION, f"its hub speaks for {word.mesh}/{word.region}, not for this region")
    known = held.delegation
    if known is not None and word.serial < known.serial:
        text = f"its hub's delegation has serial {word.serial}, but {known.serial} was seen"
        return _no(Code.OLD_DELEGATION, f"{text} (renew that hub's delegation, or stop it)")
    if known is not None and word.serial == known.serial and word.hub_key != known.hub_key:
        return Alarm(f"two hubs have delegations with serial {word.serial} for region {word.region}")
    return word


def _judge(held: Held, offer: Assignment, issued: Issued, seen: Delegation) -> Decision:
    wrong = _not_ours(held, offer, seen)
    if wrong:
        return _no(Code.NOT_OURS, wrong, seen)
    if held.accepted is not None:
        settled = _order(held.accepted, issued, seen)
        if settled:
            return settled
        refused = _continuity(held, held.accepted, offer, seen)
        if refused:
            return refused
    bad = faults(offer)
    if bad:
        return _no(Code.BAD_CONTENT, "; ".join(bad), seen)
    return Take(offer, issued, seen, _vanished(held, offer))


def _not_ours(held: Held, offer: Assignment, seen: Delegation) -> str | None:
    if (offer.mesh, offer.region) != (held.mesh, held.region):
        return f"it is for {offer.mesh}/{offer.region}, this node is in {held.mesh}/{held.region}"
    if offer.node != held.node:
        return f"it is for node {offer.node}, this is {held.node}"
    if offer.version.serial != seen.serial:
        return f"it claims serial {offer.version.serial}, its delegation has {seen.serial}"
    return None


def _order(accepted: Issued, issued: Issued, seen: Delegation) -> Decision | None:
    """Repeat, alarm or refusal; None where the offer is newer."""
    if issued.version > accepted.version:
        return None
    if issued.version < accepted.version:
        return _no(Code.OLDER, f"{issued.version} is older than {accepted.version}, which is accepted", seen)
    if issued.digest == accepted.digest:
        return Repeat(issued, seen)
    return Alarm(f"two different assignments have the number {issued.version}; the first one is kept", seen)


def _vanished(held: Held, offer: Assignment) -> frozenset[InstanceId]:
    return held.instances - {instance.id for instance in offer.instances}


def _continuity(held: Held, accepted: Issued, offer: Assignment, seen: Delegation) -> Refuse | None:
    """The offer must know what the node holds, and mean every removal.

    One that does not says nothing of the next: a restored hub may have made it that was told since, or is gone again.
    """
    if offer.overwrites != accepted.digest and accepted not in offer.since:
        text = f"the hub does not know {accepted.version}, which this node holds"
        return _no(Code.DIVERGED, f"{text} (look at it with 'skerry hub resume')", seen)
    vanished = _vanished(held, offer)
    unexplained = sorted(vanished - set(offer.removed))
    if unexplained:
        missing = ", ".join(unexplained[:5]) + (", ..." if len(unexplained) > 5 else "")
        return _no(Code.UNEXPLAINED_REMOVAL, f"it leaves out {missing} without removing it", seen)
    many = len(vanished) > UNCONFIRMED_MAX and 2 * len(vanished) > len(held.instances)
    if many and not offer.confirmed_by:
        text = f"it removes {len(vanished)} of {len(held.instances)} instances and nobody confirmed that"
        return _no(Code.UNCONFIRMED_REMOVAL, f"{text} (apply again with '--confirm')", seen)
    return None
