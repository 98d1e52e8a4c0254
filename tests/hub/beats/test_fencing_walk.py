"""A seeded walk over scheduler, claims, compile and beats with modelled nodes: at most one live fenced copy, ever.

The nodes here do by the letter what a real one does: they count a lease from when the beat was sent, on their own
clock, stop within the stop timeout, forget their leases at a crash, and may be cut off, drained, cloned from disk. The
hub restarts and loses its memory. Beats and replies may be lost or late.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import msgspec
import pytest

from skerry_hub.beats.beats import Beats
from skerry_hub.beats.events import (
    Action,
    BeatHeard,
    DeclareReturned,
    DeclareSilent,
    ForgetLoss,
    HubStarted,
    Learned,
    OperatorNamed,
    Reply,
    StoreBoot,
    Tick,
)
from skerry_hub.beats.terms import node_terms
from skerry_hub.loops.claims import may_run, step_claims
from skerry_hub.loops.compile import Withheld, compile_node
from skerry_hub.loops.scheduler import schedule
from skerry_hub.model import (
    AppRow,
    AssignmentRow,
    BootRow,
    ClaimRow,
    Fact,
    Loss,
    NodeRow,
    NodeState,
    Placement,
)
from skerry_protocol.app import App, OnReturn, Overlap
from skerry_protocol.ids import AppName, NodeId
from skerry_protocol.messages import Assignment, Beat, BeatReply, Holding

from .. import builders as b

STEP = 0.5


@dataclass
class Machine:
    """A machine with a node's identity. `lease`: until when, by length, its fenced copies may run."""

    node: NodeId
    boot: str
    accepted: AssignmentRow | None = None
    work: Assignment | None = None
    lease: dict[int, float] = field(default_factory=dict)
    reply: int = 0
    cut: bool = False
    off: bool = False
    next_beat: float = 0.0

    def live(self, now: float) -> set[tuple[AppName, int]]:
        """Fenced copies that may be alive: under the lease, and for the whole stop timeout after it."""
        found = set()
        for copy in self.work.instances if self.work and not self.off else ():
            if copy.lease and now < self.lease.get(copy.lease.length_ms, -1e9) + copy.lease.stop_ms / 1000:
                found.add((copy.app, copy.number))
        return found

    def beat(self, stopped: bool = False) -> Beat:
        copies = self.work.instances if self.work else ()
        held = tuple(
            Holding(copy.id, copy.app, copy.number, copy.claim, copy.lease.length_ms)
            for copy in copies
            if copy.claim is not None and copy.lease is not None
        )
        issued = self.accepted.issued if self.accepted else None
        return Beat(self.boot, self.reply, issued, issued, () if stopped else held, stopped=stopped)


class World:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        self.nodes: dict[NodeId, NodeRow] = {b.nid(name): b.node(name) for name in ("a", "b", "c", "d")}
        self.machines = [Machine(node, f"boot-{node}-0") for node in self.nodes]
        self.revisions: dict[tuple[AppName, int], AppRow] = {}
        self.apps: dict[AppName, AppRow] = {}
        self.placements: tuple[Placement, ...] = ()
        self.claims: tuple[ClaimRow, ...] = ()
        self.losses: dict[tuple[NodeId, int], Loss] = {}
        self.issued: dict[NodeId, list[AssignmentRow]] = {node: [] for node in self.nodes}
        self.facts: dict[NodeId, Fact] = {}
        self.boots: dict[NodeId, BootRow] = {}
        self.entropy = b.entropy()
        self.boot_count = 0
        self.claims_seen: dict[tuple[AppName, int], int] = {}
        self.served = 0
        self.late: list[tuple[float, Machine, float, BeatReply]] = []
        self.apply(b.ha("db", Overlap.FORBID, OnReturn.KEEP_REPLACEMENT, 40_000, replicas=2))
        self.apply(b.ha("queue", Overlap.FORBID, OnReturn.KEEP_ORIGINAL, 60_000))
        self.start_hub()

    def apply(self, app: App) -> None:
        before = self.apps.get(app.name)
        made = b.row(app, before.revision + 1 if before else 1)
        self.apps[app.name] = made
        self.revisions[made.name, made.revision] = made

    def start_hub(self) -> None:
        self.beats = Beats(HubStarted(self.now, 1, tuple(self.boots.values()), tuple(self.losses.values())))
        self.learn()

    def learn(self) -> None:
        terms = {
            node: node_terms(row, self.placements, self.revisions, self.issued[node], self.facts.get(node))
            for node, row in self.nodes.items()
        }
        self.beats.handle(Learned(self.now, terms, self.claims))

    def reconcile(self) -> None:
        newest = {node: rows[-1].issued for node, rows in self.issued.items() if rows}
        applied = frozenset(n for n, f in self.facts.items() if f.applied and f.applied == newest.get(n))
        made = schedule(
            self.apps.values(),
            self.nodes.values(),
            self.placements,
            self.claims,
            self.losses.values(),
            frozenset(),
            applied,
            self.beats.fresh(self.now),
            {},
            0,
            self.entropy,
        )
        self.placements = made.placements
        specs = {key: one.app for key, one in self.revisions.items() if one.app}
        running = {node: may_run(rows, self.facts.get(node)) for node, rows in self.issued.items()}
        self.claims = step_claims(
            self.claims,
            self.placements,
            specs,
            self.beats.freed,
            losses=self.losses.values(),
            running=running,
        ).claims
        for claim in self.claims:
            key = (claim.app, claim.number)
            assert claim.claim >= self.claims_seen.get(key, 0)
            self.claims_seen[key] = claim.claim
        assert len({(one.app, one.number) for one in self.claims}) == len(self.claims)
        for node, row in self.nodes.items():
            fact = self.facts.get(node)
            draft = compile_node(
                b.MESH,
                row,
                self.placements,
                self.claims,
                self.revisions,
                self.issued[node],
                fact,
                confirmed_by="x",
            )
            assert not isinstance(draft, Withheld)
            if draft is not None:
                self.issued[node].append(b.issued_row(draft))
        self.learn()

    def do(self, actions: list[Action]) -> BeatReply | None:
        answer = None
        for action in actions:
            match action:
                case StoreBoot(row):
                    self.boots[row.node] = row
                case DeclareSilent(node, lost_after):
                    self.losses[node, lost_after] = Loss(node, lost_after)
                case DeclareReturned(node, lengths):
                    for one in lengths:
                        self.losses[node, one] = Loss(node, one, returned_at_ms=1)
                case ForgetLoss(node, lost_after):
                    self.losses.pop((node, lost_after), None)
                case Reply(_, reply):
                    answer = reply
        return answer

    def send_beat(self, machine: Machine, stopped: bool = False) -> None:
        """A beat, its answer, and taking the newest assignment: each may be lost, and the answer may be late."""
        sent, chance = self.now, self.random.random()
        machine.next_beat = self.now + 5
        if machine.cut or machine.off or chance < 0.05:
            return
        beat = machine.beat(stopped)
        if self.boots.get(machine.node) is None or not self.boots[machine.node].clone:
            self.facts[machine.node] = Fact(machine.node, beat.accepted, beat.applied)
        reply = self.do(self.beats.handle(BeatHeard(self.now, machine.node, beat)))
        assert reply is not None
        if chance < 0.1 or stopped:
            return
        self.late.append(
            (self.now + (self.random.choice((0, 0, 2)) if chance < 0.3 else 0), machine, sent, reply)
        )

    def deliver(self) -> None:
        due = [one for one in self.late if one[0] <= self.now]
        self.late = [one for one in self.late if one[0] > self.now]
        for _, machine, sent, reply in due:
            if machine.cut or machine.off:
                continue
            machine.reply = max(machine.reply, reply.number)
            for length in reply.grants:
                machine.lease[length] = max(machine.lease.get(length, -1e9), sent + length / 1000)
                self.served += 1
            if self.random.random() < 0.5:
                self.take_newest(machine)

    def take_newest(self, machine: Machine) -> None:
        rows = self.issued[machine.node]
        if rows and machine.accepted != rows[-1]:
            self.accept(machine, rows[-1])

    def accept(self, machine: Machine, row: AssignmentRow) -> None:
        assignment = msgspec.msgpack.decode(row.envelope, type=Assignment)
        if machine.accepted is not None and machine.accepted.issued not in assignment.since:
            twins = [one for one in self.machines if one.node == machine.node]
            assert len(twins) > 1, "only a copied machine may find itself diverged"
            return
        before = {one.id for one in machine.work.instances} if machine.work else set()
        assert before - {one.id for one in assignment.instances} <= set(assignment.removed)
        if machine.accepted is not None:
            assert assignment.version > machine.accepted.issued.version
        machine.accepted, machine.work = row, assignment

    def disturb(self) -> None:
        """One thing that happens to scattered machines; rather to one that has work that matters."""
        busy = [one for one in self.machines if one.live(self.now)]
        machine = self.random.choice(busy if busy and self.random.random() < 0.7 else self.machines)
        match self.random.randrange(10):
            case 0 | 1:
                machine.cut = True
            case 2:  # crash and boot
                self.reboot(machine)
            case 3:
                machine.off = True
            case 4:  # clean shutdown: everything stops, then the word is sent
                machine.lease.clear()
                self.send_beat(machine, stopped=True)
                self.reboot(machine)
            case 5:
                self.start_hub()
            case 6:
                machine.cut = self.random.random() < 0.5
                self.say(machine.node, self.random.choice((NodeState.DRAINING, NodeState.DEAD)))
                self.reconcile()
            case 7:
                times, copies = self.random.choice((30_000, 40_000, 60_000)), self.random.randrange(1, 3)
                self.apply(b.ha("db", Overlap.FORBID, OnReturn.KEEP_REPLACEMENT, times, replicas=copies))
            case 8:  # a disk is copied: another machine boots with the same identity
                if len(self.machines) < 5 and self.random.random() < 0.3:
                    twin = Machine(machine.node, "", machine.accepted, machine.work)
                    self.machines.append(twin)
                    self.reboot(twin)
            case _:  # an operator says which of two machines it is
                row = self.boots.get(machine.node)
                if row is not None and row.clone:
                    self.do(self.beats.handle(OperatorNamed(self.now, machine.node, machine.boot)))

    def say(self, node: NodeId, state: NodeState) -> None:
        self.nodes[node] = msgspec.structs.replace(self.nodes[node], state=state)

    def mend(self) -> None:
        """Troubles end some time."""
        for machine in self.machines:
            if machine.cut and self.random.random() < 0.01:
                machine.cut = False
            if machine.off and self.random.random() < 0.02:
                self.reboot(machine)
        for node, row in self.nodes.items():
            if row.state is not NodeState.READY and self.random.random() < 0.02:
                self.say(node, NodeState.READY)

    def reboot(self, machine: Machine) -> None:
        self.boot_count += 1
        machine.boot, machine.reply, machine.off = f"boot-{machine.node}-{self.boot_count}", 0, False
        machine.lease = {}
        self.late = [one for one in self.late if one[1] is not machine]

    def step(self) -> None:
        self.now += STEP
        for machine in self.machines:
            if machine.next_beat <= self.now:
                self.send_beat(machine)
        self.deliver()
        self.do(self.beats.handle(Tick(self.now)))
        if self.random.random() < 0.5:
            self.reconcile()
        if self.random.random() < 0.04:
            self.disturb()
        self.mend()
        self.check()

    def check(self) -> None:
        live = [copy for machine in self.machines for copy in machine.live(self.now)]
        assert len(live) == len(set(live)), f"two live copies at {self.now}: {sorted(live)}"


@pytest.mark.parametrize("seed", range(12))
def test_never_two_live_copies(seed: int) -> None:
    world = World(seed)
    for _ in range(2500):
        world.step()
    assert world.served > 100
    assert sum(world.claims_seen.values()) > 6
