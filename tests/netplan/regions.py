"""Regions made up for tests: by hand, and any that hypothesis can think of."""

from __future__ import annotations

import hashlib

from hypothesis import strategies as st

from skerry_netplan.address import UniqueLocal, hub_address, instance_address, node_address, node_network
from skerry_netplan.model import Copy, Member, Region
from skerry_protocol.ids import AppName, NodeId, NodeName, instance_id
from skerry_protocol.network import AppNetwork, HubAt, Port

ADDRESSES = UniqueLocal(bytes.fromhex("0102030405"), 1)
HUB = HubAt(b"h" * 32, str(hub_address(ADDRESSES.region)), ("hub.example:51820",))
DB, WEB, LOG = AppName("db"), AppName("web"), AppName("log")


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def member(number: int, direct: bool = True) -> Member:
    return Member(
        NodeId(f"id{number}"),
        NodeName(f"n{number}"),
        number,
        key(number + (1 << 30)),
        key(number) if direct else None,
    )


def copy(app: str, number: int, node: int, host: bool = False) -> Copy:
    entropy = hashlib.sha256(f"{app} {number} {node}".encode()).digest()
    return Copy(instance_id(AppName(app), number, entropy), AppName(app), number, NodeId(f"id{node}"), host)


def at(copy: Copy) -> str:
    """A copy's address."""
    node = node_network(ADDRESSES.region, int(copy.node.removeprefix("id")))
    return str(node_address(node) if copy.host else instance_address(node, copy.id))


def says(*reaches: str, **ports: int) -> AppNetwork:
    """What an app says of the network."""
    return AppNetwork({name: Port(number) for name, number in ports.items()}, tuple(map(AppName, reaches)))


def region(members: int | list[Member], *copies: Copy, **apps: AppNetwork) -> Region:
    """`members`: how many, or which."""
    found = [member(number) for number in range(1, members + 1)] if isinstance(members, int) else members
    named = {AppName(name): one for name, one in apps.items()}
    return Region(ADDRESSES, (HUB,), {one.id: one for one in found}, copies, named)


@st.composite
def regions(draw: st.DrawFn) -> Region:
    """Up to six nodes with numbers of their own, up to five apps of which any may reach any, and one that is not.

    Of one app some copies may be on their nodes' own networks, some not: an app changes, and not everywhere at once.
    """
    numbers = draw(st.lists(st.integers(1, (1 << 24) - 1), min_size=1, max_size=6, unique=True))
    members = [member(number, direct=draw(st.booleans())) for number in numbers]
    names = draw(st.lists(st.sampled_from("abcde"), max_size=5, unique=True))
    copies: list[Copy] = []
    for app in names:
        on = draw(st.lists(st.sampled_from(numbers), max_size=3))
        copies += [copy(app, number, node, host=draw(st.booleans())) for number, node in enumerate(on, 1)]
    reached = st.lists(st.sampled_from("abcdez"), max_size=4, unique=True)
    apps = {app: says(*draw(reached), main=draw(st.integers(1, 65535))) for app in names}
    return region(members, *draw(st.permutations(copies)), **apps)
