"""Every message between hub and node. Released keys never change their meaning; this file only grows.

Each has a golden file in tests/golden that must decode for ever. Times are milliseconds; `*_at_ms` are wall-clock
milliseconds since 1970 by the sender's clock and are only shown to people, never compared across machines.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, field

from .app import App
from .codec import encode
from .ids import AppName, Claim, InstanceId, MeshName, NodeId, NodeName, Region
from .lease import Lease
from .network import Network, NetworkKey
from .signed import Signed

# Whole, not negative, and exact wherever it is kept or shown: in SQLite, in JSON, in a browser.
NUMBER_MAX = 2**53 - 1
Number = Annotated[int, Meta(ge=0, le=NUMBER_MAX)]
ClaimNumber = Annotated[Claim, Meta(ge=0, le=NUMBER_MAX)]

FEATURES: tuple[str, ...] = ("artifact", "schedule", "lease", "override", "network")


class Version(Struct, frozen=True, omit_defaults=True, order=True):
    """Orders assignments: the delegation's serial first, so that the root outbids a thief, then epoch, generation."""

    serial: Number
    epoch: Number
    generation: Number

    def __str__(self) -> str:
        return f"{self.epoch}.{self.generation}" + (f" (serial {self.serial})" if self.serial > 1 else "")


class Issued(Struct, frozen=True, omit_defaults=True):
    """One assignment, named: its version and the SHA-256 of its signed payload."""

    version: Version
    digest: bytes


class Instance(Struct, frozen=True, omit_defaults=True):
    """One copy that the node is to run. `revision` leads to its app in Assignment.apps."""

    id: InstanceId
    app: AppName
    number: Number
    revision: Number
    claim: ClaimNumber | None = None
    lease: Lease | None = None


class AppRevision(Struct, frozen=True, omit_defaults=True):
    """The whole revision of an app, so that a node can show it, and a lost hub can be rebuilt from its nodes."""

    revision: Number
    app: App
    changer: str = ""
    reason: str = ""
    changed_at_ms: Number = 0


class Assignment(Struct, frozen=True, omit_defaults=True):
    """The full set of what one node is to run (docs/protocol.md, "An assignment").

    `since`: what the node is known to have accepted, and all issued after. `removed`: every instance in any of those
    that is not in `instances`. `overwrites`: the digest of a diverged node's own state, by an operator's resume.
    `confirmed_by`: the operator who confirmed a removal of most instances. `network`: the node's plan; None: its
    instances have no network of the mesh.
    """

    mesh: MeshName
    region: Region
    node: NodeId
    version: Version
    instances: tuple[Instance, ...] = ()
    apps: tuple[AppRevision, ...] = ()
    since: tuple[Issued, ...] = ()
    removed: tuple[InstanceId, ...] = ()
    overwrites: bytes | None = None
    confirmed_by: str | None = None
    node_name: NodeName = NodeName("")
    labels: dict[str, str] = field(default_factory=dict)
    network: Network | None = None

    def app_of(self, instance: Instance) -> AppRevision:
        """The app revision of one of this assignment's instances. Raises KeyError where it is missing."""
        for entry in self.apps:
            if entry.app.name == instance.app and entry.revision == instance.revision:
                return entry
        raise KeyError(f"{instance.app} revision {instance.revision}")


class AssignmentAt(Struct, frozen=True, omit_defaults=True):
    """On `assign` in place of an Envelope over 256 kB: fetch the bytes by digest over HTTPS."""

    issued: Issued
    size: Number


class Holding(Struct, frozen=True, omit_defaults=True):
    """A claim that the node may still be running under, and the lease length it asks a grant for."""

    instance: InstanceId
    app: AppName
    number: Number
    claim: ClaimNumber
    length_ms: Number


class Override(Struct, frozen=True, omit_defaults=True):
    """A node's own word that one instance is not to run one revision; `instead` is what it runs (0: nothing)."""

    instance: InstanceId
    app: AppName
    revision: Number
    instead: Number
    by: str
    reason: str
    made_at_ms: Number = 0


class Beat(Struct, frozen=True, omit_defaults=True):
    """Node to hub: here I am, and this is what I hold. `term` is the highest that it has seen in a reply.

    `at_us`: CLOCK_BOOTTIME (µs) when it was sent. It orders the beats of one boot, and is compared with nothing else.
    `hint`: `Hint.digest` of the newest one that it has. `lan`: where its direct tunnels end in its own network
    (`address:port`); `narrow`: how much the way to its hub takes (bytes of a packet inside), where that is less than
    usual, else 0. None: as last said to this hub.
    """

    boot: str
    reply: Number = 0
    accepted: Issued | None = None
    applied: Issued | None = None
    claims: tuple[Holding, ...] = ()
    overrides: tuple[Override, ...] = ()
    conditions: dict[str, Number] = field(default_factory=dict)
    refused: str | None = None
    stopped: bool = False
    features: tuple[str, ...] = ()
    agent: str = ""
    term: Number = 0
    at_us: Number = 0
    hint: bytes = b""
    lan: tuple[str, ...] | None = None
    narrow: Number | None = None


class Hint(Struct, frozen=True, omit_defaults=True):
    """What a node may know of others for its own good, and nothing follows from by right: it is in no assignment.

    `endpoints`: where direct tunnels of its mates may be reached, the best first. `ailing`: addresses of copies, among
    its neighbours', that are not healthy or whose node is silent.
    """

    endpoints: dict[NodeName, tuple[str, ...]] = field(default_factory=dict)
    ailing: tuple[str, ...] = ()

    @property
    def digest(self) -> bytes:
        """What names it: 8 bytes, none for one that says nothing."""
        return hashlib.sha256(encode(self)).digest()[:8] if self.endpoints or self.ailing else b""


class BeatReply(Struct, frozen=True, omit_defaults=True):
    """Hub to node. `grants`: lengths (ms) that claims may live for, from when the beat was sent.

    `retell`: the hub lost what was reported (a restored store): say the newest step of every instance once more.
    `hint`: what the beat's `hint` did not name.
    """

    term: Number
    number: Number
    grants: tuple[Number, ...] = ()
    newest: Issued | None = None
    trouble: str | None = None
    retell: bool = False
    hint: Hint | None = None


class StepName(StrEnum):
    """The node's part of an instance's way to healthy, in order."""

    RECEIVED = "received"
    VERIFIED = "verified"
    FETCHED = "fetched"
    NETWORK = "network"
    STORAGE = "storage"
    STARTED = "started"
    HEALTHY = "healthy"


class StepState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    HELD = "held"


class Step(Struct, frozen=True, omit_defaults=True):
    """Where one instance is. Ordered by (generation, seq): an older one changes nothing."""

    instance: InstanceId
    app: AppName
    revision: Number
    step: StepName
    state: StepState
    generation: Version
    seq: Number
    since_ms: Number
    reason: str = ""


class Event(Struct, frozen=True, omit_defaults=True):
    """Something that happened on a node, for people. `count` is how many alike were merged."""

    code: str
    text: str
    at_ms: Number
    app: AppName | None = None
    instance: InstanceId | None = None
    count: Number = 1


class Entry(Struct, frozen=True, omit_defaults=True):
    """One outbox entry: a step or an event."""

    seq: Number
    step: Step | None = None
    event: Event | None = None


class ReportBatch(Struct, frozen=True, omit_defaults=True):
    """On `report`. (outbox, seq) names an entry for ever; the hub takes each once."""

    outbox: str
    entries: tuple[Entry, ...]


class Ask(Struct, frozen=True, omit_defaults=True):
    """Hub to node, read-only. `what`: "logs", "status", "why", "doctor" (its findings) or "assignment" (the accepted
    Envelope's bytes).
    """

    what: str
    app: AppName | None = None
    lines: Number = 100
    follow: bool = False


class AskPart(Struct, frozen=True, omit_defaults=True):
    """A piece of the answer. The last has `last` set; `error` says why there is none."""

    lines: tuple[str, ...] = ()
    last: bool = False
    error: str | None = None
    data: bytes | None = None


class JoinRequest(Struct, frozen=True, omit_defaults=True):
    """POST /join over pinned HTTPS. `proof` is the machine key's signature over (token id, secret, key).

    `machine` is `ids.machine_mark` of its /etc/machine-id: by it a hub knows the node that it runs on itself.
    `link_key`, `direct_key`: the machine's public keys, of its tunnel to the hub and of those to other nodes.
    """

    token: str
    secret: str
    machine_key: bytes
    proof: bytes
    hostname: str
    name: NodeName | None = None
    arch: str = ""
    memory_bytes: Number = 0
    cpu_milli: Number = 0
    features: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    machine: str = ""
    link_key: NetworkKey | None = None
    direct_key: NetworkKey | None = None


class Returning(Struct, frozen=True, omit_defaults=True):
    """POST /return over pinned HTTPS, Signed by the machine's key for RETURN: a member's word to a rebuilt hub.

    `envelope` is the accepted assignment as it came (an encoded Envelope): it proves that its node was a member, and
    says what it holds. `tls_key` is that of the hub which this is for (Delegation.tls_key). The rest as in JoinRequest.
    """

    machine_key: bytes
    tls_key: bytes
    envelope: bytes
    hostname: str = ""
    arch: str = ""
    memory_bytes: Number = 0
    cpu_milli: Number = 0
    features: tuple[str, ...] = ()
    machine: str = ""
    link_key: NetworkKey | None = None
    direct_key: NetworkKey | None = None


class NetworkKeys(Struct, frozen=True, omit_defaults=True):
    """A machine's word on its network keys, Signed by its machine key for NETWORK; `tls_key` as in Returning."""

    node: NodeId
    tls_key: bytes
    link_key: NetworkKey
    direct_key: NetworkKey


class Renewal(Struct, frozen=True, omit_defaults=True):
    """POST /renew over pinned HTTPS: a Signed (RENEW, see `signing.fetch_words`), with a Signed NetworkKeys beside."""

    payload: bytes
    signature: bytes
    keys: Signed | None = None


class JoinReply(Struct, frozen=True, omit_defaults=True):
    """`state` is "joined" or "waiting" (for approval). `network`: the way to the hub, with none of its own instances.

    Where there is one, `nats` are addresses inside the mesh.
    """

    state: str
    node: NodeId
    name: NodeName
    mesh: MeshName
    region: Region
    text: str = ""
    nats: tuple[str, ...] = ()
    hubs: tuple[str, ...] = ()
    credentials: str = ""
    tls_certificate: str = ""
    network: Network | None = None
