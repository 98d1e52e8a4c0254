"""How the hub and a node are, by answers made by hand."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from skerry_hub.api.views import HubHealthView, NodeHealthView, NodeView, StatusView
from skerry_hub.cli.judging import of_hub, of_node
from skerry_protocol.findings import Finding, Verdict, bad, ok

STATUS = StatusView("acme", "north", 1, 1, nodes=3, silent=0, apps=2)
HUB = HubHealthView(1_000_000, 1 << 30, "/var/lib/skerry-hub", backend="kernel", inside="fd00::1")
NODE = NodeHealthView(
    NodeView("nabc", "n1", "ready", 4_000, {}, "", 2, newest="1.1.7", accepted="1.1.7", applied="1.1.7"),
    tunnel=True, peer=True, endpoint="192.0.2.7:50000", handshake_ms=30_000, found=(ok("disk", "well"),),
)  # fmt: skip
AWAY = replace(NODE, silent="it is not connected", found=())


def ill(found: tuple[Finding, ...]) -> list[Finding]:
    bads = [one for one in found if one.verdict is Verdict.BAD]
    assert all(one.then for one in bads)
    return bads


def test_all_is_well() -> None:
    assert all(one.ok for one in (*of_hub(STATUS, HUB, 1_000_000), *of_node(NODE)))


@pytest.mark.parametrize(
    ("check", "health", "status", "word"),
    [
        ("clock", replace(HUB, now_ms=100_000_000), STATUS, "ahead of this machine's"),
        ("clock", replace(HUB, now_ms=0), STATUS, "behind this machine's"),
        ("disk", replace(HUB, store="the disk is full"), STATUS, "the disk is full"),
        ("disk", replace(HUB, free_bytes=1 << 20), STATUS, "1 MB are free in /var/lib/skerry-hub"),
        ("tunnels", replace(HUB, tunnels="no WireGuard"), STATUS, "no WireGuard"),
        ("nats", replace(HUB, nats="it ended"), STATUS, "it ended"),
        ("region", HUB, replace(STATUS, loud=("STORM BRAKE: all silent",)), "STORM BRAKE"),
    ],
)
def test_one_fault_of_the_hub(check: str, health: HubHealthView, status: StatusView, word: str) -> None:
    (one,) = ill(of_hub(status, health, 1_000_000))
    assert one.check == check
    assert word in one.seen


@pytest.mark.parametrize(
    ("check", "health", "word"),
    [
        ("member", replace(NODE, node=replace(NODE.node, state="waiting")), "skerry node approve n1"),
        ("member", replace(NODE, node=replace(NODE.node, state="dead")), "skerry node undrain n1"),
        ("tunnel", replace(NODE, peer=False), "the hub's log"),
        ("node", AWAY, "systemctl status skerry-agent"),
        (
            "assignment",
            replace(NODE, node=replace(NODE.node, applied="1.1.6")),
            "runs 1.1.6, the newest is 1.1.7",
        ),
        ("condition", replace(NODE, node=replace(NODE.node, conditions=("disk: full",))), "disk: full"),
        ("clock", replace(NODE, found=(bad("clock", "a day behind", "set it"),)), "a day behind"),
    ],
)
def test_one_fault_of_a_node(check: str, health: NodeHealthView, word: str) -> None:
    (one,) = ill(of_node(health))
    assert one.check == check
    assert word in f"{one.seen}; {one.then}"


@pytest.mark.parametrize("handshake_ms", [None, 600_000])
def test_a_node_whose_tunnel_is_dead_too(handshake_ms: int | None) -> None:
    tunnel, node = ill(of_node(replace(AWAY, handshake_ms=handshake_ms)))
    assert "switched on" in tunnel.then
    assert node.after == "tunnel"


def test_a_tunnel_that_carried_nothing_lately_is_well_if_the_node_answers() -> None:
    assert not ill(of_node(replace(NODE, handshake_ms=None)))


def test_a_hub_without_tunnels_is_the_reason_for_a_node_that_is_away() -> None:
    before = of_hub(STATUS, replace(HUB, tunnels="no WireGuard"), 1_000_000)
    (node,) = ill(of_node(AWAY, before))
    assert node.after == "tunnels"


def test_a_node_that_has_never_been_given_anything_is_well() -> None:
    empty = replace(NODE.node, newest="", accepted="", applied="", silent_ms=None)
    assert not ill(of_node(replace(NODE, node=empty)))
