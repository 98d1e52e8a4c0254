"""What a doctor asks the hub: how it is itself, and how a node looks from here and by its own word."""

from __future__ import annotations

import shutil
import time
from contextlib import aclosing, suppress

import msgspec
from litestar import Router, get
from litestar.params import FromPath

from skerry_netplan.kernel.tunnels import PeerSeen, TunnelError
from skerry_protocol.findings import Finding
from skerry_protocol.ids import NodeId
from skerry_protocol.messages import Ask

from ..clock import now_ms
from ..hub import Hub
from ..model import NodeRow
from ..nats.bus import BusError
from ..network.region import has_part, places
from ..store import rows
from .auth import VIEWER
from .faults import AnyRequest, nothing
from .nodes import views
from .views import HubHealthView, NodeHealthView

ANSWER_S = 8.0  # a node that is there says so every 5 s
FOUND_MAX = 100


@get("/doctor", guards=[VIEWER])
async def hub_health(request: AnyRequest) -> HubHealthView:
    """How the hub is: its clock, its disk, its end of the tunnels, NATS."""
    hub: Hub = request.app.state.hub
    folder = hub.identity.data
    return HubHealthView(
        now_ms=now_ms(),
        free_bytes=shutil.disk_usage(folder).free,
        folder=str(folder),
        store=hub.store.trouble or "",
        backend=hub.tunnel.backend if hub.tunnel is not None else "",
        tunnels=(hub.tunnel.trouble or "") if hub.tunnel is not None else "",
        nats=hub.nats.trouble or hub.bus.probing.trouble or "",
        inside=hub.inside if hub.door is not None else "",
        places=places(hub.door) if hub.door is not None else (),
    )


@get("/nodes/{name:str}/doctor", guards=[VIEWER])
async def node_health(request: AnyRequest, name: FromPath[str]) -> NodeHealthView:
    """How a node looks from the hub, and what it finds when it looks at itself, which may take 20 s."""
    hub: Hub = request.app.state.hub
    async with hub.store.read() as store:
        row = await rows.node(store, name)
        if row is None:
            raise nothing("node", name)
        (view,) = await views(hub, store, row.id)
    peer = await _peer(hub, row)
    found, silent = await _own_word(hub, row.id)
    handshake = peer.handshake if peer is not None else None
    return NodeHealthView(
        node=view,
        tunnel=hub.door is not None and has_part(row),
        peer=peer is not None,
        endpoint=(peer.peer.endpoint or "") if peer is not None else "",
        handshake_ms=None if handshake is None else max(0, int((time.time() - handshake) * 1000)),
        found=found,
        silent=silent,
    )


async def _peer(hub: Hub, row: NodeRow) -> PeerSeen | None:
    """The hub's end of the node's tunnel."""
    if hub.tunnel is not None and row.link_key is not None:
        with suppress(TunnelError):  # the hub's own trouble says so
            return (await hub.tunnel.peers()).get(row.link_key)
    return None


async def _own_word(hub: Hub, node: NodeId) -> tuple[tuple[Finding, ...], str]:
    """What it finds, or why it does not say."""
    try:
        async with aclosing(hub.bus.ask(node, Ask("doctor"), ANSWER_S)) as parts:
            async for part in parts:
                if part.error:
                    return (), part.error
                if part.data is not None:
                    return msgspec.json.decode(part.data, type=tuple[Finding, ...])[:FOUND_MAX], ""
    except BusError as error:
        return (), str(error).replace(f"cannot ask {node}: ", "")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return (), f"its answer cannot be read: {error}"
    return (), "it said nothing"


ROUTER = Router("/api", route_handlers=[hub_health, node_health], tags=["hub"])
