"""Answers: the mesh's own names and nothing else, any bytes at all, and no answer longer than its way takes."""

from __future__ import annotations

from ipaddress import IPv6Address

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.names.answers import MOST_UDP, TTL_S, Elsewhere, answer, failed
from skerry_netplan.names import Zone

ONE, TWO = IPv6Address("fd00::1"), IPv6Address("fd00::2")
MANY = tuple(IPv6Address(f"fd00::{at:x}") for at in range(1, 300))
ZONE = Zone({"skerry": (), "db.skerry": (ONE, TWO), "none.skerry": (), "many.skerry": MANY})


def asked(name: str, kind: str = "AAAA", **more: object) -> bytes:
    return dns.message.make_query(name, kind, **more).to_wire()  # type: ignore[arg-type]


def read(query: bytes, ailing: tuple[IPv6Address, ...] = (), udp: bool = True) -> dns.message.Message:
    found = answer(query, ZONE, ailing, udp)
    assert isinstance(found, bytes)
    reply = dns.message.from_wire(found)
    assert dns.message.from_wire(query).is_response(reply)
    return reply


def addresses(reply: dns.message.Message) -> list[str]:
    return [str(one) for rrset in reply.answer for one in rrset]


def test_a_name_has_its_addresses_for_a_while() -> None:
    reply = read(asked("DB.skerry"))
    assert sorted(addresses(reply)) == ["fd00::1", "fd00::2"]
    assert reply.answer[0].ttl == TTL_S
    assert reply.flags & dns.flags.AA


def test_who_ails_comes_last() -> None:
    assert addresses(read(asked("db.skerry"), (ONE,))) == ["fd00::2", "fd00::1"]
    assert addresses(read(asked("db.skerry"), (TWO,))) == ["fd00::1", "fd00::2"]
    assert addresses(read(asked("db.skerry"), (ONE, TWO))) == ["fd00::1", "fd00::2"]


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("db.skerry", "A", "NOERROR"),
        ("db.skerry", "MX", "NOERROR"),
        ("none.skerry", "AAAA", "NOERROR"),
        ("what.skerry", "AAAA", "NXDOMAIN"),
        ("a.db.skerry", "AAAA", "NXDOMAIN"),
    ],
)
def test_what_there_is_not_is_said_with_for_how_long(name: str, kind: str, code: str) -> None:
    reply = read(asked(name, kind))
    assert dns.rcode.to_text(reply.rcode()) == code
    assert reply.answer == []
    (soa,) = reply.authority
    assert (soa.rdtype, soa.ttl, soa[0].minimum) == (dns.rdatatype.SOA, TTL_S, TTL_S)


@pytest.mark.parametrize("name", ["example.org", "skerry.example.org", "notskerry", "."])
def test_other_names_are_others_business(name: str) -> None:
    assert answer(asked(name), ZONE, (), udp=True) == Elsewhere()


@pytest.mark.parametrize("payload", [None, 512, 1232, 4096])
def test_what_is_too_long_for_udp_is_cut_and_whole_by_tcp(payload: int | None) -> None:
    query = asked("many.skerry") if payload is None else asked("many.skerry", use_edns=0, payload=payload)
    found = answer(query, ZONE, (), udp=True)
    assert isinstance(found, bytes)
    assert len(found) <= min(payload or 512, MOST_UDP)
    assert dns.message.from_wire(found).flags & dns.flags.TC
    assert len(addresses(read(query, udp=False))) == len(MANY)


def test_what_is_no_question_gets_no_answer_or_is_told_so() -> None:
    reply = dns.message.make_response(dns.message.make_query("db.skerry", "AAAA")).to_wire()
    assert answer(reply, ZONE, (), udp=True) is None
    update = dns.message.make_query("db.skerry", "AAAA")
    update.set_opcode(dns.opcode.NOTIFY)
    assert read(update.to_wire()).rcode() == dns.rcode.NOTIMP
    broken = asked("db.skerry")[:-3]
    found = answer(broken, ZONE, (), udp=True)
    assert isinstance(found, bytes)
    assert dns.message.from_wire(found).rcode() == dns.rcode.FORMERR
    assert found[:2] == broken[:2]
    unasked = failed(asked("example.org"))
    assert unasked is not None
    assert dns.message.from_wire(unasked).rcode() == dns.rcode.SERVFAIL


@given(st.binary(max_size=80))
def test_any_bytes(query: bytes) -> None:
    found = answer(query, ZONE, (), udp=True)
    assert found is None or isinstance(found, Elsewhere) or (len(found) >= 12 and found[2] & 0x80)
    failed(query)


@given(st.integers(0, 60), st.integers(0, 255), st.booleans())
def test_a_question_with_one_byte_changed(place: int, byte: int, cut: bool) -> None:
    query = bytearray(asked("db.skerry", use_edns=0))
    query[place % len(query)] = byte
    sent = bytes(query[: place % len(query)] if cut else query)
    found = answer(sent, ZONE, (), udp=True)
    if isinstance(found, bytes):
        assert found[:2] == sent[:2]
        assert len(found) <= MOST_UDP
