"""A region → one plan for each node, and what could not be planned. No node's plan depends on the order of anything.

A node is told of what its own instances reach, and of what reaches them: so a change of one app changes the plans of
the nodes around it and of no other. `Planner` reads a region once; a plan is then made for one node at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network
from typing import TypeVar

from skerry_protocol.ids import AppName, NodeId
from skerry_protocol.network import AppNetwork, CopyAt, Mate, Neighbour, Network

from .address import CACHE
from .model import Copy, Region

SAYS_NOTHING = AppNetwork()
Key = TypeVar("Key")


@dataclass(frozen=True)
class Missing:
    """`app` is to reach `reaches`, and nothing of that name runs in the region."""

    app: AppName
    reaches: AppName

    def __str__(self) -> str:
        return f"{self.app} reaches {self.reaches}, but the region has no app of that name"


class Planner:
    """Plans for the nodes of one region, as it was at one moment."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self._on: Mapping[NodeId, list[Copy]] = _grouped(region.copies, lambda copy: copy.node)
        self._of: Mapping[AppName, list[Copy]] = _grouped(region.copies, lambda copy: copy.app)
        self._reached_by = _reached_by(region.apps)
        self._neighbours: dict[AppName, Neighbour] = {}
        self._mate: dict[NodeId, Mate] = {}
        self._whole, self._part = str(region.addresses.whole), str(region.addresses.region)

    def plan(self, node: NodeId) -> Network:
        """The plan of a member. Raises KeyError for a node that is none."""
        region, own = self.region, self._on.get(node, [])
        around = sorted(self._around({copy.app for copy in own}))
        return Network(
            whole=self._whole,
            region=self._part,
            node=_text(region.network_of(node)),
            hubs=region.hubs,
            mates=tuple(map(self._as_mate, self._beyond(node, around))),
            addresses={
                copy.id: _text(region.address_of(copy))
                for copy in sorted(own, key=lambda copy: copy.id)
                if not copy.host
            },
            neighbours=tuple(self._neighbour(app) for app in around),
        )

    def mates(self, node: NodeId) -> tuple[NodeId, ...]:
        """The nodes that a node's instances talk to or hear from. What it is to one, that one is to it."""
        return self._beyond(node, self._around({copy.app for copy in self._on.get(node, ())}))

    @property
    def reaching(self) -> bool:
        """Whether any app reaches another at all."""
        return bool(self._reached_by)

    def missing(self) -> tuple[Missing, ...]:
        """What is to be reached and is not there, by app and name."""
        return missing(self.region.apps)

    def _around(self, apps: Iterable[AppName]) -> set[AppName]:
        """What these apps reach, and what reaches them, as far as it is there."""
        found: set[AppName] = set()
        for app in apps:
            found.update(self._said(app).reaches, self._reached_by.get(app, ()))
        return {app for app in found if app in self.region.apps}

    def _beyond(self, node: NodeId, around: Iterable[AppName]) -> tuple[NodeId, ...]:
        others = {copy.node for app in around for copy in self._of.get(app, ())} - {node}
        members = self.region.members
        return tuple(sorted(others, key=lambda other: members[other].number))

    def _as_mate(self, node: NodeId) -> Mate:
        if node not in self._mate:
            member = self.region.members[node]
            self._mate[node] = Mate(member.name, _text(self.region.network_of(node)), member.direct_key)
        return self._mate[node]

    def _neighbour(self, app: AppName) -> Neighbour:
        if app not in self._neighbours:
            # A set, because two of one number that share their node's address are one answer, not two.
            copies = sorted({(copy.number, self.region.address_of(copy)) for copy in self._of.get(app, ())})
            said = self._said(app)
            self._neighbours[app] = Neighbour(
                app,
                tuple(CopyAt(number, _text(address)) for number, address in copies),
                dict(sorted(said.ports.items())),
                tuple(sorted(said.reaches)),
            )
        return self._neighbours[app]

    def _said(self, app: AppName) -> AppNetwork:
        return self.region.apps.get(app, SAYS_NOTHING)


@lru_cache(maxsize=CACHE)
def _text(one: IPv6Address | IPv6Network) -> str:
    return str(one)


def missing(apps: Mapping[AppName, AppNetwork]) -> tuple[Missing, ...]:
    """What these apps, all of a region, are to reach and is not there, by app and name."""
    pairs = sorted((app, other) for app, said in apps.items() for other in said.reaches)
    return tuple(Missing(app, other) for app, other in pairs if other not in apps)


def _reached_by(apps: Mapping[AppName, AppNetwork]) -> dict[AppName, set[AppName]]:
    found: dict[AppName, set[AppName]] = defaultdict(set)
    for app, said in apps.items():
        for other in said.reaches:
            found[other].add(app)
    return found


def _grouped(copies: Iterable[Copy], key: Callable[[Copy], Key]) -> dict[Key, list[Copy]]:
    found: dict[Key, list[Copy]] = defaultdict(list)
    for copy in copies:
        found[key(copy)].append(copy)
    return found
