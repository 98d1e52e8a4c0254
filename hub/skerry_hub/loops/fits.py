"""Whether an app may be on a node at all: the filters, each with the words that the report uses.

Owns the rules that no load changes: state, names, labels, architecture. How much room there is belongs to `room`.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from skerry_protocol.app import App

from ..model import NodeRow, NodeState

NOT_HEARD = "not heard from in the last 30 s"
SILENT = "silent for a lost_after"


def place_key(app: App) -> str:
    """Names the rules that decide whether a node fits. Equal keys, equal rules; copies keep the key they passed."""
    labels = tuple((key, tuple(values)) for key, values in app.place.labels.items())
    return _key(labels, tuple(app.place.nodes), tuple(app.artifacts))


@lru_cache(4096)  # asked of every copy in every run
def _key(
    labels: tuple[tuple[str, tuple[str, ...]], ...], nodes: tuple[str, ...], archs: tuple[str, ...]
) -> str:
    rules = (sorted((key, tuple(sorted(values))) for key, values in labels), sorted(nodes), sorted(archs))
    return hashlib.sha256(repr(rules).encode()).hexdigest()[:16]


def shut_out(app: App, node: NodeRow) -> str | None:
    """The filter of the app's own rules that turns this node away, or None where it fits."""
    if app.place.nodes and node.name not in app.place.nodes:
        return "nodes " + ", ".join(sorted(app.place.nodes))
    for key in sorted(app.place.labels):
        values = app.place.labels[key]
        if label(node, key) not in values:
            return f"label {key}={'|'.join(sorted(values))}"
    if app.artifacts and app.artifact_for(node.arch) is None:
        return "artifact for arch " + ", ".join(sorted(app.artifacts))
    return None


def turned_away(app: App, node: NodeRow) -> str | None:
    """As `shut_out`, and the node's state comes first: new copies go only to nodes that are ready."""
    if node.state is not NodeState.READY:
        return f"state {node.state.value}"
    return shut_out(app, node)


def label(node: NodeRow, key: str) -> str | None:
    """The node's label; `arch`, `node` and `region` are there without anybody's doing, and by nobody's word others."""
    builtin = {"arch": node.arch, "node": str(node.name), "region": node.region}
    return builtin.get(key) or node.labels.get(key)


def may_leave_data(app: App, node: NodeRow) -> bool:
    """Whether a copy may leave this node by a drain: nothing of its own stays behind, or the operator said so."""
    return node.leave_data or all(volume.empty_elsewhere for volume in app.volumes.values())
