"""Answers to beats: one state machine over boots, leases, silence and the storm brake.

Owns the memory that no store has: a beat writes nothing but a boot that changed. Events come in, actions go out in the
order in which they are to be done (see `beat_events`). Must never grant what another machine may still hold.
"""

from __future__ import annotations

from skerry_protocol.ids import NodeId
from skerry_protocol.messages import Beat, BeatReply, Issued

from . import boots
from .boots import Boot
from .events import (
    Action,
    BeatHeard,
    ClaimKey,
    DropLate,
    Event,
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
    Tick,
)
from .leases import Leases
from .silence import FRESH_S, Silence

GAP_S = 2.0
TICK_LEAST_S, TICK_MOST_S, STORM_TICK_S = 0.05, 1.0, 0.25
BEHIND_S = 10.0
UNKNOWN = "this hub does not know the node"
NOT_LEADING = "this hub does not lead now: no leases"
AHEAD = "this hub never issued what the node holds: it waits for 'skerry hub resume'"


class Beats:
    """All of a region's beats. Begins with HubStarted, then a Learned with every node and claim."""

    def __init__(self, started: HubStarted) -> None:
        self.term = started.term
        self.lead_until = float("inf")
        self.storm_hold_ms: int | None = None
        self._nodes: dict[NodeId, NodeTerms] = {}
        self._newest_at: dict[NodeId, float] = {}
        self._behind: dict[NodeId, float] = {}
        self._ahead: dict[NodeId, Issued] = {}
        self._last = started.now
        self._asked: dict[NodeId, float] = {}
        self._start(started)

    def _start(self, started: HubStarted) -> None:
        self._leases = Leases(started.now)
        self._silence = Silence(started.now, started.losses)
        self._boots: dict[NodeId, Boot] = {}
        self._stored = {row.node: row for row in started.boots}

    @property
    def freed(self) -> frozenset[ClaimKey]:
        """Every claim that beats freed and that the store does not know to be free yet."""
        return frozenset(self._leases.freed)

    def fresh(self, now: float) -> frozenset[NodeId]:
        """Nodes heard in the last 30 s: copies go only there."""
        return self._silence.fresh(now)

    def is_fresh(self, node: NodeId, now: float) -> bool:
        """Whether it is one of `fresh`; costs nothing for the others."""
        return self._silence.is_fresh(node, now)

    def asked_in_vain(self, now: float) -> frozenset[NodeId]:
        """Nodes that `note_asked` says were asked 3 to 30 s ago, and that were not heard since."""
        heard = self._silence.heard
        return frozenset(
            node
            for node, at in self._asked.items()
            if 3.0 <= now - at <= FRESH_S and heard.get(node, float("-inf")) < at
        )

    def note_asked(self, nodes: tuple[NodeId, ...], now: float) -> None:
        """The scheduler had these nodes asked; a node asked again before it answers keeps its first moment."""
        self._asked = {node: at for node, at in self._asked.items() if now - at <= FRESH_S}
        for node in nodes:
            self._asked.setdefault(node, now)

    def last_heard(self, node: NodeId) -> float | None:
        """When the node was last really heard by this hub."""
        return self._silence.heard.get(node)

    def silent_for(self, node: NodeId, now: float) -> float:
        """Seconds without a word while the hub listened: for ephemeral nodes, which are forgotten after a time."""
        return now - self._silence.since(node)

    def silent(self) -> frozenset[NodeId]:
        """Nodes that are declared lost for some length."""
        return frozenset(self._silence.silent)

    def machines(self, node: NodeId) -> tuple[str, ...]:
        """The boots of two machines with one identity, until an operator named one; else nothing."""
        boot, row = self._boots.get(node), self._stored.get(node)
        if boot is not None:
            return tuple(sorted(boot.old | ({boot.boot} if boot.boot else set()))) if boot.clone else ()
        return row.heard if row is not None and row.clone else ()

    def listening_s(self, now: float) -> float:
        """For how long every grant there was is known: from the start, or from when the lead was taken again."""
        return now - self._leases.start

    @property
    def storm(self) -> bool:
        """Whether the storm brake holds now."""
        return self._silence.storm.holds

    def due_in(self, now: float) -> float:
        """Seconds until the next Tick, which is soon while the storm brake looks for answers, and never long: a loop
        that stood still shows only by that."""
        if self._silence.storm.active:
            return STORM_TICK_S
        at = min(self._silence.due_at(), self._leases.due_at())
        return min(max(at - now, TICK_LEAST_S), TICK_MOST_S)

    def handle(self, event: Event) -> list[Action]:
        """Takes one event; the actions are to be done in order."""
        match event:
            case BeatHeard():
                return self._beat(event)
            case Tick():
                return self._tick(event.now)
            case Learned():
                return self._learn(event)
            case Gap():
                self._silence.listening_again(event.now)
                self._last = event.now
                return []
            case LeadRenewed():
                self.lead_until, self.term = event.until, max(self.term, event.term)
                return []
            case OperatorNamed():
                return self._named(event)
            case HubStarted():
                return self._restart(event)

    def _restart(self, started: HubStarted) -> list[Action]:
        """Lead was taken again: what was granted meanwhile is not known. A full Learned comes next."""
        self.term, self._last = started.term, started.now
        self._start(started)
        return []

    def _learn(self, event: Learned) -> list[Action]:
        self._leases.restored = event.restored
        self._leases.learn(event.claims)
        self.storm_hold_ms = event.storm_hold_ms
        for node, terms in event.nodes.items():
            self._silence.learn(node, terms, event.now)
            before = self._nodes.get(node)
            if terms is None:
                for kept in (self._nodes, self._boots, self._newest_at, self._behind, self._ahead):
                    kept.pop(node, None)
                continue
            self._nodes[node] = terms
            if before is None or before.newest != terms.newest:
                self._newest_at[node] = event.now
        return []

    def _tick(self, now: float) -> list[Action]:
        if now - self._last >= GAP_S:
            self._silence.listening_again(now)
        self._last = now
        freed: list[Action] = [FreeClaim(key) for key in self._leases.freed_by_time(now)]
        return freed + self._silence.tick(now, self.storm_hold_ms)

    def _beat(self, event: BeatHeard) -> list[Action]:
        node, beat, now = event.node, event.beat, event.now
        terms = self._nodes.get(node)
        if terms is None:
            return [Reply(node, BeatReply(self.term, 0, trouble=UNKNOWN))]
        boot = self._boot(node, terms)
        heard = boots.hear(boot, beat, now, self._waits(boot, beat, terms, now))
        if heard.late:
            # Where the same beat was answered before, this is what it said; an answer to it must change nothing.
            return [DropLate(node), Reply(node, BeatReply(self.term, beat.reply, trouble=heard.trouble))]
        actions = [*heard.actions, *self._silence.beat(node, now)]
        lengths: frozenset[int] = frozenset()
        trouble = heard.trouble
        if trouble is None:
            if boot.waits is None:
                actions += [FreeClaim(key) for key in self._leases.freed_by_beat(node, beat, terms)]
            actions += self._ahead_of(node, beat, terms)
            actions += self._behind_of(node, beat, terms, now)
            asked = self._leases.grantable(node, beat.claims)
            held = {} if boot.waits is None else self._leases.held_under(beat.claims, terms)
            lengths = boots.may_grant(boot, asked, held, now)
            if lengths and now >= self.lead_until:
                lengths, trouble = frozenset(), NOT_LEADING
        self._leases.granted(node, lengths, terms, now)
        ahead = node in self._ahead
        reply = BeatReply(
            term=self.term,
            number=boots.answer(boot, beat),
            grants=tuple(sorted(lengths)),
            newest=None if ahead else terms.newest,
            trouble=trouble or (AHEAD if ahead else None),
            retell=terms.retell and heard.trouble is None,
        )
        return [*actions, Reply(node, reply)]

    def _waits(self, boot: Boot, beat: Beat, terms: NodeTerms, now: float) -> dict[int, float]:
        """What a boot that takes over waits for; if the turn comes back, what is known may be of two machines."""
        if boot.boot == beat.boot:
            return {}
        return self._leases.waits(boot.node, terms, now if beat.boot in boot.old else 0.0)

    def _boot(self, node: NodeId, terms: NodeTerms) -> Boot:
        """The node's boot: as heard, else as stored, else one that was never granted anything."""
        if node not in self._boots:
            row = self._stored.get(node)
            known = Boot.of(row, self._leases.waits(node, terms)) if row else Boot(node)
            self._boots[node] = known
        return self._boots[node]

    def _named(self, event: OperatorNamed) -> list[Action]:
        terms = self._nodes.get(event.node)
        if terms is None:
            return []
        boot = self._boot(event.node, terms)
        return boots.name_one(boot, event.boot, self._leases.waits(event.node, terms))

    def _ahead_of(self, node: NodeId, beat: Beat, terms: NodeTerms) -> list[Action]:
        """Whether the node holds what this hub never issued; told once for each such thing."""
        held = beat.accepted
        if held is None or not _unknown(held, terms):
            self._ahead.pop(node, None)
            return []
        if self._ahead.get(node) == held:
            return []
        self._ahead[node] = held
        return [ReportAhead(node, held)]

    def _behind_of(self, node: NodeId, beat: Beat, terms: NodeTerms, now: float) -> list[Action]:
        """Publishes again where the newest is out for 10 s and the node has not accepted it; then every 10 s."""
        if terms.newest is None or beat.accepted == terms.newest or node in self._ahead:
            self._behind.pop(node, None)
            return []
        last = max(self._newest_at.get(node, now), self._behind.get(node, float("-inf")))
        if now - last < BEHIND_S:
            return []
        self._behind[node] = now
        return [PublishAgain(node)]


def _unknown(held: Issued, terms: NodeTerms) -> bool:
    """Not among what was issued, and not merely older than what is still kept."""
    known = [row.issued for row in terms.issued] + ([terms.newest] if terms.newest else [])
    if held in known:
        return False
    oldest = min((one.version for one in known), default=None)
    return oldest is None or held.version >= oldest
