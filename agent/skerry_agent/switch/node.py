"""What this node holds, and the two things that may happen to it: an assignment is offered, or the units are switched.

Used by the running agent, and by the command line where no agent runs; both under StateDir's lock, so that there is one
writer. Must never decide by itself: `accept`, `target`, `plan` and `overrides` do, `executor` acts.

Order of calls: `open`, then `offer`, `roll_back`, `clear` and `switch` in any order, one at a time.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from msgspec import Struct

from skerry_protocol.ids import AppName, InstanceId
from skerry_protocol.messages import Assignment, Instance, Issued, Override
from skerry_protocol.network import Network
from skerry_protocol.signing import Delegation

from ..assignments.accept import Alarm, Decision, Held, Refuse, Repeat, Take, decide
from ..assignments.records import (
    OVERRIDES_RECORD,
    REVISIONS_RECORD,
    SEEN_RECORD,
    Revisions,
    Seen,
    Words,
    damaged,
)
from ..disk.disk import ACCEPTED, APPLIED, Damaged, DiskError, Kept, StateDir
from ..disk.files import REAL, Files
from ..disk.former import former_owner, own, set_aside
from ..joining.identity import Identity
from ..network.telling import Telling
from ..systemd import Outcome, Systemd
from ..units import policy as policies
from ..units.render import NodeFacts, Rendered
from ..units.unitfiles import UnitFiles
from . import overrides as words
from . import revisions
from .actions import Begin, Settle
from .executor import Executor, Failure, Recorded, observe
from .observed import Observed, for_switch
from .overrides import NotPossible
from .places import Places
from .plan import Plan, plan
from .strangers import by_hand, edited, strangers
from .target import State, Target, begin, build, finish, settle

T = TypeVar("T", bound=Struct)
LOUD = frozenset({"disk", "network"})  # conditions of which the hub is to hear at once


def _nobody() -> None:
    """Who hears of it, where nobody asked to."""


@dataclass(frozen=True)
class Switched:
    """How one switch went. `changed`: the instances that were settled on something new.

    `told`: skerry-net can see what network is wanted.
    """

    plan: Plan
    target: Target | None
    failures: tuple[Failure, ...]
    changed: frozenset[InstanceId]
    told: bool = True


class Node:
    """The node's state, read once and kept in step with its disk. Raises DiskError where it cannot be written."""

    def __init__(self, places: Places, identity: Identity, systemd: Systemd, files: Files = REAL) -> None:
        self.places = places
        self.identity = identity
        self.disk = StateDir(places.state, files)
        self.systemd = systemd
        self.assignment: Assignment | None = None
        self.accepted: Issued | None = None
        self.applied = State()
        self.overrides: tuple[Override, ...] = ()
        self.revisions = Revisions()
        self.refusal: str | None = None
        self.conditions: dict[str, str] = {}
        self.edited: dict[
            InstanceId, tuple[str, ...]
        ] = {}  # unit files that were changed by hand, when last seen
        self.on_trouble: Callable[[], None] = _nobody  # called when one of LOUD begins or ends
        self._seen = Seen()
        self._words = Words()  # as they are on disk
        self._trouble: dict[str, str] = {}
        self.telling = Telling(places.state, places.run, files)
        told = self.telling.plan()
        self.metered = told.metered if told is not None else False
        self._files = UnitFiles(places.rendering, files, places.control)
        self._executor = Executor(systemd, self._files, self._settled)
        self._target: Target | None = None
        self._built: Target | None = None
        self._changed: set[InstanceId] = set()

    def open(self, read_only: bool = False) -> None:
        """Read what the disk holds. What is damaged becomes a condition, never an error."""
        if not read_only:
            self.disk.prepare()
            self._files.sweep()
            self._make_own()
        applied = self.disk.applied()
        if isinstance(applied, State):
            self.applied = applied
        elif isinstance(applied, Damaged):
            self.conditions[damaged(APPLIED)] = applied.text
        self.revisions = self._record(REVISIONS_RECORD, Revisions)
        self._seen = self._record(SEEN_RECORD, Seen)
        self._read_accepted()
        self._words = self._record(OVERRIDES_RECORD, Words)
        self.overrides = self._words.overrides
        if self.assignment is not None:  # a crash may have come between an assignment and the end of a word
            self.overrides = words.still_hold(self.overrides, self.assignment)

    def _make_own(self) -> None:
        """Of another node's state nothing is taken over, or else DiskError. What is to be there twice is so again."""
        was = former_owner(self.disk, self.identity.node)
        if was is not None or not isinstance(self.disk.applied(), State):
            # Nobody knows whose those are, and a lease must start none of them before a plan has looked at them.
            self._files.end_fenced_links()
        if was is not None:
            set_aside(self.disk, was, self.identity.region)
        try:
            own(self.disk, self.identity.node)
            self.disk.whole(ACCEPTED, APPLIED, OVERRIDES_RECORD, REVISIONS_RECORD, SEEN_RECORD)
        except DiskError as error:  # no reason not to start
            self.writing("switch", str(error))

    def _read_accepted(self) -> None:
        """Where its bytes are damaged its name still says what is too old to be taken."""
        kept, pair = self.disk.accepted(), self.disk.accepted_pair()
        if isinstance(kept, Damaged):
            self.conditions["damaged"] = kept.text
        # Without its name, what was kept of assignments says it: each was judged before it was kept.
        last = self.disk.last_kept() if isinstance(pair, Damaged) else None
        known = [one for one in (pair, last, self.applied.issued) if isinstance(one, Issued)]
        self.accepted = max(known, key=lambda one: one.version, default=None)
        if isinstance(kept, Kept) and kept.issued == self.accepted:
            self.assignment = kept.assignment

    def _record(self, name: str, kind: type[T]) -> T:
        found = self.disk.saved(name, kind)
        if isinstance(found, Damaged):
            self.conditions[damaged(name)] = found.text
        return kind() if found is None or isinstance(found, Damaged) else found

    def _save(self, name: str, record: Struct) -> None:
        """Raises DiskError. What is written anew is damaged no more."""
        self.disk.save(name, record)
        self.conditions.pop(damaged(name), None)

    def writing(self, what: str, trouble: str | None) -> None:
        """Whether `what` could be kept on disk. The condition `disk` is there while anything can't be."""
        if trouble is None:
            self._trouble.pop(what, None)
        else:
            self._trouble[what] = trouble
        self._condition("disk", "; ".join(dict.fromkeys(self._trouble.values())))

    def _condition(self, code: str, text: str) -> None:
        before = self.conditions.pop(code, None)
        if text:
            self.conditions[code] = text
        if code in LOUD and (before is None) != (not text):
            self.on_trouble()

    # An assignment is offered

    def offer(self, envelope: bytes) -> Decision:
        """Judge the bytes of an Envelope, and keep it where it is taken. Raises DiskError where that can't be done.

        The assignment's own write is what counts: after a DiskError `accepted` says whether that was done.
        """
        decision = decide(self._held(), envelope)
        self._remember(decision)
        match decision:
            case Take():
                self._take(decision, envelope)
            case Repeat() if self.assignment is None:
                self._mend(decision, envelope)
            case Repeat():
                self.refusal = None
            case Refuse() | Alarm():
                self.refusal = decision.text
        return decision

    def _held(self) -> Held:
        running = self.assignment.instances if self.assignment else self.applied.may_run()
        return Held(
            pin=self.identity.pin,
            mesh=self.identity.mesh,
            region=self.identity.region,
            node=self.identity.node,
            delegation=self._seen.delegation,
            accepted=self.accepted,
            instances=frozenset(instance.id for instance in running),
        )

    def _remember(self, decision: Decision) -> None:
        seen = Seen(decision.delegation or self._seen.delegation)
        if seen != self._seen:
            self._save(SEEN_RECORD, seen)
            self._seen = seen

    def _take(self, decision: Take, envelope: bytes) -> None:
        self.disk.accept(decision.issued, envelope)
        self.accepted, self.assignment, self.refusal = decision.issued, decision.assignment, None
        self.conditions.pop("damaged", None)
        self._put_overrides(words.still_hold(self.overrides, decision.assignment))

    def _mend(self, decision: Repeat, envelope: bytes) -> None:
        """The stored copy was damaged; these are the very bytes again."""
        self.disk.accept(decision.issued, envelope)
        kept = self.disk.accepted()
        if isinstance(kept, Kept):
            self.assignment, self.refusal = kept.assignment, None
            self.conditions.pop("damaged", None)

    @property
    def delegation(self) -> Delegation | None:
        """The newest one that came with an assignment, for this node's region."""
        word = self._seen.delegation
        return word if word is not None and word.region == self.identity.region else None

    def assigned(self, name: InstanceId) -> Instance | None:
        """The instance as it is assigned now."""
        every = self.assignment.instances if self.assignment else ()
        return next((one for one in every if one.id == name), None)

    def fenced_units(self) -> frozenset[str]:
        """Every service that may live here under a lease."""
        return frozenset(one.service for one in self._rendered() if one.lease is not None)

    def _rendered(self) -> list[Rendered]:
        """Everything of which something may be on disk or running."""
        return [one.rendered for name in self.applied.names() for one in self.applied.of(name)]

    def stop_limits(self, length_ms: int) -> dict[str, int]:
        """Each service that a lease of this length would start, and how long (ms) it may take to stop."""
        return {
            one.service: one.lease.stop_ms
            for one in self._rendered()
            if one.lease and one.lease.length_ms == length_ms
            if (self.places.units / f"{one.wanted_by}.wants" / one.starts).is_symlink()
        }

    # The node's own word

    def roll_back(self, instance: Instance, by: str, reason: str, now_ms: int) -> Override | NotPossible:
        """Keep `instance` from the revision that it is assigned; the previous one runs after the next switch."""
        assert self.assignment is not None
        kept = {name: [entry.revision for entry in entries] for name, entries in self.revisions.kept.items()}
        word = words.make(self.assignment, kept, instance, by=by, reason=reason, now_ms=now_ms)
        if isinstance(word, Override):
            self._put_overrides(words.add(self.overrides, word))
        return word

    def clear(self, app: AppName | None) -> tuple[Override, ...]:
        """Take back this node's word on `app`, or on all. Returns what was taken back."""
        left = words.clear(self.overrides, app)
        gone = tuple(one for one in self.overrides if one not in left)
        if damaged(OVERRIDES_RECORD) in self.conditions:
            self._save(OVERRIDES_RECORD, Words(left))
        self._put_overrides(left)
        return gone

    def _put_overrides(self, new: tuple[Override, ...]) -> None:
        if Words(new) != self._words:
            self._save(OVERRIDES_RECORD, Words(new))
            self._words = Words(new)
        self.overrides = new

    # The units are switched

    def policy(self) -> policies.Policy:
        """What this machine's admin permits; a file that cannot be read permits nothing new, and spares the link as
        before."""
        found = self.places.read_policy()
        faults = found.texts if isinstance(found, policies.Faults) else ()
        self._condition("policy", "; ".join(faults))
        policy = policies.Policy(metered=self.metered) if isinstance(found, policies.Faults) else found
        self.metered = policy.metered
        return policy

    def artifacts(self) -> frozenset[str]:
        """The digests of the artifacts that are unpacked here."""
        try:
            return frozenset(
                path.name for path in (self.places.state / "artifacts").iterdir() if path.is_dir()
            )
        except OSError:
            return frozenset()  # what can't be seen is brought anew

    def target(self) -> Target | None:
        """What is to run here now; None without a readable assignment."""
        if self.assignment is None or self.accepted is None:
            return None
        facts = NodeFacts(self.assignment.node_name or self.identity.name, platform.machine())
        self._built = build(
            self.assignment,
            self.accepted,
            self.overrides,
            self.revisions.kept,
            self.policy(),
            self.places.rendering,
            facts,
            self._built,
        )
        return self._built

    async def switch(self) -> Switched | Outcome:
        """Go as far towards the accepted assignment as can be gone now; an Outcome where systemd does not answer."""
        target = self.target()
        if target is None:
            return Switched(Plan(), None, (), frozenset())
        observed = await observe(self.systemd, self._files, for_switch(self.applied, target))
        if not isinstance(observed, Observed):
            return observed
        strange = [observed.files[name] for name in strangers(observed.files, self._units(target))]
        self._tell(target, strange)
        made = plan(self.applied, target, observed, self.artifacts(), self.telling.status())
        touched = {action.instance for action in made.actions if isinstance(action, Begin)}
        self.edited = edited(self.applied, observed.files, touched)
        self._condition("unit-files", by_hand(self.edited))
        self._target, self._changed = target, set()
        failures = await self._executor.run(made.actions, self._longest_stop_s())
        is_told = self._tell(target, strange)
        self.writing("switch", next((one.reason for one in failures if one.disk), None))
        return Switched(made, target, tuple(failures), frozenset(self._changed), is_told)

    def _tell(self, target: Target, strange: Iterable[str]) -> bool:
        """Before a switch and after it: what is to start waits for its network, what was stopped no more needs it."""
        assert self.assignment is not None
        self.network_looked_at()
        trouble = self.telling.tell(self.assignment, self.accepted, target, self.applied, strange)
        self.writing("network", trouble)
        return trouble is None

    def let_in_by(self, network: Network) -> None:
        """The hub renewed this node's credentials, and gave it this way to come in."""
        self.writing("network", self.telling.joined(network, self.identity.name, self.accepted))

    def network_looked_at(self) -> None:
        """skerry-net may have said something."""
        self._condition("network", self.telling.trouble(self.assignment))

    def _units(self, target: Target) -> frozenset[str]:
        every = (*self._rendered(), *(one.rendered for one in target.instances.values()))
        return frozenset(unit for one in every for unit in one.units)

    def _longest_stop_s(self) -> float:
        return max((one.rendered.stop_ms / 1000 for one in self.applied.instances.values()), default=0.0)

    def _settled(self, action: Recorded) -> None:
        assert self._target is not None
        if isinstance(action, Begin):
            state = begin(self.applied, self._target, action.instance)
        elif isinstance(action, Settle):
            state = settle(self.applied, self._target, action.instance)
            self._changed.add(action.instance)
            self._put_revisions(revisions.switched(self.revisions, state.instances))
        else:
            state = finish(self.applied, action.issued)
        if state != self.applied:
            self._save(APPLIED, state)
            self.applied = state

    def _put_revisions(self, new: Revisions) -> None:
        if new != self.revisions:
            self._save(REVISIONS_RECORD, new)
            self.revisions = new

    def healthy(self, instance: InstanceId, revision: int) -> None:
        """The instance was healthy on the revision that it runs. Raises DiskError."""
        self._put_revisions(revisions.healthy(self.revisions, instance, revision))

    def left_over(self) -> tuple[str, ...]:
        """Units that no record of this node names. None where the records are damaged: they may be ours."""
        if damaged(APPLIED) in self.conditions:
            return ()
        known = {unit for one in self._rendered() for unit in one.units}
        return strangers(self._files.seen().files, known)

    def discard(self, unit: str) -> None:
        """Remove the file and the links of a unit that is left over. Raises DiskError."""
        self._files.remove_everywhere(unit)

    def collect(self) -> list[str]:
        """Remove what nothing needs any more; a rollback needs no download. What is left over may need anything."""
        if self.left_over():
            return []
        entries = [entry for one in self.revisions.kept.values() for entry in one]
        shas = frozenset(item.sha256 for entry in entries for item in entry.app.artifacts.values())
        return self.disk.collect(shas, self.applied.names())
