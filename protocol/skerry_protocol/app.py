"""An app as it travels and is stored: every field parsed, every default filled in, all units in milliseconds and bytes.

This is the form inside revisions and assignments. How an operator writes one is `appfile`; what a field means is
docs/app-file.md. A released field never changes its meaning: this file only grows.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct, field

from .ids import AppName, NodeName
from .network import AppNetwork


class Availability(StrEnum):
    """What a node's silence means for its copies (docs/availability.md)."""

    HA = "ha"
    BEST_EFFORT = "best-effort"


class Overlap(StrEnum):
    """Whether two copies of one (app, number) may be live at once."""

    ALLOW = "allow"
    FORBID = "forbid"


class OnReturn(StrEnum):
    """Which copy stays when a lost node comes back."""

    KEEP_ORIGINAL = "keep-original"
    KEEP_REPLACEMENT = "keep-replacement"


class Restart(StrEnum):
    """systemd's Restart= for the unit."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NO = "no"


class Ha(Struct, frozen=True, omit_defaults=True):
    """Only with availability `ha`."""

    lost_after_ms: int
    overlap: Overlap = Overlap.ALLOW
    on_return: OnReturn = OnReturn.KEEP_ORIGINAL


class Place(Struct, frozen=True, omit_defaults=True):
    """Where copies may go. `labels`: each key must have one of the values. `nodes`: names; empty is any."""

    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    spread: str | None = None
    nodes: tuple[NodeName, ...] = ()


class Resources(Struct, frozen=True, omit_defaults=True):
    """What the scheduler reserves and systemd enforces. None is unlimited and reserves nothing."""

    memory_bytes: int | None = None
    cpu_milli: int | None = None  # thousandths of a core
    tasks: int | None = None
    cpu_weight: int | None = None  # 1 to 10000, systemd's CPUWeight
    io_weight: int | None = None


class Health(Struct, frozen=True, omit_defaults=True):
    """Exactly one of http, tcp and exec is set."""

    http: str | None = None
    tcp: int | None = None
    exec: tuple[str, ...] | None = None
    every_ms: int = 10_000
    timeout_ms: int = 3_000
    grace_ms: int = 30_000
    failures: int = 3


class Volume(Struct, frozen=True, omit_defaults=True):
    """A folder that lives on the node and shows at `path` in the instance."""

    path: str
    empty_elsewhere: bool = False


class Artifact(Struct, frozen=True, omit_defaults=True):
    """A tar archive, known by the sha256 (hex) of its bytes."""

    sha256: str
    size: int


class App(Struct, frozen=True, omit_defaults=True):
    """One revision's content. `artifacts` is by architecture; the key "any" fits every machine."""

    name: AppName
    run: tuple[str, ...]
    availability: Availability
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    replicas: int = 1
    per_node: bool = False
    ha: Ha | None = None
    stop_timeout_ms: int = 10_000
    place: Place = Place()
    resources: Resources = Resources()
    health: Health | None = None
    volumes: dict[str, Volume] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    schedule: str | None = None
    after: tuple[AppName, ...] = ()
    user: str | None = None
    workdir: str | None = None
    restart: Restart = Restart.ALWAYS
    rollback: bool = True
    sandbox_allow: tuple[str, ...] = ()
    network: AppNetwork = AppNetwork()

    def artifact_for(self, arch: str) -> Artifact | None:
        """The archive for machines of `arch`, if the app has any that fits."""
        return self.artifacts.get(arch) or self.artifacts.get("any")

    @property
    def fenced(self) -> bool:
        """Whether each copy lives under a claim and a lease (`overlap = "forbid"`)."""
        return self.ha is not None and self.ha.overlap is Overlap.FORBID
