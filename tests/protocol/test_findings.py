from __future__ import annotations

from skerry_protocol.findings import Finding, Verdict, bad, led_back, lines, ok, unknown

LEADS = {"tunnel": ("net",), "nats": ("udp", "tunnel")}


def test_what_is_bad_names_the_likeliest_reason_before_it() -> None:
    found = [bad("net", "stopped", "start it"), bad("tunnel", "gone", "make it"), bad("nats", "away", "wait")]
    assert [one.after for one in led_back(found, LEADS)] == ["", "net", "tunnel"]


def test_what_is_well_or_unknown_has_no_reason() -> None:
    found = [bad("net", "stopped", "start it"), ok("tunnel", "there"), unknown("nats", "not asked")]
    assert list(led_back(found, LEADS)) == found


def test_only_what_is_bad_is_a_reason() -> None:
    (_, tunnel) = led_back([unknown("net", "not asked"), bad("tunnel", "gone", "make it")], LEADS)
    assert tunnel.after == ""


def test_people_see_each_check_and_then_what_to_do_in_order() -> None:
    found = [
        ok("net", "runs"),
        bad("tunnel", "gone", "make it"),
        unknown("mtu", "not asked"),
        Finding("nats", Verdict.BAD, "away", "wait", "tunnel"),
    ]
    assert list(lines(found)) == [
        "ok   net     runs",
        "BAD  tunnel  gone",
        "?    mtu     not asked",
        "BAD  nats    away",
        "",
        "what to do, in this order:",
        "  1. tunnel: make it",
        "  2. nats: wait (perhaps all well once 'tunnel' is)",
    ]


def test_a_finding_is_one_line_whatever_is_in_it() -> None:
    found = [bad("disk", "full\nok   net  runs", "make room\r\n  2. nothing")]
    assert list(lines(found)) == [
        "BAD  disk  full | ok   net  runs",
        "",
        "what to do, in this order:",
        "  1. disk: make room |   2. nothing",
    ]


def test_where_all_is_well_there_is_nothing_to_do() -> None:
    assert list(lines([ok("net", "runs")])) == ["ok   net  runs"]
