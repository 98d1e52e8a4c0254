"""Short words for rows, shared by the tests of the hub's cores."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import count

from skerry_hub.loops.compile import bounds, content_key
from skerry_hub.loops.scheduler import Schedule, schedule
from skerry_hub.model import AppRow, AssignmentRow, Mesh, NodeRow, NodeState, Placement
from skerry_protocol.app import App, Availability, Ha, OnReturn, Overlap, Place, Resources
from skerry_protocol.codec import encode
from skerry_protocol.ids import AppName, InstanceId, NodeId, NodeName
from skerry_protocol.messages import Assignment, Issued
from skerry_protocol.network import AppNetwork, Port

MESH = Mesh("coast", "north", 1, 1)


def node(name: str, state: NodeState = NodeState.READY, **labels: str) -> NodeRow:
    return NodeRow(NodeId(f"id-{name}"), NodeName(name), b"", labels, "x86_64", 1000, 4000, state)


def nid(name: str) -> NodeId:
    return NodeId(f"id-{name}")


def best_effort(name: str, replicas: int = 1, **more: object) -> App:
    fields = {"run": ("x",), "availability": Availability.BEST_EFFORT, "replicas": replicas, **more}
    return App(AppName(name), **fields)  # type: ignore[arg-type]


def ha(
    name: str,
    overlap: Overlap = Overlap.ALLOW,
    on_return: OnReturn = OnReturn.KEEP_ORIGINAL,
    lost_after_ms: int = 60_000,
    **more: object,
) -> App:
    fields = {
        "run": ("x",),
        "availability": Availability.HA,
        "ha": Ha(lost_after_ms, overlap, on_return),
        **more,
    }
    return App(AppName(name), **fields)  # type: ignore[arg-type]


def row(app: App, revision: int = 1) -> AppRow:
    return AppRow(app.name, revision, app, "mara", "because")


def publishing(name: str, replicas: int = 1, outside: int = 80, **more: object) -> App:
    """A best-effort app whose copies take port `outside`/tcp of their nodes."""
    network = AppNetwork({"main": Port(8000)}, publish={"main": outside})
    return best_effort(name, replicas, network=network, **more)


def gone(name: str, revision: int = 2) -> AppRow:
    return AppRow(AppName(name), revision, None, "mara")


NUMBERS = count(1)


def entropy() -> Callable[[], bytes]:
    """Never the same bytes twice, as of real entropy."""
    return lambda: next(NUMBERS).to_bytes(7, "little")


def placement(instance: str, app: str, number: int, on: str, **more: object) -> Placement:
    return Placement(InstanceId(instance), AppName(app), number, nid(on), "", **more)  # type: ignore[arg-type]


def planned(
    apps: list[AppRow], nodes: list[NodeRow], before: tuple[Placement, ...] = (), **more: object
) -> Schedule:
    """`schedule` with everybody fresh and nothing else going on, unless said otherwise."""
    asked = {
        "claims": (),
        "losses": (),
        "healthy": frozenset(one.instance for one in before),
        "applied_newest": frozenset(one.id for one in nodes),
        "fresh": frozenset(one.id for one in nodes),
        "used": {},
        "now_ms": 0,
        "entropy": entropy(),
        **more,
    }
    return schedule(apps, nodes, before, **asked)  # type: ignore[arg-type]


def where(made: Schedule) -> list[tuple[str, int, str]]:
    return sorted((one.app, one.number, one.node.removeprefix("id-")) for one in made.placements)


def issued_row(assignment: Assignment) -> AssignmentRow:
    """What the sign step stores of an assignment, without a signature."""
    payload = encode(assignment)
    return AssignmentRow(
        node=assignment.node,
        issued=Issued(assignment.version, hashlib.sha256(payload).digest()),
        envelope=payload,
        instances=tuple(one.id for one in assignment.instances),
        copies=assignment.instances,
        content=content_key(assignment),
        since=bounds(assignment.since),
    )


__all__ = ["Availability", "Place", "Resources"]
