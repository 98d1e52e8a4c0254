"""Whether the hub answered where the plan says that it is. Owns since when its tunnel ends there.

While a tunnel's session lives, WireGuard follows a hub to wherever it sends from. So under a plan that names a wrong
place beats may be answered all the same, until the hub has nothing to send any more: such an answer is no proof. One
is, where its beat was sent while the tunnel ended at one of the plan's endpoints, and it still does afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping

from skerry_netplan.kernel.tunnels import PeerSeen

from .records import Plan, Reached
from .seeking import Resolve, literal


class Proof:
    """Order of calls: `look` after each look at the kernel, and before `proves` once more."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._resolved: dict[str, str] = {}
        self._way = ""
        self._since_ms: int | None = None

    async def resolve(self, endpoint: str) -> str | None:
        """As it was given to this, and remembered."""
        found = await self._resolve(endpoint)
        if found is not None:
            self._resolved[endpoint] = found
        return found

    def look(self, plan: Plan, seen: Mapping[bytes, PeerSeen], now_ms: int) -> None:
        """The peers of the tunnel to the hub as they are now (CLOCK_BOOTTIME), under this plan."""
        hub = plan.network.hubs[0]
        named = {literal(text) or self._resolved.get(text) for text in hub.endpoints} - {None}
        if hub.key not in seen or seen[hub.key].peer.endpoint not in named:
            self._since_ms = None
        elif self._since_ms is None or plan.way != self._way:
            self._since_ms = now_ms
        self._way = plan.way

    def proves(self, answered: Reached | None) -> bool:
        """Whether this answer came from where the way in use leads. `answered` was read before the last look."""
        if answered is None or self._since_ms is None:
            return False
        return answered.way == self._way and answered.at_ms >= self._since_ms
