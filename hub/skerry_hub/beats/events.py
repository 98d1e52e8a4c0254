"""The words between `beats` and its executor: events in the past tense, actions in the imperative.

`now` is always seconds of the hub's monotonic clock. Actions are to be done in their order; where StoreBoot comes
before a Reply, the reply may only be sent after the row is committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skerry_protocol.ids import AppName, Claim, NodeId
from skerry_protocol.messages import Beat, BeatReply, Issued

from ..model import AssignmentRow, BootRow, ClaimRow, Loss

ClaimKey = tuple[AppName, int, Claim]


@dataclass(frozen=True)
class NodeTerms:
    """What the last commit says of one node.

    `issued`: the assignments that it may run, the applied one and all after it (`claims.may_run`). `lost_after_ms`: of
    all its ha copies. `fenced`: names of its copies that no other may double. `own_machine`: the hub runs on it.
    `alive`: False for a node that an operator declared dead or that waits for approval; those are never asked.
    `retell`: it applied copies of which no step is stored.
    """

    node: NodeId
    name: str
    newest: Issued | None = None
    issued: tuple[AssignmentRow, ...] = ()
    lost_after_ms: frozenset[int] = frozenset()
    fenced: tuple[str, ...] = ()
    own_machine: bool = False
    alive: bool = True
    retell: bool = False


@dataclass(frozen=True)
class HubStarted:
    """The hub listens, and leads under `term`: also after taking the lead from another hub."""

    now: float
    term: int
    boots: tuple[BootRow, ...] = ()
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True)
class LeadRenewed:
    """No grants after `until`, unless renewed: the moment the renewal was sent plus the lead's time less its margin."""

    until: float
    term: int


@dataclass(frozen=True)
class Learned:
    """A commit: changed nodes (None: forgotten), changed claims. Comes after every run of the graph."""

    now: float
    nodes: Mapping[NodeId, NodeTerms | None] = field(default_factory=dict)
    claims: tuple[ClaimRow, ...] = ()
    restored: bool = False
    storm_hold_ms: int | None = None


@dataclass(frozen=True)
class BeatHeard:
    now: float
    node: NodeId
    beat: Beat


@dataclass(frozen=True)
class Gap:
    """The hub did not listen until now: its loop stood for 2 s or more, or its NATS connection is new."""

    now: float


@dataclass(frozen=True)
class OperatorNamed:
    """An operator said which of two machines with one identity is the node."""

    now: float
    node: NodeId
    boot: str


@dataclass(frozen=True)
class Tick:
    now: float


Event = HubStarted | LeadRenewed | Learned | BeatHeard | Gap | OperatorNamed | Tick


@dataclass(frozen=True)
class Reply:
    node: NodeId
    reply: BeatReply


@dataclass(frozen=True)
class DropLate:
    """A newer beat of this boot was heard: nothing is to be learned from this one."""

    node: NodeId


@dataclass(frozen=True)
class StoreBoot:
    """Commit this row before anything after it."""

    row: BootRow


@dataclass(frozen=True)
class DeclareSilent:
    """Write a Loss: the node has been silent for `lost_after_ms` while the hub listened."""

    node: NodeId
    lost_after_ms: int


@dataclass(frozen=True)
class DeclareReturned:
    """Set `returned_at_ms` on these losses of the node."""

    node: NodeId
    lost_after_ms: tuple[int, ...]


@dataclass(frozen=True)
class ForgetLoss:
    """The node has been back for ten times lost_after: the Loss goes."""

    node: NodeId
    lost_after_ms: int


@dataclass(frozen=True)
class FreeClaim:
    """Run the graph with this claim in `freed` (also all in `Beats.freed`)."""

    key: ClaimKey


@dataclass(frozen=True)
class ReportClone:
    """Two machines, one identity: tell people. `boots` are those heard."""

    node: NodeId
    boots: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class AskNodes:
    """Nudge these nodes to beat now: their silence decides whether the hub itself is cut off."""

    nodes: tuple[NodeId, ...]


@dataclass(frozen=True)
class ReportStorm:
    """Nothing is replaced: it is the hub that is cut off. `nodes`: silent ones; `down`: forbid copies on them.

    `holds` is False once the region's time to hold is over: copies are replaced, though nobody answers.
    """

    reason: str
    nodes: tuple[NodeId, ...]
    down: tuple[str, ...]
    holds: bool = True


@dataclass(frozen=True)
class ReportStormOver:
    reason: str


@dataclass(frozen=True)
class PublishAgain:
    """The node has not accepted its newest assignment for 10 s or more."""

    node: NodeId


@dataclass(frozen=True)
class ReportAhead:
    """The node holds an assignment that this hub never issued: its store is not the newest."""

    node: NodeId
    issued: Issued


Action = (
    Reply
    | DropLate
    | StoreBoot
    | DeclareSilent
    | DeclareReturned
    | ForgetLoss
    | FreeClaim
    | ReportClone
    | AskNodes
    | ReportStorm
    | ReportStormOver
    | PublishAgain
    | ReportAhead
)
