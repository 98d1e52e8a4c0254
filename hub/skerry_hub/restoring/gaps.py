"""What a rebuilt hub cannot know, or is told in two ways, in lines for the operator who resumes it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from skerry_protocol.app import App, Availability
from skerry_protocol.ids import AppName, NodeId, NodeName, instance_name
from skerry_protocol.messages import AppRevision, Assignment

ALWAYS = (
    "lost with the hub unless you have it elsewhere: apps without a copy on any node, former revisions, people and"
    " their tokens, join tokens, drains and declared deaths, labels given since, events, the region's settings"
)


def gaps(
    held: Mapping[NodeId, Assignment], names: Mapping[NodeId, NodeName], archives: Collection[str]
) -> tuple[str, ...]:
    """`held`: what each node that returned holds. `archives`: the sha256 of those that the hub has."""
    newest = _newest(held.values())
    lines = [ALWAYS]
    for _, entry in sorted(newest.items()):
        lines += _missing(entry.app, held)
        lines += _twice(entry.app, held, names)
        lines += _archives(entry.app, archives)
    lines += _differing(held, names)
    return tuple(lines)


def _newest(held: Iterable[Assignment]) -> dict[AppName, AppRevision]:
    found: dict[AppName, AppRevision] = {}
    for entry in (entry for one in held for entry in one.apps):
        if entry.app.name not in found or found[entry.app.name].revision < entry.revision:
            found[entry.app.name] = entry
    return found


def _missing(app: App, held: Mapping[NodeId, Assignment]) -> Iterator[str]:
    """Copies that are with nobody who has returned: they are made anew, which doubles what is best-effort."""
    if app.per_node:
        return
    here = {copy.number for one in held.values() for copy in one.instances if copy.app == app.name}
    away = [instance_name(app.name, number) for number in range(1, app.replicas + 1) if number not in here]
    if away:
        yield (
            f"{', '.join(away)}: with no node that has returned; once resumed, placed anew"
            f"{'' if app.fenced else ' beside what may still run elsewhere'}"
        )


def _twice(app: App, held: Mapping[NodeId, Assignment], names: Mapping[NodeId, NodeName]) -> Iterator[str]:
    if app.availability is Availability.HA or app.per_node:
        return  # two may be right, or the highest claim wins
    places: dict[int, list[NodeName]] = {}
    for node, one in held.items():
        for copy in one.instances:
            if copy.app == app.name:
                places.setdefault(copy.number, []).append(names[node])
    for number, nodes in sorted(places.items()):
        if len(nodes) > 1:
            yield (
                f"{instance_name(app.name, number)}: on {', '.join(sorted(nodes))}; taking the word of all of them"
                " ends all copies but one"
            )


def _archives(app: App, archives: Collection[str]) -> Iterator[str]:
    lacking = sorted(one.sha256[:12] for one in app.artifacts.values() if one.sha256 not in archives)
    if lacking:
        yield f"{app.name}: its archives are not here ({', '.join(lacking)}): apply a file that has them again"


def _differing(held: Mapping[NodeId, Assignment], names: Mapping[NodeId, NodeName]) -> Iterator[str]:
    """Two contents under one number: from a hub that was put back, or rebuilt, before."""
    seen: dict[tuple[AppName, int], list[tuple[App, NodeName]]] = {}
    for node, one in held.items():
        for entry in one.apps:
            seen.setdefault((entry.app.name, entry.revision), []).append((entry.app, names[node]))
    for (app, revision), known in sorted(seen.items()):
        if any(content != known[0][0] for content, _ in known):
            nodes = ", ".join(sorted(name for _, name in known))
            yield (
                f"{app}: {nodes} hold different contents as revision {revision}; the first that is taken stands,"
                " and the others change to it"
            )
