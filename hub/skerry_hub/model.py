"""The rows that the hub's cores take and give. Plain frozen data: no store, no clock.

Each field has one writer, named in the docstring of its class.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct, field, structs

from skerry_protocol.app import App
from skerry_protocol.ids import AppName, Claim, InstanceId, NodeId, NodeName
from skerry_protocol.messages import Instance, Issued, Override, Step, Version


class NodeState(StrEnum):
    """An operator's word on a node. Silence is not here: see Loss."""

    WAITING = "waiting"  # joined by a token that asks for approval
    READY = "ready"
    DRAINING = "draining"
    DEAD = "dead"


class Word(Struct, frozen=True):
    """A person's word by which a copy ended: `by` said `what` ("ha policy", "drain", ...) of `on`, an app or node."""

    by: str
    what: str
    on: str


class NodeRow(Struct, frozen=True):
    """A node as operators and its join made it. Written by: operators, join. Forgotten nodes have no row.

    `number`: of its /80 in the region's network. `via`: the host by which it reached this hub when it joined.
    """

    id: NodeId
    name: NodeName
    machine_key: bytes
    labels: dict[str, str] = field(default_factory=dict)
    arch: str = ""
    memory_bytes: int = 0
    cpu_milli: int = 0
    state: NodeState = NodeState.READY
    leave_data: bool = False
    ephemeral_ms: int | None = None
    joined_at_ms: int = 0
    revision: int = 1
    confirmed_by: str | None = None  # operator who confirmed removing most of its instances
    state_by: str = ""  # who drained it or declared it dead
    machine: str = ""  # ids.machine_mark, as it said when it joined
    region: str = ""  # its hub's, for those who read the label of that name
    shut_out: bool = False  # of a forgotten one: its credentials ended with the account's former signing key
    number: int = 0
    link_key: bytes | None = None
    direct_key: bytes | None = None
    via: str = ""


class AppRow(Struct, frozen=True):
    """An app's newest revision; `app` is None once it was removed. Written by: operators."""

    name: AppName
    revision: int
    app: App | None
    changer: str = ""
    reason: str = ""
    changed_at_ms: int = 0
    confirmed: bool = False  # its operator confirmed what it removes


class Fact(Struct, frozen=True):
    """What a node last said that it accepted and applied, and its overrides. Written by: intake."""

    node: NodeId
    accepted: Issued | None = None
    applied: Issued | None = None
    overrides: tuple[Override, ...] = ()
    refused: str | None = None


class Loss(Struct, frozen=True):
    """`node` has been silent for at least `lost_after_ms`. Gone when it is heard again. Written by: silence.

    `returned_for_ms` is None while the node is silent; once heard again the row stays, counting how long it has been
    back, until ten times lost_after have passed.
    """

    node: NodeId
    lost_after_ms: int
    since_ms: int = 0
    returned_at_ms: int | None = None


class Placement(Struct, frozen=True):
    """One copy on one node. Written by: schedule.

    `replaces` is the copy on a lost or draining node that this one stands in for. `revision` is the app's revision that
    the node is to run: it stays as it was while the node is lost and replaced. `place` is the key of the place rules
    that the node was last checked against, so that a later change of the node's labels moves nothing. `home` is the
    lost node that a fenced copy with keep-original goes back to. `word` is on one that ended by somebody's choice.
    """

    instance: InstanceId
    app: AppName
    number: int
    node: NodeId
    reason: str
    since_ms: int = 0
    replaces: InstanceId | None = None
    revision: int = 0
    place: str = ""
    home: NodeId | None = None
    word: Word | None = None


class ClaimState(StrEnum):
    """HELD → ENDING or VOID → FREE; then the next number is HELD."""

    HELD = "held"
    ENDING = "ending"  # its placement is gone; still granted until its node lets go of it
    VOID = "void"  # ended by silence: its node gets no grant for it
    FREE = "free"


class ClaimRow(Struct, frozen=True):
    """The newest claim of one (app, number): one row for each, also the highest number ever. Written by: claim.

    `lost_after_ms` is the longest, and `lengths` are all lease lengths, of any assignment under which the node may
    still run this claim. Rows outlive app, instance and node.
    """

    app: AppName
    number: int
    claim: Claim
    node: NodeId
    instance: InstanceId
    lost_after_ms: int
    state: ClaimState = ClaimState.HELD
    lengths: tuple[int, ...] = ()

    @property
    def key(self) -> tuple[AppName, int, Claim]:
        """What names this claim in beats and in what they free."""
        return (self.app, self.number, self.claim)


class AssignmentRow(Struct, frozen=True):
    """One issued assignment: its exact bytes are committed with its number. Written by: sign.

    `copies` are its instances; `content` is `compile.content_key` of it: the same key is the same work. `since` bounds
    what it knows that the node may hold: the oldest of those, and one that is of no row here where there was one; all
    that this hub issued after the oldest are known too (None: it was taken by the node's word, nobody can say).
    """

    node: NodeId
    issued: Issued
    envelope: bytes
    instances: tuple[InstanceId, ...] = ()
    made_at_ms: int = 0
    copies: tuple[Instance, ...] = ()
    content: str = ""
    since: tuple[Issued, ...] | None = None


class StepRow(Struct, frozen=True):
    """The newest word of a node on one step of one instance. Written by: intake."""

    node: NodeId
    step: Step


class Turned(Struct, frozen=True):
    """One copy that has no place: how many nodes each filter turned away. `filter` is e.g. "label disk=ssd"."""

    app: AppName
    number: int
    candidates: int
    by: dict[str, int]


class Waiting(Struct, frozen=True):
    """A copy that cannot go on, and why: "schedule" (it would move, but stays) or "claim" (the last is not free)."""

    app: AppName
    number: int
    step: str
    reason: str
    instance: InstanceId | None = None


class BootRow(Struct, frozen=True):
    """The boot of a node that leases are granted to. Written by: boots, before the first grant to a new boot.

    `settled` is False while an older boot may still hold leases. `stopped`: its last beat said that all had stopped.
    `banned` are boots of a copied machine that an operator ruled out; `clone` is set until one of two was named;
    `heard` are the boots that it is about.
    """

    node: NodeId
    boot: str
    settled: bool = True
    stopped: bool = False
    banned: tuple[str, ...] = ()
    clone: bool = False
    heard: tuple[str, ...] = ()


class Mesh(Struct, frozen=True):
    """The region's own settings. Written by: init, restore, resume and `region`, all by the hand of resume.

    `claims_above`: the store was put back or rebuilt once, and claims up to this number may have been given that it
    does not know. `rebuilt`: it was made anew from nothing but what nodes hold. `prefix`: the region's addresses are
    from this network, which the operator owns; None: they are the mesh's own.
    """

    mesh: str
    region: str
    serial: int
    epoch: int
    restored: bool = False
    storm_hold_ms: int | None = None  # None: the storm brake holds until the nodes are back
    keep_events: int = 100_000  # of what hub and people did; see `pruning` for what nodes say
    claims_above: int = 0
    rebuilt: bool = False
    prefix: str | None = None

    def put_back(self, now_ms: int) -> Mesh:
        """As it is once the store turns out to be older than what nodes hold.

        Claims go on far above all that it may not know of: seconds since 1970, and nobody gives one each second.
        """
        above = max(self.claims_above, now_ms // 1000)
        return structs.replace(self, restored=True, claims_above=above)


def newer(a: Version | None, b: Version | None) -> bool:
    """Whether a is newer than b; None is older than everything."""
    return a is not None and (b is None or a > b)
