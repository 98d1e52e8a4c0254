"""Who has which address on the lab's small internet. Pure.

The hub is directly on it. Nodes are in sites, each behind a router of its own: the first two of a lab share one, and so
a LAN, every other node has its own. Inside, a site has 10.77.S.0/24 and fd77:0:0:S::/64; outside, its router has one
address of 10.78.S.0/24 and of fd78:0:0:S::/64 at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Nat = Literal["open", "cone", "symmetric"]
"""What a router does: nothing, keep one outside port for each inside one, or take another for each destination."""

NORMAL_MTU = 1500
LEAST_MTU = 1280  # IPv6 takes no link below it, RFC 8200
_SHARED = 2  # nodes of the site that has more than one
_OUTSIDES = 250


@dataclass(frozen=True)
class Address:
    """The link of one machine: number 0 is the hub's, nodes are numbered as they were added."""

    number: int

    @property
    def site(self) -> int:
        return 1 if 0 < self.number <= _SHARED else self.number

    @property
    def _last(self) -> int:
        return 2 + self.number - self.site

    @property
    def ipv4(self) -> str:
        return f"10.77.{self.site}.{self._last}"

    @property
    def router4(self) -> str:
        return f"10.77.{self.site}.1"

    @property
    def ipv6(self) -> str:
        return f"fd77:0:0:{self.site:x}::{self._last}"

    @property
    def router6(self) -> str:
        return f"fd77:0:0:{self.site:x}::1"

    @property
    def mac(self) -> str:
        """Fixed, and locally administered."""
        return f"02:53:4b:00:{self.number:02x}:02"


@dataclass(frozen=True)
class Outside:
    """The router of a site, as the internet sees it; `moves`: how often it has got another address."""

    site: int
    moves: int = 0

    @property
    def _last(self) -> int:
        return 2 + self.moves % _OUTSIDES

    @property
    def ipv4(self) -> str:
        return f"10.78.{self.site}.{self._last}"

    @property
    def ipv6(self) -> str:
        return f"fd78:0:0:{self.site:x}::{self._last:x}"

    @property
    def gateway4(self) -> str:
        return f"10.78.{self.site}.1"

    @property
    def gateway6(self) -> str:
        return f"fd78:0:0:{self.site:x}::1"

    @property
    def link(self) -> str:
        """Its name on the internet's side, and its namespace's: no node's name has a dot."""
        return f"site.{self.site}"


def in_site(site: int) -> tuple[Address, ...]:
    """All that may be in it, whether they are there or not."""
    return tuple(Address(number) for number in range(1, site + 1 + _SHARED) if Address(number).site == site)
