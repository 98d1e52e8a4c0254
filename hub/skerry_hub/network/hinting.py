"""Keeps what hints follow from, answers beats with them, and has those nodes beat for whom one changed.

A hint is told when a beat shows that its node does not have it: so nothing has to be sent twice, and nothing is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace

from skerry_netplan.kernel.tunnels import TunnelError
from skerry_netplan.planner import Planner
from skerry_protocol.ids import InstanceId, NodeId
from skerry_protocol.messages import Beat, Hint

from .hints import Seen, hint

LOG = logging.getLogger(__name__)
LOOK_S = 2.0
NODES_A_SECOND = 500  # so many peers' endpoints are read at most


class Hinting:
    """`learn` and `heard` before anything is told. `nudge` asks nodes to beat now. `narrowed` is called when the way to
    a node takes less or more than before.
    """

    def __init__(self, nudge: Callable[[Iterable[NodeId]], None], look_s: float = LOOK_S) -> None:
        self.narrowed: Callable[[], None] = lambda: None
        self._nudge = nudge
        self._look_s = look_s
        self._planner: Planner | None = None
        self._ailing: frozenset[str] = frozenset()
        self._seen: dict[NodeId, Seen] = {}
        self._came: set[NodeId] = set()

    def learn(self, planner: Planner, ailing: Collection[InstanceId]) -> None:
        """What the loops made last, and the copies that are not well."""
        self._planner = planner
        of = {copy.id: copy for copy in planner.region.copies}
        now = frozenset(str(planner.region.address_of(of[one])) for one in ailing if one in of)
        changed = now ^ self._ailing
        self._ailing = now
        nodes = {copy.node for copy in of.values() if str(planner.region.address_of(copy)) in changed}
        self._tell(nodes)
        stay = planner.region.members.keys() | self._came
        self._seen = {node: one for node, one in self._seen.items() if node in stay}
        self._came = set()

    def heard(self, node: NodeId, beat: Beat) -> Hint | None:
        """What the node is to be told with the answer to this beat, if anything."""
        if beat.lan is not None or beat.narrow is not None:
            self._came.add(node)  # perhaps before the loops know that it has a part
            self._said(node, beat)
        if self._planner is None or node not in self._planner.region.members:
            return None
        found = self._hint(node, self._planner)
        return None if found.digest == beat.hint else found

    async def run(self, endpoints: Callable[[], Awaitable[Mapping[bytes, str]]]) -> None:
        """Looks where nodes are, until cancelled."""
        while True:
            members = self._planner.region.members if self._planner is not None else {}
            await asyncio.sleep(self._look_s + len(members) / NODES_A_SECOND)
            if self._planner is None or not self._planner.reaching:
                continue
            try:
                self._look(await endpoints())
            except TunnelError as error:
                LOG.debug("%s", error)  # the tunnel's own look says it aloud

    def _look(self, seen: Mapping[bytes, str]) -> None:
        assert self._planner is not None
        for node, member in self._planner.region.members.items():
            if member.direct_key is not None and member.direct_key in seen:
                self._see(node, replace(self._of(node), outside=seen[member.direct_key]))

    @property
    def narrow(self) -> dict[NodeId, int]:
        """How much the ways to nodes take, where that is less than usual, as those say."""
        return {node: one.narrow for node, one in self._seen.items() if one.narrow}

    def _said(self, node: NodeId, beat: Beat) -> None:
        before = self._of(node)
        lan = before.lan if beat.lan is None else beat.lan
        self._see(node, replace(before, lan=lan))
        narrow = before.narrow if beat.narrow is None else beat.narrow
        if narrow != before.narrow:
            self._seen[node] = replace(self._of(node), narrow=narrow)
            self.narrowed()

    def _see(self, node: NodeId, now: Seen) -> None:
        if self._of(node) != now:
            self._seen[node] = now
            self._tell({node})

    def _of(self, node: NodeId) -> Seen:
        return self._seen.get(node, Seen())

    def _tell(self, nodes: Iterable[NodeId]) -> None:
        """Those who talk to one of these are to ask, and itself: who shares its network follows from where it is."""
        if self._planner is None:
            return
        known = [node for node in nodes if node in self._planner.region.members]
        around = {mate for node in known for mate in (node, *self._planner.mates(node))}
        if around:
            self._nudge(sorted(around))

    def _hint(self, node: NodeId, planner: Planner) -> Hint:
        members = planner.region.members
        others = {members[one].name: self._of(one) for one in planner.mates(node)}
        return hint(planner.plan(node), self._of(node), others, self._ailing)
