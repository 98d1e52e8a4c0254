from ipaddress import IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_netplan.address import (
    NoAddress,
    instance_address,
    mesh_network,
    node_address,
    node_network,
    region_network,
)
from skerry_protocol.ids import InstanceId

WEB = InstanceId("web-1-abcdefghij")
MESH = mesh_network(bytes.fromhex("0102030405"))


def test_a_mesh_is_a_unique_local_48() -> None:
    assert str(MESH) == "fd01:203:405::/48"


def test_the_documented_example() -> None:
    region = region_network(MESH, 1)
    node = node_network(region, 7)
    assert region == IPv6Network("fd01:203:405:100::/56")
    assert node == IPv6Network("fd01:203:405:100:7::/80")
    assert str(node_address(node)) == "fd01:203:405:100:7::1"
    assert str(instance_address(node, WEB)) == "fd01:203:405:100:7:f003:bd07:433f"


@given(st.integers(0, 255), st.integers(0, (1 << 24) - 1), st.integers())
def test_every_part_lies_in_its_whole(region: int, node: int, tail: int) -> None:
    a_region = region_network(MESH, region)
    a_node = node_network(a_region, node)
    assert a_region.subnet_of(MESH)
    assert a_node.subnet_of(a_region)
    address = instance_address(a_node, InstanceId(f"web-1-{tail}"))
    assert address in a_node
    assert address not in (a_node[0], node_address(a_node))


@given(
    st.tuples(st.integers(0, 255), st.integers(0, 999)), st.tuples(st.integers(0, 255), st.integers(0, 999))
)
def test_different_numbers_never_overlap(one: tuple[int, int], other: tuple[int, int]) -> None:
    first = node_network(region_network(MESH, one[0]), one[1])
    second = node_network(region_network(MESH, other[0]), other[1])
    assert first.overlaps(second) == (one == other)


def test_numbers_without_room_are_refused() -> None:
    with pytest.raises(NoAddress, match="room for 256"):
        region_network(MESH, 256)
    with pytest.raises(NoAddress, match="16777216"):
        node_network(region_network(MESH, 0), 1 << 24)
    with pytest.raises(NoAddress, match="5 bytes"):
        mesh_network(b"1234")
