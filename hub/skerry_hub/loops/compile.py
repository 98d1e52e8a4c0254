"""Placements and claims → the assignment of one node: full, with `since`, `removed` and confirmation.

Owns what an assignment says; who signs it and what bytes it becomes is not its business. Overrides of the node do not
change its assignment. A fenced copy is in it only with the claim it holds and its lease.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from skerry_netplan.linter import faults
from skerry_protocol.codec import encode
from skerry_protocol.ids import AppName, InstanceId, MeshName, Region
from skerry_protocol.messages import AppRevision, Assignment, Instance, Issued, Version
from skerry_protocol.network import Network

from ..model import AppRow, AssignmentRow, ClaimRow, ClaimState, Fact, Mesh, NodeRow, Placement, Word
from .claims import lease_of
from .confirming import confirmed, unconfirmed, withheld_text

Revisions = Mapping[tuple[AppName, int], AppRow]
CONFIRM_FROM = 3


@dataclass(frozen=True)
class Withheld:
    """No assignment is made although there would be something new, and why. `then`: what to do about it."""

    reason: str
    needs_confirmation: bool = False
    then: str = ""

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.reason} ({self.then})" if self.then else self.reason


def content_key(assignment: Assignment) -> str:
    """Names what an assignment asks for, whatever its version: the same key means that there is nothing new."""
    version = Version(0, 0, 0)
    bare = msgspec.structs.replace(assignment, version=version, since=(), removed=(), confirmed_by=None)
    return hashlib.sha256(encode(bare)).hexdigest()


def compile_node(
    mesh: Mesh,
    node: NodeRow,
    placements: Iterable[Placement],
    claims: Iterable[ClaimRow],
    apps: Revisions,
    issued: Sequence[AssignmentRow],
    fact: Fact | None,
    *,
    confirmed_by: str | None = None,
    overwrites: bytes | None = None,
    holds: Iterable[InstanceId] = (),
    words: Mapping[InstanceId, Word] | None = None,
    network: Network | None = None,
) -> Assignment | Withheld | None:
    """The node's next assignment; None where its newest one says the same; Withheld where it may not be made.

    `placements` and `claims` may hold other nodes' rows too. `issued`: the assignment that the node accepted and all
    issued after it, in any order (all of them for a node that accepted none). `confirmed_by`: the operator who
    confirmed that most copies vanish. `overwrites` (a digest, by resume) ends a divergence; `holds` is what the
    diverged node says it has. `words`: by whose word copies ended; where all that vanish did, that is the confirmation.
    `network`: the node's plan.
    """
    rows = sorted(issued, key=lambda row: row.issued.version)
    instances = _instances(node, placements, claims, apps)
    known = _known(rows, fact)
    if known is None:
        assert fact is not None
        if fact.accepted is None or overwrites != fact.accepted.digest:
            text = f"node {node.name} holds an assignment that this hub does not know"
            return Withheld(text, then="'skerry hub resume' shows it")
        known = [*rows]
    draft = Assignment(
        mesh=MeshName(mesh.mesh),
        region=Region(mesh.region),
        node=node.id,
        version=next_version(mesh, rows, fact),
        instances=instances,
        apps=_revisions(instances, apps),
        since=_since(known, fact),
        removed=removed(known, instances, holds),
        overwrites=overwrites,
        node_name=node.name,
        labels=dict(sorted(node.labels.items())),
        network=network,
    )
    if rows and _says(rows[-1], draft) and _can_take(rows, fact):
        return None
    if network is not None and (wrong := faults(network)):
        return Withheld(f"the network plan of {node.name} makes no sense: {'; '.join(wrong)}")
    many = most_vanish(known, instances)
    if many is None:
        return draft
    confirmed_by = confirmed_by or confirmed(draft.removed, words or {})
    if confirmed_by is None:
        text = withheld_text(node.name, *many, unconfirmed(draft.removed, words or {}))
        then = f"nothing new is sent to it: look, then 'skerry node confirm {node.name}'"
        return Withheld(text, needs_confirmation=True, then=then)
    return msgspec.structs.replace(draft, confirmed_by=confirmed_by)


def _says(newest: AssignmentRow, draft: Assignment) -> bool:
    """Whether it asks for the same. Other copies are seen without a key, which costs as much as all the rest here."""
    if newest.copies and newest.copies != draft.instances:
        return False
    return newest.content == content_key(draft)


def _instances(
    node: NodeRow, placements: Iterable[Placement], claims: Iterable[ClaimRow], apps: Revisions
) -> tuple[Instance, ...]:
    held = {row.instance: row for row in claims if row.node == node.id and row.state is ClaimState.HELD}
    found: list[Instance] = []
    for one in placements:
        row = apps.get((one.app, one.revision))
        if one.node != node.id or row is None or row.app is None:
            continue
        if not row.app.fenced:
            found.append(Instance(one.instance, one.app, one.number, one.revision))
            continue
        lease = lease_of(row.app)
        if one.instance in held and lease is not None:
            claim = held[one.instance].claim
            found.append(Instance(one.instance, one.app, one.number, one.revision, claim, lease))
    return tuple(sorted(found, key=lambda instance: instance.id))


def _revisions(instances: tuple[Instance, ...], apps: Revisions) -> tuple[AppRevision, ...]:
    found = []
    for name, revision in sorted({(one.app, one.revision) for one in instances}):
        row = apps[name, revision]
        assert row.app is not None
        found.append(AppRevision(revision, row.app, row.changer, row.reason, row.changed_at_ms))
    return tuple(found)


def _known(rows: list[AssignmentRow], fact: Fact | None) -> list[AssignmentRow] | None:
    """The accepted assignment and all after it; None where the node holds something that this hub never issued."""
    accepted = fact.accepted if fact else None
    if accepted is None:
        return rows
    if not any(row.issued == accepted for row in rows):
        return None
    return [row for row in rows if row.issued.version >= accepted.version]


def _can_take(rows: Sequence[AssignmentRow], fact: Fact | None) -> bool:
    """Whether the newest of these assignments (oldest first) knows what the node holds.

    Not so where an older disk took the place of the node's own, or where its word was taken after a restore.
    """
    accepted, since = fact.accepted if fact else None, rows[-1].since
    if accepted is None or since is None or accepted in (rows[-1].issued, *since):
        return True
    oldest = min((one.version for one in since), default=None)
    own = (row.issued for row in rows if row.since is not None)  # not what was taken by a node's word, later
    return oldest is not None and any(one == accepted and one.version >= oldest for one in own)


def bounds(since: Sequence[Issued]) -> tuple[Issued, ...]:
    """What is kept of a whole `since`, from which `_can_take` knows all of it by the rows that are there.

    A node may miss a thousand changes; were each to be kept with all before it, the last ones would take the longest.
    """
    return tuple(dict.fromkeys((since[0], min(since, key=lambda one: one.version)))) if since else ()


def _since(known: list[AssignmentRow], fact: Fact | None) -> tuple[Issued, ...]:
    since = [row.issued for row in known]
    if fact and fact.accepted and fact.accepted not in since:
        since.insert(0, fact.accepted)
    return tuple(since)


def removed(
    known: Iterable[AssignmentRow], instances: Iterable[Instance], holds: Iterable[InstanceId] = ()
) -> tuple[InstanceId, ...]:
    """Every instance that the node may have by any of the known assignments, or says it has, and is not to have now."""
    before = {*holds}.union(*(row.instances for row in known))
    return tuple(sorted(before - {instance.id for instance in instances}))


def most_vanish(known: Iterable[AssignmentRow], instances: Iterable[Instance]) -> tuple[int, int] | None:
    """(vanished, of) where three or more, and more than half, of what any known assignment has would vanish."""
    now = {instance.id for instance in instances}
    for row in known:
        gone = len(set(row.instances) - now)
        if gone >= CONFIRM_FROM and gone * 2 > len(row.instances):
            return gone, len(row.instances)
    return None


def next_version(mesh: Mesh, rows: Sequence[AssignmentRow], fact: Fact | None) -> Version:
    """One generation above everything that was issued to the node or that it holds, in the mesh's serial and epoch."""
    generations = [row.issued.version.generation for row in rows]
    if fact and fact.accepted:
        generations.append(fact.accepted.version.generation)
    return Version(mesh.serial, mesh.epoch, max(generations, default=0) + 1)
