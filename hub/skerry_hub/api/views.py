"""What the API answers, as types: the API encodes them, the command line and the dashboard decode the same ones.

Times are wall-clock milliseconds by the hub's clock. This file only grows; a reader ignores keys that it does not know.
"""

from __future__ import annotations

from msgspec import Struct, field

from skerry_protocol.app import App
from skerry_protocol.findings import Finding

from ..loops.telling import Change


class Refusal(Struct, frozen=True):
    """The body of every answer that is not a success."""

    error: str
    then: str = ""
    faults: tuple[str, ...] = ()


class AppView(Struct, frozen=True):
    """An app in a list: what is wanted and what is there. `app` is None once it was removed."""

    name: str
    revision: int
    availability: str
    wanted: int
    placed: int
    healthy: int
    state: str  # "healthy", "starting", "waiting", "held" (it does not go on by itself), "failed", "removed"
    headline: str
    changer: str
    changed_at_ms: int
    nodes: tuple[str, ...] = ()
    app: App | None = None


class NodeView(Struct, frozen=True):
    """A node in a list. `heard_at_ms` is None where it was not heard since the hub started."""

    id: str
    name: str
    state: str
    silent_ms: int | None
    labels: dict[str, str]
    arch: str
    instances: int
    newest: str = ""
    accepted: str = ""
    applied: str = ""
    heard_at_ms: int | None = None
    conditions: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    revision: int = 0
    region: str = ""
    boots: tuple[str, ...] = ()  # of two machines with this identity, until an operator kept one
    address: str = ""  # in the mesh; empty where it has no tunnels


class NetworkView(Struct, frozen=True):
    """A node's network plan, as lines for people. `changes`: what differs from the one that the node holds."""

    node: str
    plan: tuple[str, ...]
    changes: tuple[str, ...] = ()


class RevisionView(Struct, frozen=True):
    """One change of an app, node, token or person, kept for ever."""

    kind: str
    name: str
    number: int
    at_ms: int
    changer: str
    reason: str
    content: dict[str, object] = field(default_factory=dict)


class EventView(Struct, frozen=True):
    id: int
    at_ms: int
    code: str
    text: str
    app: str = ""
    node: str = ""
    instance: str = ""
    changer: str = ""


class TokenView(Struct, frozen=True):
    id: str
    kind: str
    uses: int
    limit: int | None
    state: str  # "open", "used up", "expired", "revoked"
    expires_at_ms: int | None
    made_by: str
    labels: dict[str, str] = field(default_factory=dict)
    name_pattern: str | None = None
    approval: bool = False
    ephemeral_ms: int | None = None
    used_by: tuple[str, ...] = ()


class TokenMade(Struct, frozen=True):
    """The only answer that ever holds the token's secret."""

    id: str
    text: str
    expires_at_ms: int | None = None


class TokenAsk(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """POST /api/tokens. `limit` None and not reusable is one-off."""

    reusable: bool = False
    limit: int | None = None
    ephemeral_ms: int | None = None
    approval: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    name_pattern: str | None = None
    lasts_ms: int = 3_600_000


class ApplyAsk(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """POST /api/plan and /api/apply. `expect`: the revision of each app that the operator saw (0: none)."""

    apps: tuple[App, ...]
    expect: dict[str, int] = field(default_factory=dict)
    reason: str = ""
    confirm: bool = False
    leave_data: bool = False


class ApplyView(Struct, frozen=True):
    """What an apply did, or would do. With refusals nothing was changed."""

    changes: tuple[Change, ...] = ()
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    revisions: dict[str, int] = field(default_factory=dict)


class NodeWord(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """POST /api/nodes/{name}/drain, undrain, dead, forget, approve."""

    reason: str = ""
    leave_data: bool = False
    confirm: bool = False


class KeepAsk(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """POST /api/nodes/{name}/keep. `boot`: the boot id of the machine that is the node."""

    boot: str
    reason: str = ""


class LabelsAsk(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    set: dict[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    reason: str = ""


class RollbackAsk(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """POST /api/apps/{name}/rollback. `revision` None is the one before."""

    revision: int | None = None
    reason: str = ""
    confirm: bool = False
    leave_data: bool = False


class DiffLine(Struct, frozen=True):
    """One field that differs between two revisions, as JSON text; empty where there is none."""

    field: str
    before: str
    after: str


class PersonView(Struct, frozen=True):
    name: str
    role: str
    made_at_ms: int
    revoked_at_ms: int | None = None


class PersonAsk(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    role: str


class PersonMade(Struct, frozen=True):
    name: str
    role: str
    token: str


class StatusView(Struct, frozen=True):
    """The region at a glance. `loud`: what everybody must see (restored store, storm brake)."""

    mesh: str
    region: str
    epoch: int
    term: int
    nodes: int
    silent: int
    apps: int
    restored: bool = False
    loud: tuple[str, ...] = ()


class HubHealthView(Struct, frozen=True):
    """How the hub itself is. `now_ms`: by its clock. `backend`: what makes its tunnels, empty where there are none.

    `store`, `tunnels`, `nats`: what is wrong with each; empty: nothing. `free_bytes`: on its store's disk. `inside`:
    its address in the mesh; `places`: where nodes are told to come in, HOST:PORT of UDP.
    """

    now_ms: int
    free_bytes: int
    folder: str
    store: str = ""
    backend: str = ""
    tunnels: str = ""
    nats: str = ""
    inside: str = ""
    places: tuple[str, ...] = ()


class NodeHealthView(Struct, frozen=True):
    """A node as the hub sees it, and what it says of itself when it is asked.

    `tunnel`: it has one. `peer`: the hub's end knows it; `endpoint`: where it came from last; `handshake_ms`: how long
    ago the last one was. `found`: the node's own findings; `silent`: why it gave none.
    """

    node: NodeView
    tunnel: bool = False
    peer: bool = False
    endpoint: str = ""
    handshake_ms: int | None = None
    found: tuple[Finding, ...] = ()
    silent: str = ""


class Paused(Struct, frozen=True):
    """A node that holds what this store never issued."""

    node: str
    holds: str
    newest: str
    text: str


class ResumeView(Struct, frozen=True):
    """`gaps`: what a hub that was rebuilt cannot know, or is told in two ways."""

    restored: bool
    paused: tuple[Paused, ...] = ()
    away: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


class ResumeAsk(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`take` is "nodes" (their word stands) or "hub" (they are overwritten in a new epoch)."""

    nodes: tuple[str, ...] = ()
    take: str = "nodes"
    reason: str = ""


class LogLine(Struct, frozen=True, omit_defaults=True):
    """A line of GET /api/apps/{name}/logs (NDJSON). `error` says why a node gives none: with `follow` it is asked
    again, and `note` says when it answers; else that is the end of its part."""

    node: str
    line: str = ""
    instance: str = ""
    error: str = ""
    note: str = ""


class RegionView(Struct, frozen=True):
    """What an operator set for the region. `storm_hold_ms` None: the storm brake holds until the nodes are back."""

    storm_hold_ms: int | None
    keep_events: int


class RegionAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /api/region: all of it, as it is to be."""

    storm_hold_ms: int | None
    keep_events: int
    reason: str = ""
