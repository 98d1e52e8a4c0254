"""Measurements made by hand, and what is to be said of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skerry_agent.doctor.judging import AGENT, LEADS_TO, NET, judge
from skerry_agent.doctor.measured import Agent, Disk, Https, HubInside, Link, Measured, Service, Way
from skerry_agent.network.wanted import NOT_RUNNING
from skerry_protocol.findings import Finding, Verdict

HUB = HubInside("fd00::1", "192.0.2.1:51820", 20.0, heard=True, answered=frozenset({56, 1280, 1420}))
SILENT = replace(HUB, heard=False, answered=frozenset())
WELL = Measured(
    member="n1 (nabc), mesh acme, region north",
    systemd="",
    services=(Service(NET, "active"), Service(AGENT, "active")),
    disks=(Disk("/var/lib/skerry", 1 << 30), Disk("/run/skerry", 1 << 27)),
    damaged=(),
    net="",
    link=Link("kernel", 1420, True),
    firewall="",
    names=(("hub.example", "192.0.2.1"),),
    https=Https("hub.example:7443", ahead_s=0.4),
    hubs=(HUB,),
    nats="",
    agent=Agent(),
)
CHECKS = [
    "joined", "systemd", "disk", "records", "skerry-net", "tunnel", "firewall", "name", "https", "clock", "udp",
    "inside", "mtu", "nats", "agent",
]  # fmt: skip


def found(measured: Measured) -> dict[str, Finding]:
    return {one.check: one for one in judge(measured)}


def test_a_narrow_path_that_is_kept_to_is_well() -> None:
    narrow = replace(HUB, answered=frozenset({56, 1280, 1300}))
    kept = found(replace(WELL, link=Link("kernel", 1420, True, narrow=1300), hubs=(narrow,)))["mtu"]
    assert (kept.ok, kept.seen) == (True, "1300 bytes pass, and no more is sent: the path takes no 1420")
    assert not found(replace(WELL, link=Link("kernel", 1420, True, narrow=1340), hubs=(narrow,)))["mtu"].ok


def test_where_a_way_is_not_direct_it_is_said_why_and_nothing_is_bad() -> None:
    ways = (
        Way("n2", "192.0.2.7:51821"),
        Way("n3", tried=("192.0.2.8:4000", "192.0.2.9:4001")),
        Way("n4"),
        Way("n5", takes=False, tried=("192.0.2.8:4000",)),
    )
    finding = found(replace(WELL, ways=ways))["direct"]
    assert finding.ok
    to = [one.partition(" (")[0] for one in finding.seen.split("; to ")]
    assert to == [
        "to n2 directly, at 192.0.2.7:51821",
        "n3 through the hub: nothing has come back yet from 192.0.2.8:4000, 192.0.2.9:4001",
        "n4 through the hub: the hub has not seen yet where its direct tunnels end",
        "n5 through the hub: it takes no direct tunnels",
    ]
    assert "another port for each destination" in finding.seen


def test_all_is_well_in_the_order_of_mending() -> None:
    assert [one.check for one in judge(WELL)] == CHECKS
    assert all(one.ok for one in judge(WELL))


ONE_BAD = [
    ("systemd", replace(WELL, systemd="it hangs"), "it hangs"),
    ("disk", replace(WELL, disks=None), "dmesg"),
    ("disk", replace(WELL, disks=(Disk("/var/lib/skerry", 63 << 20),)), "63 MB are free in /var/lib/skerry"),
    ("disk", replace(WELL, disks=(Disk("/run/skerry", 3 << 20),)), "make room"),
    (
        "disk",
        replace(WELL, disks=(Disk("/run/skerry", fault="cannot be written"),)),
        "findmnt -T /run/skerry",
    ),
    ("records", replace(WELL, damaged=("accepted is damaged",)), "accepted is damaged"),
    ("skerry-net", replace(WELL, services=(Service(NET, "failed"),)), f"systemctl restart {NET}"),
    ("skerry-net", replace(WELL, net="skerry-net: no nft"), "no nft"),
    ("skerry-net", replace(WELL, net=NOT_RUNNING), f"systemctl restart {NET}"),
    ("tunnel", replace(WELL, link=Link("kernel", 1420, up=False)), "is down"),
    ("firewall", replace(WELL, firewall="the table is gone"), f"systemctl restart {NET}"),
    ("name", replace(WELL, names=(("hub.example", None),)), "resolvectl"),
    ("name", replace(WELL, names=()), "no hub is known"),
    ("https", replace(WELL, https=Https(fault="hub: no answer")), "TCP port is shut"),
    ("https", replace(WELL, https=Https(fault="hub: Connection refused")), "systemctl status skerry-hub"),
    ("https", replace(WELL, https=Https(fault="hub: another key", wrong=True)), "another machine answers"),
    ("clock", replace(WELL, https=Https("hub", ahead_s=3700.0)), "62 min ahead of the hub's"),
    ("clock", replace(WELL, https=Https("hub", ahead_s=-86400.0 * 4000)), "4000 days behind the hub's"),
    ("udp", replace(WELL, hubs=(SILENT,)), "let UDP to port 51820 of the hub pass"),
    ("inside", replace(WELL, hubs=(replace(HUB, answered=frozenset()),)), "skerry-hub"),
    (
        "mtu",
        replace(WELL, hubs=(replace(HUB, answered=frozenset({56, 1280})),)),
        "1280 bytes pass, 1420 do not",
    ),
    ("mtu", replace(WELL, hubs=(replace(HUB, answered=frozenset({56})),)), "not even 1280"),
    ("nats", replace(WELL, nats="no answer"), "skerry hub status"),
    ("agent", replace(WELL, services=(Service(AGENT, "inactive"),)), f"systemctl start {AGENT}"),
    ("agent", replace(WELL, agent=None), f"systemctl restart {AGENT}"),
    ("agent", replace(WELL, agent=Agent(fault="the agent is silent")), "the agent is silent"),
    ("agent", replace(WELL, agent=Agent(hub="no NATS")), "no NATS"),
    ("agent", replace(WELL, agent=Agent(conditions=("policy: damaged",))), "policy: damaged"),
]


@pytest.mark.parametrize(("check", "measured", "word"), ONE_BAD)
def test_one_fault_is_one_bad_check(check: str, measured: Measured, word: str) -> None:
    ill = [one for one in judge(measured) if one.verdict is Verdict.BAD]
    assert [one.check for one in ill] == [check]
    assert word in f"{ill[0].seen}; {ill[0].then}"
    assert ill[0].then
    assert not ill[0].after


def test_nothing_of_the_hub_answers() -> None:
    cut = found(replace(WELL, https=Https(fault="hub: no answer"), hubs=(SILENT,), nats="no answer"))
    assert "this machine's own way out" in cut["https"].then
    assert "mend this machine's way out first" in cut["udp"].then
    assert cut["udp"].seen == "nothing comes back from 192.0.2.1:51820, last handshake 20 s ago"
    assert {check: cut[check].verdict for check in ("clock", "inside", "mtu")} == dict.fromkeys(
        ("clock", "inside", "mtu"), Verdict.UNKNOWN
    )
    assert cut["nats"].after == "udp"


def test_without_a_tunnel_nothing_is_said_of_the_way_through_it() -> None:
    gone = replace(
        WELL,
        services=(Service(NET, "inactive"),),
        link=Link(fault="no interface"),
        hubs=(HubInside("fd00::1"),),
    )
    seen = found(gone)
    assert seen["tunnel"].after == "skerry-net"
    assert {seen[check].verdict for check in ("udp", "inside", "mtu")} == {Verdict.UNKNOWN}


def test_a_hub_that_is_no_peer_is_a_fault_of_the_tunnel() -> None:
    (ill,) = (one for one in judge(replace(WELL, hubs=(HubInside("fd00::1"),))) if one.verdict is Verdict.BAD)
    assert (ill.check, ill.seen) == ("tunnel", "the hub is not in it (the kernel's WireGuard)")


def test_of_two_hubs_one_that_answers_is_enough() -> None:
    assert found(replace(WELL, hubs=(SILENT, HUB)))["udp"].ok


def test_a_node_without_a_network_is_not_asked_for_one() -> None:
    checks = [one.check for one in judge(replace(WELL, planned=False, hubs=(), link=None, firewall=None))]
    assert checks == [
        one for one in CHECKS if one not in {"skerry-net", "tunnel", "firewall", "udp", "inside", "mtu"}
    ]


def test_a_machine_that_is_no_member_is_told_how_to_join() -> None:
    first, *rest = judge(replace(WELL, member="", stranger="this machine has not joined a mesh"))
    assert first.check == "joined"
    assert "skerry-agent join TOKEN" in first.then
    assert [one.check for one in rest] == ["systemd", "disk"]


def test_what_could_not_be_known_in_time_is_never_well() -> None:
    nothing = judge(Measured(member="n1", names=(("hub", "192.0.2.1"),)))
    assert {one.check for one in nothing if one.ok} == {"joined", "name"}


def test_an_agent_that_has_not_noticed_says_so() -> None:
    assert "may not have noticed" in found(replace(WELL, nats="no answer"))["agent"].seen


def test_reasons_come_before_what_they_lead_to() -> None:
    for check, reasons in LEADS_TO.items():
        assert all(CHECKS.index(one) < CHECKS.index(check) for one in reasons), check
