"""Every field of the tables in an app, once: what it may hold, what it means, what it is when left out.

The app's own fields are in `app_fields`.

The parser, the check of apps from the wire, the JSON Schema and docs/app-file.md come from these rows. Rules between
fields are in `rules`. A default is given by what a row makes (the structs of skerry_protocol.app); its text here is for
people, and a test holds the two together.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from skerry_protocol.app import Artifact, Ha, Health, OnReturn, Overlap, Place, Resources
from skerry_protocol.app import Volume as AppVolume

from . import texts
from .faults import Path, Say, quoted
from .kinds import Kind, Schema, choice, cpu, duration, flag, size, whole
from .tables import Either, ListOf, MapOf, Mapped, Row, Section

SECOND, HOUR, DAY = 1_000, 3_600_000, 86_400_000
REPLICAS_MAX = 10_000
APPS_MAX = 1_000
REACHES_MAX = 100

CHOOSE = (
    '"ha" or "best-effort": choose. "ha": a silent node\'s copies are replaced elsewhere after ha.lost_after. '
    '"best-effort": a copy belongs to its node, and silence moves nothing'
)
CHOOSE_LOST = 'ha.lost_after, such as "60s": after how long a silence a node\'s copies are replaced'


def _as_list(value: str) -> str:
    words = quoted(value) if len(value.split()) == 1 else ", ".join(map(json.dumps, value.split()))
    return (
        f"one string per word, no shell: [{words}]" if len(words) < 100 else "one string per word, no shell"
    )


def command(expected: str) -> ListOf[str]:
    return ListOf(texts.argument(), expected, most=256, least=1, if_text=_as_list)


def one_in_list(value: str) -> str:
    return f"in brackets: [{quoted(value)}]"


def _ha(lost_after_ms: int, overlap: Overlap = Overlap.ALLOW, on_return: OnReturn | None = None) -> Ha:
    """`on_return` follows `overlap`: a fenced copy that moved back by itself would be down twice."""
    usual = OnReturn.KEEP_REPLACEMENT if overlap is Overlap.FORBID else OnReturn.KEEP_ORIGINAL
    return Ha(lost_after_ms, overlap, on_return or usual)


HA = Section(
    (
        Row(
            "lost_after",
            duration(3 * SECOND, 365 * DAY),
            "A node that is silent for so long is lost, and its copies are started elsewhere.",
            attribute="lost_after_ms",
            required=True,
            blank=60 * SECOND,
            why=CHOOSE_LOST,
        ),
        Row(
            "overlap",
            choice(Overlap),
            "Whether two copies with one number may live at once. forbid: never, by a lease that runs out.",
            default='"allow"',
        ),
        Row(
            "on_return",
            choice(OnReturn),
            "Which copy stays when a lost node comes back.",
            default='"keep-original", with overlap = "forbid" "keep-replacement"',
        ),
    ),
    _ha,
    'What happens when a node falls silent. Only with availability = "ha", and then required.',
)

_ONE_VALUE: Kind[tuple[str, ...]] = Mapped(texts.label_value(), lambda value: (str(value),))
_VALUES = ListOf(texts.label_value(), 'a list of values such as ["a", "b"]', most=100, least=1, unique=True)
_IN = Section(
    (
        Row(
            "in",
            _VALUES,
            "The label must have one of these values.",
            attribute="values",
            required=True,
            blank=(),
        ),
    ),
    lambda values: values,
    "One of several values.",
)
_LABEL: Kind[tuple[str, ...]] = Either(
    ((str, _ONE_VALUE), (list, _VALUES), (dict, _IN)),
    'a value "a", or several of which one must fit: ["a", "b"]',
)

PLACE = Section(
    (
        Row(
            "labels",
            MapOf(
                texts.label_key(),
                _LABEL,
                'a table such as { region = "north", disk = ["ssd", "nvme"] }',
                most=50,
            ),
            "Labels that a node must have. A list of values, or { in = [...] }, means any one of them. "
            "Every node has arch, node and region by itself.",
        ),
        Row("spread", texts.label_key(), "Copies go to nodes that differ in this label as far as possible."),
        Row(
            "nodes",
            ListOf(texts.name(), "a list of nodes' names", most=1000, unique=True, if_text=one_in_list),
            "Only these nodes. Empty: any.",
        ),
    ),
    Place,
    "Where copies may go.",
)

RESOURCES = Section(
    (
        Row(
            "memory",
            size(1 << 20, 1 << 50),
            "Memory, reserved by the scheduler, enforced by systemd (MemoryMax=). K, M, G and T are powers of 1024.",
            attribute="memory_bytes",
        ),
        Row(
            "cpu",
            cpu(1, 1_024_000),
            "Processors, reserved by the scheduler, enforced by systemd (CPUQuota=). 0.5 is half of one.",
            attribute="cpu_milli",
        ),
        Row("tasks", whole(1, 4_194_304), "The most processes and threads (TasksMax=)."),
        Row(
            "cpu_weight", whole(1, 10_000), "The share of processors among units (CPUWeight=), 100 is usual."
        ),
        Row("io_weight", whole(1, 10_000), "The share of disks among units (IOWeight=), 100 is usual."),
    ),
    Resources,
    "What is reserved and enforced. What is left out is unlimited and reserves nothing.",
)


_MAKE_HEALTH: Callable[..., Health] = Health


def _health(every_ms: int = 10_000, timeout_ms: int | None = None, **rest: object) -> Health:
    """The usual timeout is never longer than `every`."""
    timeout = min(3_000, every_ms) if timeout_ms is None else timeout_ms
    return _MAKE_HEALTH(every_ms=every_ms, timeout_ms=timeout, **rest)


HEALTH = Section(
    (
        Row("http", texts.web_address(), "Healthy when a GET of this address answers 200 to 399."),
        Row("tcp", whole(1, 65_535), "Healthy when 127.0.0.1 takes a connection on this port."),
        Row(
            "exec",
            command('a command as a list such as ["./check"]'),
            "Healthy when this command, run in the instance's sandbox, exits 0.",
        ),
        Row("every", duration(SECOND, DAY), "How often.", attribute="every_ms", default='"10s"'),
        Row(
            "timeout",
            duration(100, HOUR),
            "How long one check may take; at most `every`.",
            attribute="timeout_ms",
            default='"3s", or `every` if that is shorter',
        ),
        Row(
            "grace",
            duration(0, DAY),
            "How long after a start failed checks don't count; a change that is not healthy by then is put back.",
            attribute="grace_ms",
            default='"30s"',
        ),
        Row("failures", whole(1, 1000), "After so many in a row the unit is restarted.", default="3"),
    ),
    _health,
    "How the agent knows that a copy works. Exactly one of http, tcp and exec.",
    {"oneOf": [{"required": [key]} for key in ("http", "tcp", "exec")]},
)

_VOLUME_TABLE = Section(
    (
        Row(
            "path",
            texts.volume_path(),
            "Where it shows.",
            required=True,
            blank="/",
            why='path, such as "/data"',
        ),
        Row(
            "empty_elsewhere",
            flag(),
            "Yes, a copy that is started on another node may begin with an empty folder.",
            default="false",
        ),
    ),
    AppVolume,
    "A folder on the node.",
)
VOLUME: Kind[AppVolume] = Either(
    ((str, Mapped(texts.volume_path(), lambda path: AppVolume(str(path)))), (dict, _VOLUME_TABLE)),
    'a path such as "/data", or { path = "/data", empty_elsewhere = true }',
)

ARTIFACT_REFERENCE = Section(
    (
        Row("sha256", texts.sha256(), "The archive's SHA-256.", required=True, blank=""),
        Row("size", whole(1, 1 << 40), "Its size in bytes.", required=True, blank=0),
    ),
    Artifact,
    "An archive that the hub already has.",
)
_BY_ARCH: MapOf[str | Artifact] = MapOf(
    texts.arch(),
    Either(
        ((str, texts.artifact_path()), (dict, ARTIFACT_REFERENCE)), "a path, or { sha256 = ..., size = ... }"
    ),
    "a table with an archive by architecture",
    most=len(texts.ARCHES),
    least=1,
)


class _ArtifactTable:
    """`{ sha256, size }`, or a table by architecture."""

    def read(self, value: object, path: Path, say: Say) -> dict[str, str | Artifact] | None:
        if isinstance(value, dict) and ("sha256" in value or "size" in value):
            one = ARTIFACT_REFERENCE.read(value, path, say)
            return None if one is None else {"any": one}
        return _BY_ARCH.read(value, path, say)

    def schema(self) -> Schema:
        return {"anyOf": [ARTIFACT_REFERENCE.schema(), _BY_ARCH.schema()]}


ARTIFACT: Kind[dict[str, str | Artifact]] = Either(
    ((str, Mapped(texts.artifact_path(), lambda path: {"any": str(path)})), (dict, _ArtifactTable())),
    'the path of a tar archive, or a table by architecture such as { x86_64 = "...", aarch64 = "..." }',
)

SANDBOX = Section(
    (
        Row(
            "allow",
            ListOf(texts.sandbox_word(), "a list of words", most=64, unique=True, if_text=one_in_list),
            "What the app asks for beyond the sandbox. Each node's own policy must permit it too.",
        ),
    ),
    lambda allow=(): allow,
    "Loosening of the sandbox.",
)
