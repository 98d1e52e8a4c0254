"""Whether an assignment makes sense in itself, whoever signed it. Pure.

Owns the second line behind the signature: names become unit names and paths on this machine, so each is checked here
again, and a fenced copy without its claim or lease is never run. Must say all faults, bounded, in words for people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from skerry_protocol.app import App
from skerry_protocol.ids import INSTANCE_ID, instance_name, is_name
from skerry_protocol.lease import lease_for
from skerry_protocol.messages import AppRevision, Assignment, Instance

SHOWN = 8
NUMBER_MAX = 999_999
HEX = frozenset("0123456789abcdef")


def faults(offer: Assignment) -> tuple[str, ...]:
    """What is wrong with the content, at most SHOWN sentences; empty where all is well."""
    found = [*_lists(offer), *_instances(offer)]
    for entry in offer.apps:
        found += _app(entry.app)
    more = [f"and {len(found) - SHOWN} faults more"] if len(found) > SHOWN else []
    return tuple(found[:SHOWN] + more)


def _twice(names: list[str], what: str) -> Iterator[str]:
    yield from (f"{what} {name} is there twice" for name, count in Counter(names).items() if count > 1)


def _lists(offer: Assignment) -> Iterator[str]:
    yield from _twice([instance.id for instance in offer.instances], "instance")
    yield from _twice([instance_name(one.app, one.number) for one in offer.instances], "copy")
    yield from _twice([f"{entry.app.name} revision {entry.revision}" for entry in offer.apps], "app")
    both = {instance.id for instance in offer.instances} & set(offer.removed)
    yield from (f"instance {name} is both there and removed" for name in sorted(both))


def _instances(offer: Assignment) -> Iterator[str]:
    revisions = {(entry.app.name, entry.revision): entry for entry in offer.apps}
    for instance in offer.instances:
        entry = revisions.get((instance.app, instance.revision))
        yield from _names(instance)
        if entry is None:
            yield f"{instance.id} is at revision {instance.revision} of {instance.app}, which is missing"
        else:
            yield from _fence(instance, entry)


def _names(instance: Instance) -> Iterator[str]:
    well = is_name(instance.app) and 0 <= instance.number <= NUMBER_MAX
    prefix = f"{instance_name(instance.app, instance.number)}-"
    if not well or INSTANCE_ID.fullmatch(instance.id) is None or not instance.id.startswith(prefix):
        yield f"{instance.id!r} is no id for copy {instance.number} of {instance.app!r}"


def _fence(instance: Instance, entry: AppRevision) -> Iterator[str]:
    app = entry.app
    if not app.fenced:
        if instance.claim is not None or instance.lease is not None:
            yield f"{instance.id} has a claim or a lease, but {app.name} allows overlap"
        return
    if instance.claim is None or instance.claim < 1:
        yield f"{instance.id} has no claim, but {app.name} forbids overlap"
    assert app.ha is not None
    due = lease_for(app.ha.lost_after_ms, app.stop_timeout_ms)
    if due is None or instance.lease != due:
        yield f"{instance.id} has lease {_told(instance)}, but {app.name}'s times give {due and due.length_ms} ms"


def _told(instance: Instance) -> str:
    return "none" if instance.lease is None else f"{instance.lease.length_ms} ms"


def _app(app: App) -> Iterator[str]:
    if not is_name(app.name):
        yield f"{app.name!r} is no name for an app"
    yield from (f"{app.name}: {name!r} is no name for a volume" for name in app.volumes if not is_name(name))
    if not app.run or not app.run[0]:
        yield f"{app.name} has nothing to run"
    if app.stop_timeout_ms < 0:
        yield f"{app.name} has a negative stop timeout"
    for artifact in app.artifacts.values():
        if len(artifact.sha256) != 64 or not set(artifact.sha256) <= HEX:
            yield f"{app.name}: {artifact.sha256[:80]!r} is no sha256"
