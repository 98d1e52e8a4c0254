"""A question in, an answer out, in the form of RFC 1035; names of others are left to whoever knows them. Pure.

Answers to the mesh's own names are true at once and may be old at once: they live for TTL_S, and so does it that there
is no such name (RFC 2308).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv6Address

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from skerry_netplan.names import DOMAIN, Zone, is_ours

TTL_S = 5
PLAIN_UDP = 512  # bytes of an answer to who says nothing of his own (RFC 1035 section 2.3.4)
MOST_UDP = 1232  # of which no link that IPv6 may use loses a part (https://www.dnsflagday.net/2020)
_SOA = f"{DOMAIN}. hostmaster.{DOMAIN}. 1 3600 600 86400 {TTL_S}"


@dataclass(frozen=True)
class Elsewhere:
    """A question for the machine's own resolvers."""


def answer(query: bytes, zone: Zone, ailing: Collection[IPv6Address], udp: bool) -> bytes | Elsewhere | None:
    """The answer's bytes. None: it is no question, and whoever sent it gets nothing back."""
    try:
        asked = dns.message.from_wire(query)
    except (dns.exception.DNSException, ValueError, IndexError):
        return _refused(query)
    if asked.flags & dns.flags.QR:
        return None
    if asked.opcode() != dns.opcode.QUERY or len(asked.question) != 1:
        return _wire(_reply(asked, dns.rcode.NOTIMP), asked, udp)
    (question,) = asked.question
    name = question.name.to_text(omit_final_dot=True)
    if question.rdclass != dns.rdataclass.IN or not is_ours(name):
        return Elsewhere()
    return _wire(_answered(asked, question.name, zone.find(name, ailing), question.rdtype), asked, udp)


def failed(query: bytes) -> bytes | None:
    """That nobody could be asked."""
    try:
        asked = dns.message.from_wire(query)
        return _reply(asked, dns.rcode.SERVFAIL).to_wire()
    except (dns.exception.DNSException, ValueError, IndexError):
        return None


def _answered(
    asked: dns.message.Message, name: dns.name.Name, found: tuple[IPv6Address, ...] | None, kind: int
) -> dns.message.Message:
    reply = _reply(asked, dns.rcode.NOERROR if found is not None else dns.rcode.NXDOMAIN)
    reply.flags |= dns.flags.AA
    if found and kind in {dns.rdatatype.AAAA, dns.rdatatype.ANY}:
        # One by one: of several in one set the library mixes the order, which says here who is well.
        reply.answer += [dns.rrset.from_text(name, TTL_S, "IN", "AAAA", str(address)) for address in found]
    else:
        reply.authority.append(dns.rrset.from_text(f"{DOMAIN}.", TTL_S, "IN", "SOA", _SOA))
    return reply


def _reply(asked: dns.message.Message, code: dns.rcode.Rcode) -> dns.message.Message:
    reply = dns.message.make_response(asked, recursion_available=True, our_payload=MOST_UDP)
    reply.set_rcode(code)
    return reply


def _wire(reply: dns.message.Message, asked: dns.message.Message, udp: bool) -> bytes:
    """Cut where it is too long for the way that it goes: who asked then asks again by TCP."""
    room = min(max(asked.payload, PLAIN_UDP), MOST_UDP) if udp else 0xFFFF
    try:
        return reply.to_wire(max_size=room)
    except dns.exception.TooBig:
        short = _reply(asked, reply.rcode())
        short.flags |= dns.flags.TC
        return short.to_wire()


def _refused(query: bytes) -> bytes | None:
    """What has a head, and cannot be read after it, is told so."""
    if len(query) < 12 or query[2] & 0x80:
        return None
    reply = dns.message.QueryMessage(id=int.from_bytes(query[:2], "big"))
    reply.flags = dns.flags.Flag(dns.flags.QR)
    reply.set_rcode(dns.rcode.FORMERR)
    return reply.to_wire()
