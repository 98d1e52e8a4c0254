"""An instance as unit files and a folder of content, from structured fields and the node's policy. Pure.

Owns what a unit of Skerry's looks like. What changes often (env, files, artifact) lies in a content folder of its own,
named by digest, to which the link `current` leads: a new one needs no daemon-reload, a switch is one rename, and going
back is another. Volumes are kept by (app, number), not by instance. Must never let text from the hub reach a unit file
unescaped, and never drop what an app asks for: it is rendered whole, or refused with all reasons.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from msgspec import Struct, field

from skerry_protocol.app import App, Restart
from skerry_protocol.ids import instance_name
from skerry_protocol.lease import Lease
from skerry_protocol.messages import Instance
from skerry_protocol.sandbox import Kind, Word, asked

from ..fence.verdict import slice_name
from . import sandbox
from .leaseunits import target_name
from .policy import Policy, refusals
from .unitfile import Line, Section, UnitTextError, calendar, command, environment, plain_path, text

TARGET = "skerry.target"
APP_ROOT = "/run/skerry/app"
FILES_ROOT = "/run/skerry/files"
VOLUMES = "skerry-volumes"
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")
UNLIMITED = (1 << 64) - 1
# Where a volume would hide what programs need; "/" is not a plain path anyway.
NO_VOLUMES = ("/proc", "/sys", "/dev", "/run", "/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/boot")
# Lines of [Unit] and [Service] that systemd takes over in a running unit, without a restart.
LIVE = frozenset({"After", "MemoryMax", "CPUQuota", "TasksMax", "CPUWeight", "IOWeight"})


class Paths(Struct, frozen=True):
    """Where things are on the node."""

    units: str = "/etc/systemd/system"
    instances: str = "/var/lib/skerry/instances"
    artifacts: str = "/var/lib/skerry/artifacts"


class NodeFacts(Struct, frozen=True):
    """What a rendering needs to know of its node. `neighbours`: the units of each app that this node runs.

    `network`: whether the node has a network plan, so that skerry-net makes its instances' network namespaces.
    """

    name: str = ""
    arch: str = ""
    neighbours: dict[str, tuple[str, ...]] = field(default_factory=dict)
    network: bool = False


class Content(Struct, frozen=True):
    """One file: bytes and mode."""

    data: bytes
    mode: int


class Rendered(Struct, frozen=True):
    """One instance, ready to be written.

    `units`: file name → text, for Paths.units. `tree`: relative path → content, for the folder
    `<instances>/<id>/<tree_name>`, beside a link `artifact` to `<artifacts>/<artifact>` where there is one; the link
    `<instances>/<id>/current` leads to that folder. `starts` is started and wanted by `wanted_by`. `properties`: D-Bus
    names and values of what can be set live. `restart_key` changes exactly when running processes must be restarted.
    `namespace`: the network namespace that skerry-net makes for it; without, a private network is an empty one.
    """

    service: str
    units: dict[str, str]
    tree: dict[str, Content]
    tree_name: str
    starts: str
    wanted_by: str
    properties: dict[str, int]
    restart_key: str
    stop_ms: int
    artifact: str | None = None
    lease: Lease | None = None
    private_network: bool = True
    namespace: str = ""


class NotAllowed(Struct, frozen=True):
    """This node cannot run the instance so; every reason, with what to do."""

    reasons: tuple[str, ...]


def service_name(instance: Instance) -> str:
    """The unit of an instance, as people know it."""
    return f"skerry-{instance_name(instance.app, instance.number)}.service"


def render(
    instance: Instance, app: App, policy: Policy, paths: Paths, node: NodeFacts
) -> Rendered | NotAllowed:
    """`instance` at the revision whose content is `app`, for this node."""
    try:
        words = asked(app)
    except ValueError as error:
        return NotAllowed((str(error),))
    reasons = [*refusals(policy, app, words), *_misfits(app, node)]
    try:
        rendered = _rendered(instance, app, words, paths, node)
    except UnitTextError as error:
        return NotAllowed((*reasons, f"cannot write its unit: {error}"))
    return NotAllowed(tuple(reasons)) if reasons else rendered


def _misfits(app: App, node: NodeFacts) -> Iterator[str]:
    if app.artifacts and app.artifact_for(node.arch) is None:
        there = ", ".join(sorted(app.artifacts))
        yield f"{app.name} has no artifact for {node.arch or 'this machine'}, only for {there}"
    if _in_artifact(app.run[0]) and not app.artifacts:
        yield f"{app.name} runs {app.run[0]}, a path inside of an artifact, but has none"
    for name, volume in app.volumes.items():
        if any(volume.path == root or volume.path.startswith(root + "/") for root in NO_VOLUMES):
            yield f"volume {name} cannot be shown at {volume.path}: that hides a part of the system"
    for name in app.files:
        if FILE_NAME.fullmatch(name) is None or len(name) > 200:
            yield f"{name!r} is no name for a file: expected plain characters, no part that starts with a dot"
    clash = {name for name in app.files if any(other.startswith(name + "/") for other in app.files)}
    yield from (f"{name!r} is both a file and a folder" for name in sorted(clash))
    yield from (f"{name} is set by Skerry itself" for name in app.env if name.startswith("SKERRY_"))


def _in_artifact(program: str) -> bool:
    return "/" in program and not program.startswith("/")


def _rendered(
    instance: Instance, app: App, words: tuple[Word, ...], paths: Paths, node: NodeFacts
) -> Rendered:
    artifact = app.artifact_for(node.arch)
    tree = {f"files/{name}": Content(body.encode(), 0o444) for name, body in app.files.items()}
    tree["env"] = Content(environment(_env(instance, app, node)), 0o600)
    tree_name = _tree_name(tree, artifact.sha256 if artifact else "")
    service = service_name(instance)
    private = sandbox.private_network(words)
    namespace = _namespace(instance) if private and node.network else ""
    sections = _service(instance, app, words, f"{paths.instances}/{instance.id}/current", node, namespace)
    units = {service: text(sections)}
    starts, wanted_by = service, target_name(instance.lease.length_ms) if instance.lease else TARGET
    if app.schedule is not None:
        starts = service.removesuffix(".service") + ".timer"
        units[starts] = text(_timer(instance, app.schedule, wanted_by))
    return Rendered(
        service=service,
        units=units,
        tree=tree,
        tree_name=tree_name,
        starts=starts,
        wanted_by=wanted_by,
        properties=_properties(app),
        restart_key=_restart_key(sections, tree_name),
        stop_ms=app.stop_timeout_ms,
        artifact=artifact.sha256 if artifact else None,
        lease=instance.lease,
        private_network=private,
        namespace=namespace,
    )


def _namespace(instance: Instance) -> str:
    from skerry_netplan.lower import namespace_of  # noqa: PLC0415 - what only looks, at boot, does without

    return namespace_of(instance.id)


def _env(instance: Instance, app: App, node: NodeFacts) -> dict[str, str]:
    own = {
        "SKERRY_APP": app.name,
        "SKERRY_INSTANCE": instance_name(instance.app, instance.number),
        "SKERRY_NODE": node.name,
    }
    if app.files:
        own["SKERRY_FILES"] = FILES_ROOT
    if instance.claim is not None:
        own["SKERRY_CLAIM"] = str(instance.claim)
    return app.env | own


def _tree_name(tree: dict[str, Content], artifact: str) -> str:
    total = hashlib.sha256(artifact.encode())
    for path in sorted(tree):
        total.update(f"\0{path}\0{tree[path].mode}\0{len(tree[path].data)}\0".encode() + tree[path].data)
    return total.hexdigest()[:20]


def _restart_key(sections: tuple[Section, ...], tree_name: str) -> str:
    kept = [
        (name, [line for line in lines if line[0] not in LIVE])
        for name, lines in sections
        if name != "Install"
    ]
    return hashlib.sha256(f"{kept}{tree_name}".encode()).hexdigest()[:20]


def _service(
    instance: Instance, app: App, words: tuple[Word, ...], current: str, node: NodeFacts, namespace: str
) -> tuple[Section, ...]:
    body = (
        *_process(app, current),
        ("Slice", _slice(instance)),
        *_limits(app),
        *_mounts(instance, app, words, current),
        *sandbox.lines(words, namespace),
    )
    install = () if app.schedule else _install(instance)
    return ("Unit", _unit(instance, app, node)), ("Service", body), ("Install", install)


def _unit(instance: Instance, app: App, node: NodeFacts) -> tuple[Line, ...]:
    name = instance_name(instance.app, instance.number)
    before = sorted({unit for other in app.after for unit in node.neighbours.get(other, ())})
    lines: list[Line] = [("Description", f"Skerry: {name}")]
    lines += [("After", " ".join(["network.target", "skerry-net.service", *before]))]
    lines += [("StartLimitIntervalSec", "0")]  # quick restarts must not end a unit for good
    return (*lines, *_fence(instance))


def _slice(instance: Instance) -> str:
    """Fenced ones lie together by what skerry-fence has to know of them."""
    lease = instance.lease
    return slice_name(lease.length_ms, lease.stop_ms) if lease else "skerry.slice"


def _fence(instance: Instance) -> tuple[Line, ...]:
    """Requisite, not BindsTo or Requires: those would start the lease together with the unit."""
    if instance.lease is None:
        return ()
    lease = target_name(instance.lease.length_ms)
    return ("Requisite", lease), ("After", lease)


def _install(instance: Instance) -> tuple[Line, ...]:
    return (("WantedBy", target_name(instance.lease.length_ms) if instance.lease else TARGET),)


def _process(app: App, current: str) -> Iterator[Line]:
    program = app.run[0]
    if _in_artifact(program):
        program = f"{APP_ROOT}/{program.removeprefix('./')}"
    yield "Type", "exec"
    yield "ExecStart", command(plain_path(program) if "/" in program else program, app.run[1:])
    yield "EnvironmentFile", f"{current}/env"
    yield "WorkingDirectory", _workdir(app)
    yield "Restart", _restart(app)
    yield "RestartSec", "2s"
    yield "TimeoutStopSec", f"{app.stop_timeout_ms}ms"
    yield "KillMode", "control-group"
    yield "NotifyAccess", "none"  # so that no process can stretch its own stop timeout


def _workdir(app: App) -> str:
    if app.workdir is None:
        return APP_ROOT if app.artifacts else "/"
    return plain_path(
        app.workdir if app.workdir.startswith("/") else f"{APP_ROOT}/{app.workdir.removeprefix('./')}"
    )


def _restart(app: App) -> str:
    """A scheduled app that ended well waits for its next turn."""
    return "no" if app.schedule and app.restart is Restart.ALWAYS else app.restart.value


def _limits(app: App) -> Iterator[Line]:
    asks = app.resources
    if asks.memory_bytes is not None:
        yield "MemoryMax", str(asks.memory_bytes)
    if asks.cpu_milli is not None:
        yield "CPUQuota", f"{asks.cpu_milli // 10}.{asks.cpu_milli % 10}%"
    if asks.tasks is not None:
        yield "TasksMax", str(asks.tasks)
    if asks.cpu_weight is not None:
        yield "CPUWeight", str(asks.cpu_weight)
    if asks.io_weight is not None:
        yield "IOWeight", str(asks.io_weight)


def _properties(app: App) -> dict[str, int]:
    """The same limits by their D-Bus names; for each of them the largest number means that it is not set."""
    asks = app.resources
    quota = None if asks.cpu_milli is None else asks.cpu_milli * 1000
    values = {
        "MemoryMax": asks.memory_bytes,
        "CPUQuotaPerSecUSec": quota,
        "TasksMax": asks.tasks,
        "CPUWeight": asks.cpu_weight,
        "IOWeight": asks.io_weight,
    }
    return {name: UNLIMITED if value is None else value for name, value in values.items()}


def _mounts(instance: Instance, app: App, words: tuple[Word, ...], current: str) -> Iterator[Line]:
    """The instance sees its artifact, files and volumes, and nothing else of /run/skerry and /var/lib/skerry.

    systemd makes the volumes' folders, gives them to the instance's user, and keeps them under /var/lib/private; those
    of a user that the machine has lie openly, so that their mode has to keep others out.
    """
    if app.artifacts:
        yield "BindReadOnlyPaths", f"{current}/artifact:{APP_ROOT}"
    if app.files:
        yield "BindReadOnlyPaths", f"{current}/files:{FILES_ROOT}"
    base = f"{VOLUMES}/{instance_name(instance.app, instance.number)}"
    root = "/var/lib" if any(word.kind is Kind.USER for word in words) else "/var/lib/private"
    if app.volumes:
        yield "StateDirectoryMode", "0700"
    for name in sorted(app.volumes):
        yield "StateDirectory", f"{base}/{name}"
        yield "BindPaths", f"{root}/{base}/{name}:{plain_path(app.volumes[name].path)}"


def _timer(instance: Instance, schedule: str, wanted_by: str) -> tuple[Section, ...]:
    name = instance_name(instance.app, instance.number)
    unit = (("Description", f"Skerry: schedule of {name}"), *_fence(instance))
    when = (("OnCalendar", calendar(schedule)), ("Persistent", "yes"), ("AccuracySec", "1s"))
    return ("Unit", unit), ("Timer", when), ("Install", (("WantedBy", wanted_by),))
