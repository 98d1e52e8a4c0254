"""What this node holds, and the two things that may happen to it: an assignment is offered, or the units are switched.

Used by the running agent, and by the command line where no agent runs; both under StateDir's lock, so that there is one
writer. Must never decide by itself: `accept`, `target`, `plan` and `overrides` do, `executor` acts.

Order of calls: `open`, then `offer`, `roll_back`, `clear` and `switch` in any order, one at a time.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from msgspec import Struct, field, structs

from skerry_protocol.ids import AppName, InstanceId
from skerry_protocol.messages import AppRevision, Assignment, Instance, Issued, Override
from skerry_protocol.signing import Delegation

from . import overrides as words
from . import policy as policies
from .accept import Alarm, Decision, Held, Refuse, Repeat, Take, decide
from .actions import Begin, Settle
from .disk import Damaged, Kept, StateDir
from .executor import Executor, Failure, Recorded, observe
from .identity import Identity
from .overrides import NotPossible
from .plan import Observed, Plan, plan, restore
from .render import NodeFacts, Paths
from .systemd import Outcome, Systemd
from .target import State, Target, begin, build, finish, keep, settle
from .unitfiles import UnitFiles

OVERRIDES_RECORD = "overrides"
REVISIONS_RECORD = "revisions"
SEEN_RECORD = "delegation"

T = TypeVar("T", bound=Struct)


class Words(Struct, frozen=True, omit_defaults=True):
    """The record of this node's overrides."""

    overrides: tuple[Override, ...] = ()


class Revisions(Struct, frozen=True, omit_defaults=True):
    """The record of the last two distinct revisions that each instance ran here."""

    kept: dict[InstanceId, tuple[AppRevision, ...]] = field(default_factory=dict)


class Seen(Struct, frozen=True, omit_defaults=True):
    """The record of the newest delegation seen, and whether a hub did not know what this node holds."""

    delegation: Delegation | None = None
    diverged: bool = False


@dataclass(frozen=True)
class Switched:
    """How one switch went. `changed`: the instances that were settled on something new."""

    plan: Plan
    target: Target | None
    failures: tuple[Failure, ...]
    changed: frozenset[InstanceId]


@dataclass(frozen=True)
class Places:
    """Where this node keeps things; elsewhere in tests."""

    state: Path = Path("/var/lib/skerry")
    units: Path = Path("/etc/systemd/system")
    policy: Path = Path(policies.WHERE)

    @property
    def rendering(self) -> Paths:
        """The same for the renderer."""
        return Paths(str(self.units), str(self.state / "instances"), str(self.state / "artifacts"))


class Node:
    """The node's state, read once and kept in step with its disk. Raises DiskError where it cannot be written."""

    def __init__(self, places: Places, identity: Identity, systemd: Systemd) -> None:
        self.places = places
        self.identity = identity
        self.disk = StateDir(places.state)
        self.systemd = systemd
        self.assignment: Assignment | None = None
        self.accepted: Issued | None = None
        self.applied = State()
        self.overrides: tuple[Override, ...] = ()
        self.kept: dict[InstanceId, tuple[AppRevision, ...]] = {}
        self.refusal: str | None = None
        self.conditions: dict[str, str] = {}
        self._seen = Seen()
        self._files = UnitFiles(places.rendering)
        self._executor = Executor(systemd, self._files, self._settled)
        self._target: Target | None = None
        self._changed: set[InstanceId] = set()

    def open(self, read_only: bool = False) -> None:
        """Read what the disk holds. What is damaged becomes a condition, never an error."""
        if not read_only:
            self.disk.prepare()
        applied = self.disk.applied()
        if isinstance(applied, State):
            self.applied = applied
        elif isinstance(applied, Damaged):
            self.conditions["damaged-applied"] = applied.text
        self.overrides = self._record(OVERRIDES_RECORD, Words).overrides
        self.kept = dict(self._record(REVISIONS_RECORD, Revisions).kept)
        self._seen = self._record(SEEN_RECORD, Seen)
        self.accepted = self.applied.issued  # what is known where the accepted one cannot be read
        kept = self.disk.accepted()
        if isinstance(kept, Kept):
            self.accepted, self.assignment = kept.issued, kept.assignment
        elif isinstance(kept, Damaged):
            self.conditions["damaged"] = kept.text

    def _record(self, name: str, kind: type[T]) -> T:
        found = self.disk.saved(name, kind)
        if isinstance(found, Damaged):
            self.conditions[f"damaged-{name}"] = found.text
        return kind() if found is None or isinstance(found, Damaged) else found

    # An assignment is offered

    def offer(self, envelope: bytes) -> Decision:
        """Judge the bytes of an Envelope, and keep it where it is taken."""
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
            diverged=self._seen.diverged,
        )

    def _remember(self, decision: Decision) -> None:
        delegation = decision.delegation or self._seen.delegation
        diverged = self._seen.diverged
        if isinstance(decision, Take):
            diverged = False
        elif isinstance(decision, Refuse) and decision.diverged:
            diverged = True
        seen = Seen(delegation, diverged)
        if seen != self._seen:
            self.disk.save(SEEN_RECORD, seen)
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

    # The node's own word

    def roll_back(self, instance: Instance, by: str, reason: str, now_ms: int) -> Override | NotPossible:
        """Keep `instance` from the revision that it is assigned; the previous one runs after the next switch."""
        assert self.assignment is not None
        kept = {name: [entry.revision for entry in entries] for name, entries in self.kept.items()}
        word = words.make(self.assignment, kept, instance, by=by, reason=reason, now_ms=now_ms)
        if isinstance(word, Override):
            self._put_overrides(words.add(self.overrides, word))
        return word

    def clear(self, app: AppName | None) -> tuple[Override, ...]:
        """Take back this node's word on `app`, or on all. Returns what was taken back."""
        left = words.clear(self.overrides, app)
        gone = tuple(one for one in self.overrides if one not in left)
        self._put_overrides(left)
        return gone

    def _put_overrides(self, new: tuple[Override, ...]) -> None:
        if new != self.overrides:
            self.disk.save(OVERRIDES_RECORD, Words(new))
            self.overrides = new

    # The units are switched

    def policy(self) -> policies.Policy:
        """What this machine's admin permits; a file that cannot be read permits nothing new."""
        self.conditions.pop("policy", None)
        try:
            read = policies.read(self.places.policy.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return policies.Policy()
        except (OSError, UnicodeDecodeError) as error:
            read = policies.Faults((f"{self.places.policy} cannot be read: {error}",))
        if isinstance(read, policies.Policy):
            return read
        self.conditions["policy"] = "; ".join(read.texts)
        return policies.Policy()

    def artifacts(self) -> frozenset[str]:
        """The digests of the artifacts that are unpacked here."""
        return frozenset(path.name for path in (self.places.state / "artifacts").iterdir() if path.is_dir())

    def target(self) -> Target | None:
        """What is to run here now; None without a readable assignment."""
        if self.assignment is None or self.accepted is None:
            return None
        facts = NodeFacts(self.assignment.node_name or self.identity.name, platform.machine())
        return build(
            self.assignment, self.accepted, self.overrides, self.kept, self.policy(), self.places.rendering, facts
        )

    async def switch(self) -> Switched | Outcome:
        """Go as far towards the accepted assignment as can be gone now; an Outcome where systemd does not answer."""
        target = self.target()
        if target is None:
            return Switched(Plan(), None, (), frozenset())
        observed = await observe(self.systemd, self._files, target.instances.values())
        if not isinstance(observed, Observed):
            return observed
        made = plan(self.applied, target, observed, self.artifacts())
        self._target, self._changed = target, set()
        failures = await self._executor.run(made.actions, self._longest_stop_s())
        return Switched(made, target, tuple(failures), frozenset(self._changed))

    async def restore(self) -> list[Failure] | Outcome:
        """Put back files of the applied state that are missing or differ. Stops nothing."""
        observed = await observe(self.systemd, self._files, self.applied.instances.values())
        if not isinstance(observed, Observed):
            return observed
        return await self._executor.run(restore(self.applied, observed), 0)

    def _longest_stop_s(self) -> float:
        return max((one.rendered.stop_ms / 1000 for one in self.applied.instances.values()), default=0.0)

    def _settled(self, action: Recorded) -> None:
        assert self._target is not None
        if isinstance(action, Begin):
            state = begin(self.applied, self._target, action.instance)
        elif isinstance(action, Settle):
            state = settle(self.applied, self._target, action.instance)
            self._changed.add(action.instance)
            self._keep(state)
        else:
            state = finish(self.applied, action.issued)
        if state != self.applied:
            self.disk.apply(state)
            self.applied = state

    def _keep(self, state: State) -> None:
        kept = keep(self.kept, state)
        if kept != self.kept:
            self.disk.save(REVISIONS_RECORD, Revisions(kept))
            self.kept = kept

    def collect(self) -> list[str]:
        """Remove what nothing needs any more; a rollback needs no download."""
        entries = [entry for one in self.kept.values() for entry in one]
        shas = frozenset(item.sha256 for entry in entries for item in entry.app.artifacts.values())
        return self.disk.collect(shas, self.applied.names())
