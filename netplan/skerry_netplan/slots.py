"""Which IPv4 address an instance has towards the internet: a slot of a small range that is the same on every node.

Nobody but its own machine sees it, so each machine chooses by itself, and keeps what it chose: an address that changed
would end connections.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network

from skerry_protocol.ids import InstanceId

RANGE = IPv4Network("100.127.240.0/20")
"""Of the shared address space (RFC 6598)."""
FIRST, MANY = 1, RANGE.num_addresses - 2


class NoSlot(RuntimeError):
    """More instances than the range has addresses."""


def slots(
    instances: Iterable[InstanceId], before: Mapping[InstanceId, int], used: Iterable[IPv4Network] = ()
) -> dict[InstanceId, int]:
    """A slot for each: the one it had `before`, else one that none of them has. Raises NoSlot.

    `used`: networks that the machine itself is in. Who has an address there, perhaps its gateway, is to stay reachable:
    a new slot is one of theirs only where all others are taken.
    """
    wanted = sorted(set(instances))
    if len(wanted) > MANY:
        raise NoSlot(f"{len(wanted)} instances need an IPv4 address, and {RANGE} has {MANY}")
    found: dict[InstanceId, int] = {}
    for one in wanted:
        if (slot := before.get(one)) is not None and 0 <= slot < MANY and slot not in found.values():
            found[one] = slot
    taken, others = set(found.values()), _within(used)
    for one in wanted:
        if one not in found:
            found[one] = _free(one, taken | others if len(taken | others) < MANY else taken)
            taken.add(found[one])
    return found


def address(slot: int) -> IPv4Address:
    """The address of a slot."""
    return RANGE[FIRST + slot]


def _within(networks: Iterable[IPv4Network]) -> set[int]:
    """The slots whose addresses are in one of these."""
    first = int(address(0))
    ends = [(int(one[0]) - first, int(one[-1]) - first) for one in networks]
    return {slot for low, high in ends for slot in range(max(0, low), min(MANY - 1, high) + 1)}


def _free(instance: InstanceId, taken: set[int]) -> int:
    slot = int.from_bytes(hashlib.sha256(instance.encode()).digest()[:4], "big") % MANY
    while slot in taken:
        slot = (slot + 1) % MANY
    return slot
