"""Interfaces as they were read: which bridges lead to nothing but guests of the machine itself."""

from __future__ import annotations

from skerry_netplan.kernel.links import LinkSeen, inner

BRIDGE = LinkSeen(5, "docker0", True, 1500, False, kind="bridge")


def member(kind: str | None, bridge: int = 5) -> LinkSeen:
    return LinkSeen(9, "other", True, 1500, False, kind=kind, bridge=bridge)


def test_a_bridge_of_containers_and_virtual_machines_is_an_inner_one_and_so_is_an_empty_one() -> None:
    assert inner([BRIDGE]) == inner([BRIDGE, member("veth"), member("tun")]) == ("docker0",)
    assert inner([BRIDGE, member(None, bridge=0)]) == ("docker0",), "that is in no bridge"


def test_one_that_leads_out_of_the_machine_is_none() -> None:
    for kind in (None, "vlan", "bond", "wireguard"):
        assert inner([BRIDGE, member("veth"), member(kind)]) == (), kind


def test_what_is_no_bridge_is_none_nor_is_a_name_that_would_end_the_rule() -> None:
    assert inner([member("veth", bridge=0), member(None, bridge=0)]) == ()
    assert inner([LinkSeen(5, 'x" accept; "', True, 1500, False, kind="bridge")]) == ()
