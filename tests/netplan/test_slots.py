from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_netplan.slots import MANY, RANGE, NoSlot, address, slots
from skerry_protocol.ids import InstanceId

IDS = st.lists(st.text("abc", min_size=1, max_size=3).map(InstanceId), max_size=20)


@given(IDS, IDS)
def test_each_has_one_of_its_own_and_keeps_it(first: list[InstanceId], then: list[InstanceId]) -> None:
    before = slots(first, {})
    after = slots([*first, *then], before)
    assert set(after) == {*first, *then}
    assert len(set(after.values())) == len(after)
    assert before.items() <= after.items()


@given(
    IDS, st.dictionaries(st.text("abc", min_size=1, max_size=3).map(InstanceId), st.integers(-5, MANY + 5))
)
def test_whatever_was_kept_before(instances: list[InstanceId], before: dict[InstanceId, int]) -> None:
    found = slots(instances, before)
    assert len(set(found.values())) == len(found) == len(set(instances))
    assert all(address(slot) in RANGE for slot in found.values())


def test_no_slot_is_the_networks_own() -> None:
    assert str(address(0)) == "100.127.240.1"
    assert str(address(MANY - 1)) == "100.127.255.254"


def test_too_many_are_said() -> None:
    full = [InstanceId(str(number)) for number in range(MANY)]
    assert len(set(slots(full, {}).values())) == MANY
    with pytest.raises(
        NoSlot, match=r"4095 instances need an IPv4 address, and 100\.127\.240\.0/20 has 4094"
    ):
        slots([*full, InstanceId("one more")], {})


@given(IDS, st.integers(20, 32), st.integers(0, MANY))
def test_new_ones_keep_out_of_the_machines_own_networks_while_there_is_room(
    instances: list[InstanceId], bits: int, at: int
) -> None:
    own = IPv4Network(f"{address(min(at, MANY - 1))}/{bits}", strict=False)
    found = slots(instances, {}, [own, IPv4Network("192.0.2.0/24"), IPv4Network("128.0.0.0/1")])
    assert len(set(found.values())) == len(set(instances))
    assert bits == RANGE.prefixlen or all(address(slot) not in own for slot in found.values())
    assert slots(instances, found, [RANGE]) == found, "an address that changed would end connections"
