"""The node's network as data: what skerry-net says of it, and what became of the newest plan. Changes nothing."""

from __future__ import annotations

from ipaddress import IPv6Network

from msgspec import Struct, field

from skerry_netplan.address import node_address

from ..network.telling import Telling
from ..network.wanted import NOT_RUNNING


class NetworkView(Struct, frozen=True):
    """`address`: the node's own in the mesh. `backend`: "kernel" or "wireguard-go"; empty: nothing is known of it.

    `trial_ms_left`: for how long the hub may take to answer under the newest plan; None: it is not on trial.
    `taken_back`: why the newest plan was; `held`: it is not tried again. `trouble`: what is wrong now.
    `mates`: the nodes that apps here talk to → where the direct tunnel ends; empty: the way leads through the hub.
    `narrow`: how much the way to the hub takes (bytes of a packet inside), where that is less than usual; 0: as much.
    """

    address: str
    backend: str = ""
    trial_ms_left: int | None = None
    taken_back: str = ""
    held: bool = False
    trouble: str = ""
    mates: dict[str, str] = field(default_factory=dict)
    narrow: int = 0


def network(telling: Telling, boottime_ms: int) -> NetworkView | None:
    """None where this node has no network of the mesh."""
    plan = telling.plan()
    if plan is None:
        return None
    said, standing = telling.status(), telling.standing()
    failed, trial = standing.failed, standing.trial
    return NetworkView(
        address=_address(plan.network.node),
        backend=said.backend if said else "",
        trial_ms_left=max(0, trial.until_ms - boottime_ms) if trial else None,
        taken_back=failed.reason if failed else "",
        held=failed.held if failed else False,
        trouble=said.trouble if said else NOT_RUNNING,
        mates={str(name): at for name, at in said.mates.items()} if said else {},
        narrow=said.narrow if said else 0,
    )


def _address(network: str) -> str:
    try:
        return str(node_address(IPv6Network(network)))
    except (ValueError, IndexError):
        return f"no address in {network!r}"
