"""How the hub and a node are, by what the hub answered: pure. The order is that in which to mend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from skerry_protocol.findings import Finding, Verdict, bad, led_back, ok, unknown

from ..api.views import HubHealthView, NodeHealthView, StatusView
from ..units import write_duration

LITTLE_ROOM = 64 << 20
FAR_OFF_MS = 10_000
STALE_MS = 180_000
"""WireGuard's REJECT_AFTER_TIME; a tunnel that is kept open has a handshake every two minutes."""
LEADS_TO = {
    "nats": ("disk", "tunnels"),
    "node": ("tunnels", "nats", "tunnel"),
    "tunnel": ("tunnels",),
    "assignment": ("node",),
}


def of_hub(status: StatusView, health: HubHealthView, here_ms: int) -> tuple[Finding, ...]:
    """The hub itself. `here_ms`: this machine's clock as the hub answered."""
    found = [_clock(health.now_ms - here_ms), _disk(health), _tunnels(health), _nats(health), _region(status)]
    return tuple(led_back(found, LEADS_TO))


def of_node(health: NodeHealthView, before: Sequence[Finding] = ()) -> tuple[Finding, ...]:
    """A node from outside, then its own findings. `before`: the hub's, which may be the reason."""
    seen = [_member(health), _tunnel(health), _node(health), _assignment(health), *_conditions(health)]
    outside = tuple(led_back([*before, *seen], LEADS_TO))[len(before) :]
    return outside + tuple(_own(health))


def _clock(ahead_ms: int) -> Finding:
    if abs(ahead_ms) < FAR_OFF_MS:
        return ok("clock", f"the hub's is within {FAR_OFF_MS // 1000} s of this machine's")
    which = "ahead of" if ahead_ms > 0 else "behind"
    then = "set the one that is wrong ('timedatectl'): nodes can be refused, and ages are shown wrong"
    return bad("clock", f"the hub's is {_span(abs(ahead_ms))} {which} this machine's", then)


def _disk(health: HubHealthView) -> Finding:
    if health.store:
        return bad("disk", health.store, f"mend the disk of {health.folder} on the hub; it goes on by itself")
    free = f"{health.free_bytes >> 20} MB are free in {health.folder}"
    if health.free_bytes < LITTLE_ROOM:
        return bad("disk", free, "make room on the hub's disk before nothing can be decided any more")
    return ok("disk", free)


def _tunnels(health: HubHealthView) -> Finding:
    if health.tunnels:
        return bad("tunnels", health.tunnels, "do that on the hub's machine: nodes cannot come in meanwhile")
    if not health.backend:
        return ok("tunnels", "this hub has none")
    by = "the kernel's WireGuard" if health.backend == "kernel" else health.backend
    at = f"; nodes come in by {', '.join(health.places)} (UDP)" if health.places else ""
    return ok("tunnels", f"{health.inside} by {by}{at}")


def _nats(health: HubHealthView) -> Finding:
    if health.nats:
        return bad("nats", health.nats, "look at the hub's log, and at the disk that NATS has its store on")
    return ok("nats", "carries messages")


def _region(status: StatusView) -> Finding:
    if status.loud:
        return bad("region", "; ".join(status.loud), "'skerry hub status' says this too; do what it says")
    return ok("region", f"{status.nodes} nodes, {status.silent} of them silent; {status.apps} apps")


def _member(health: NodeHealthView) -> Finding:
    node = health.node
    if node.state == "waiting":
        return bad("member", f"{node.name} waits for approval", f"skerry node approve {node.name}")
    if node.state == "dead":
        then = f"'skerry node undrain {node.name}' takes that word back"
        return bad("member", f"{node.name} was declared dead", then)
    return ok("member", f"{node.name} ({node.id}) is {node.state}")


def _tunnel(health: NodeHealthView) -> Finding:
    if not health.tunnel:
        return ok("tunnel", "it has none")
    if not health.peer:
        return bad(
            "tunnel", "the hub's end does not know it", "look at the hub's log: the tunnel was not made"
        )
    last = "never" if health.handshake_ms is None else f"{_span(health.handshake_ms)} ago"
    seen = f"last handshake {last}" + (f", from {health.endpoint}" if health.endpoint else "")
    fresh = health.handshake_ms is not None and health.handshake_ms < STALE_MS
    if fresh or not health.silent:
        return ok("tunnel", seen)
    then = (
        f"is {health.node.name} switched on, and has it a way out? On it, 'skerry-agent doctor' looks at the way here;"
        " its instances run on meanwhile"
    )
    return bad("tunnel", seen, then)


def _node(health: NodeHealthView) -> Finding:
    silent_ms = health.node.silent_ms
    heard = "not heard since the hub's start" if silent_ms is None else f"heard {_span(silent_ms)} ago"
    if not health.silent:
        return ok("node", f"answers; {heard}")
    then = (
        f"on {health.node.name}: 'systemctl status skerry-agent', 'skerry-agent doctor'; if it will not come back,"
        f" 'skerry node dead {health.node.name}' places its work elsewhere"
    )
    return bad("node", f"{health.silent}; {heard}", then)


def _assignment(health: NodeHealthView) -> Finding:
    node = health.node
    if not node.newest:
        return ok("assignment", "there is none for it yet")
    if node.applied == node.newest:
        return ok("assignment", f"it runs the newest, {node.newest}")
    seen = f"it runs {node.applied or 'none'}, the newest is {node.newest}"
    if node.accepted == node.newest:
        seen += ", which it has accepted"
    then = (
        "'skerry why APP' says what each copy there waits for; a node that is away takes it when it is back"
    )
    return bad("assignment", seen, then)


def _conditions(health: NodeHealthView) -> Iterator[Finding]:
    then = f"'skerry-agent doctor' and 'skerry-agent status' on {health.node.name} say more"
    yield from (bad("condition", text, then) for text in health.node.conditions)


def _own(health: NodeHealthView) -> Iterator[Finding]:
    """By its own word, each check with the node's name."""
    if health.silent:
        yield unknown("its own word", "none: it did not look at itself")
    elif all(one.ok for one in health.found):
        yield ok("its own word", f"all well: {', '.join(one.check for one in health.found)}")
    else:
        yield from (one for one in health.found if one.verdict is not Verdict.OK)


def _span(ms: int) -> str:
    return write_duration(ms // 1000 * 1000)
