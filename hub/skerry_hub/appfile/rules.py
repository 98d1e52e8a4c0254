"""The rules between the fields of one app. Each names the keys that it needs; one that is faulty already is not judged.

Single fields are judged by their rows (`fields`, `app_fields`), apps among each other by `parse`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from skerry_protocol import lease, sandbox
from skerry_protocol.app import Availability, Restart

from ..units import write_duration
from .draft import Draft
from .faults import Finding, Path, quoted
from .portrules import of_machine, published, same_ports
from .texts import program_fault

BYTES_MAX = 64 << 10

Rule = Callable[[Draft], Iterator[Finding]]


def broken(draft: Draft, path: Path) -> Iterator[Finding]:
    """All rules that `draft` breaks, at `path` and below."""
    for needs, rule in RULES:
        if not draft.bad.intersection(needs):
            for found in rule(draft):
                yield Finding((*path, *found.path), found.found, found.expected, found.hint)


def _copies(draft: Draft) -> Iterator[Finding]:
    if draft.app.per_node and "replicas" in draft.given:
        hint = "with per_node the number of nodes decides; leave replicas out"
        yield Finding(("replicas",), "both replicas and per_node", "one of them", hint)
    if draft.app.per_node and draft.app.availability is Availability.HA:
        hint = "a copy of each node's own cannot be replaced elsewhere"
        yield Finding(("per_node",), "per_node with ha", 'availability = "best-effort"', hint)


def _ha_table(draft: Draft) -> Iterator[Finding]:
    ha = draft.app.availability is Availability.HA
    if ha and draft.app.ha is None:
        yield Finding(("ha",), "nothing", 'a table with lost_after, such as ha = { lost_after = "60s" }')
    if not ha and draft.app.ha is not None:
        hint = 'leave it out, or choose availability = "ha"'
        yield Finding(("ha",), 'ha with "best-effort"', "no ha: silence moves nothing", hint)


def _lease(draft: Draft) -> Iterator[Finding]:
    app = draft.app
    if app.ha is None or not app.fenced or lease.lease_for(app.ha.lost_after_ms, app.stop_timeout_ms):
        return
    least = -(-lease.least_lost_after_ms(app.stop_timeout_ms) // 1000) * 1000
    stop = write_duration(app.stop_timeout_ms)
    expected = f'at least "{write_duration(least)}" with overlap = "forbid" and stop_timeout = "{stop}"'
    hint = "a lease of ten seconds must be left after the stop timeout and a margin"
    yield Finding(("ha", "lost_after"), f'"{write_duration(app.ha.lost_after_ms)}"', expected, hint)


def _empty_elsewhere(draft: Draft) -> Iterator[Finding]:
    if draft.app.availability is not Availability.HA:
        return
    for name, volume in draft.app.volumes.items():
        if not volume.empty_elsewhere:
            hint = "a replacement on another node begins without the data: say that it may"
            expected = f"{{ path = {quoted(volume.path)}, empty_elsewhere = true }} with ha"
            yield Finding(("volumes", name), "a volume that does not say empty_elsewhere", expected, hint)


def _volume_paths(draft: Draft) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name, volume in draft.app.volumes.items():
        for other, path in seen.items():
            if f"{volume.path}/".startswith(f"{path}/") or f"{path}/".startswith(f"{volume.path}/"):
                expected = f"a path apart from that of {other}, {quoted(path)}"
                yield Finding(("volumes", name), quoted(volume.path), expected)
        seen[name] = volume.path


def _commands(draft: Draft) -> Iterator[Finding]:
    commands: list[tuple[Path, tuple[str, ...]]] = [(("run", 0), draft.app.run)]
    if draft.app.health is not None and draft.app.health.exec is not None:
        commands.append((("health", "exec", 0), draft.app.health.exec))
    for path, command in commands:
        fault = program_fault(command[0], draft.has_artifact)
        if fault is not None:
            yield Finding(path, quoted(command[0]), *fault)
        if sum(len(word.encode()) for word in command) > BYTES_MAX:
            yield Finding(path[:-1], "a command of more than 64K", "at most 64K in all")


def _health(draft: Draft) -> Iterator[Finding]:
    health = draft.app.health
    if health is None:
        return
    kinds = [kind for kind in ("http", "tcp", "exec") if getattr(health, kind) is not None]
    if len(kinds) != 1:
        yield Finding(("health",), " and ".join(kinds) or "no check", "exactly one of http, tcp and exec")
    if health.timeout_ms > health.every_ms:
        expected = f'at most every = "{write_duration(health.every_ms)}"'
        yield Finding(("health", "timeout"), f'"{write_duration(health.timeout_ms)}"', expected)
    if draft.app.schedule is not None:
        hint = "a scheduled run is well when it exits 0"
        yield Finding(("health",), "health with a schedule", "one of them", hint)


def _restart(draft: Draft) -> Iterator[Finding]:
    asked = "restart" in draft.given and draft.app.restart is Restart.ALWAYS
    if draft.app.schedule is not None and asked:
        hint = "a scheduled run ends, and the next comes at its time"
        yield Finding(("restart",), '"always" with a schedule', '"no" or "on-failure"', hint)


def _files(draft: Draft) -> Iterator[Finding]:
    files = draft.app.files
    total = sum(len(name.encode()) + len(content.encode()) for name, content in files.items())
    if total > BYTES_MAX:
        yield Finding(("files",), f"{total} bytes in all", "at most 64K in all", "put more into an artifact")
    for name in files:
        parts = name.split("/")
        folders = ("/".join(parts[:count]) for count in range(1, len(parts)))
        for folder in folders:
            if folder in files:
                yield Finding(
                    ("files", name), f"a file in {quoted(folder)}", "a folder that is not also a file"
                )


def _env(draft: Draft) -> Iterator[Finding]:
    total = sum(len(name) + len(value.encode()) for name, value in draft.app.env.items())
    if total > BYTES_MAX:
        yield Finding(
            ("env",), f"{total} bytes in all", "at most 64K in all", "put more into files or an artifact"
        )


def _after(draft: Draft) -> Iterator[Finding]:
    if draft.app.name in draft.app.after:
        place = draft.app.after.index(draft.app.name)
        yield Finding(("after", place), "the app itself", "other apps")


def _user(draft: Draft) -> Iterator[Finding]:
    prefix = f"{sandbox.Kind.USER}:"
    for index, word in enumerate(draft.app.sandbox_allow):
        if word.startswith(prefix) and word != f"{prefix}{draft.app.user}":
            expected = f"user = {quoted(word.removeprefix(prefix))}, which asks for it too"
            yield Finding(("sandbox", "allow", index), quoted(word), expected)


def _workdir(draft: Draft) -> Iterator[Finding]:
    folder = draft.app.workdir
    if folder is not None and not folder.startswith("/") and not draft.has_artifact:
        hint = "a relative path is inside the artifact, and this app has none"
        yield Finding(("workdir",), quoted(folder), "an absolute path", hint)


RULES: tuple[tuple[tuple[str, ...], Rule], ...] = (
    (("replicas", "per_node", "availability"), _copies),
    (("availability", "ha"), _ha_table),
    (("ha", "stop_timeout"), _lease),
    (("availability", "volumes"), _empty_elsewhere),
    (("volumes",), _volume_paths),
    (("run", "artifact", "health"), _commands),
    (("health", "schedule"), _health),
    (("restart", "schedule"), _restart),
    (("files",), _files),
    (("env",), _env),
    (("after",), _after),
    (("sandbox", "user"), _user),
    (("workdir", "artifact"), _workdir),
    (("ports",), same_ports),
    (("ports", "publish", "replicas", "place"), published),
    (("sandbox", "publish", "egress"), of_machine),
)
