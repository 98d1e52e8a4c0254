"""The resolver over real sockets: own names whatever others do, and others' names from whom the machine asks."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Address
from typing import cast

import dns.asyncquery
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_agent.names import server, upstream
from skerry_agent.names.server import Resolver
from skerry_netplan.names import Zone

HERE = "::1"
MANY = tuple(map(IPv6Address, range(1, 300)))
ZONE = Zone({"skerry": (), "db.skerry": (IPv6Address("fd00::1"),), "many.skerry": MANY})


@asynccontextmanager
async def resolving(*hosts: str, asks: int = 1) -> AsyncIterator[Resolver]:
    made = Resolver(lambda: hosts, port=0, asks=asks)
    made.use(ZONE)
    await made.listen(HERE)
    try:
        yield made
    finally:
        await made.close()


async def ask(made: Resolver, name: str, tcp: bool = False, kind: str = "AAAA") -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    way = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    return await way(query, HERE, port=made.port, timeout=10)


def texts(reply: dns.message.Message) -> list[str]:
    return [str(one) for rrset in reply.answer for one in rrset]


@pytest.mark.parametrize("tcp", [False, True])
async def test_own_names(tcp: bool) -> None:
    async with resolving() as made:
        assert texts(await ask(made, "db.skerry", tcp)) == ["fd00::1"]
        made.use(Zone({"db.skerry": (IPv6Address("fd00::9"),)}))
        assert texts(await ask(made, "db.skerry", tcp)) == ["fd00::9"]


async def test_what_udp_cuts_is_whole_by_tcp() -> None:
    async with resolving() as made:
        reply, by_tcp = await dns.asyncquery.udp_with_fallback(
            dns.message.make_query("many.skerry", "AAAA"), HERE, port=made.port, timeout=10
        )
        assert by_tcp
        assert len(texts(reply)) == 299


class Stranger(asyncio.DatagramProtocol):
    """Another server: it answers every question with the same address, and sends something else before. Counts them."""

    def __init__(self) -> None:
        self.asked = 0
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        assert self.transport is not None
        reply = dns.message.make_response(dns.message.from_wire(data))
        reply.answer.append(dns.rrset.from_text(reply.question[0].name, 60, "IN", "AAAA", "2001:db8::1"))
        self.transport.sendto(b"\0\0 not this one", addr)
        self.transport.sendto(reply.to_wire(), addr)


@asynccontextmanager
async def stranger() -> AsyncIterator[tuple[Stranger, int]]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Stranger, (HERE, 0))
    try:
        yield protocol, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def test_other_names_are_asked_for_where_the_machine_asks_and_what_comes_from_nowhere_is_not_taken() -> (
    None
):
    async with stranger() as (other, port), resolving("127.0.0.1", HERE, asks=port) as made:
        assert texts(await ask(made, "example.org")) == ["2001:db8::1"], "the first one does not listen"
        assert texts(await ask(made, "db.skerry")) == ["fd00::1"]
        assert other.asked == 1, "nobody is asked for our own"


async def test_own_names_are_answered_while_nobody_answers_for_others() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as silent:
        silent.bind((HERE, 0))
        async with resolving(HERE, asks=silent.getsockname()[1]) as made:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as flood:
                query = dns.message.make_query("example.org", "AAAA").to_wire()
                for _ in range(server.AT_ONCE + 10):  # more would not fit into the socket's buffer
                    flood.sendto(query, (HERE, made.port))
            assert texts(await ask(made, "db.skerry")) == ["fd00::1"]
            assert texts(await ask(made, "db.skerry", tcp=True)) == ["fd00::1"]


async def test_that_nobody_could_be_asked_is_said() -> None:
    async with resolving() as made:
        for tcp in (False, True):
            assert (await ask(made, "example.org", tcp)).rcode() == dns.rcode.SERVFAIL


async def test_it_moves_with_the_nodes_address_and_lets_go_of_the_former() -> None:
    async with resolving() as made:
        before = made.port
        await made.listen("127.0.0.1")
        query = dns.message.make_query("db.skerry", "AAAA")
        reply = await dns.asyncquery.udp(query, "127.0.0.1", port=made.port, timeout=10)
        assert texts(reply) == ["fd00::1"]
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as free:
            free.bind((HERE, before))


async def test_an_address_that_is_not_there_is_said() -> None:
    made = Resolver(lambda: (), port=0)
    with pytest.raises(OSError, match=r"cannot answer names on 2001:db8::1 port 0: "):
        await made.listen("2001:db8::1")


def test_servers_and_domains_as_resolv_conf_has_them() -> None:
    text = """
# comment
domain first.example
search a.example b.example
nameserver 192.0.2.1
nameserver fd00::1
nameserver fe80::1%eth0
nameserver nonsense
nameserver 192.0.2.1
options rotate
nameserver 192.0.2.2
nameserver 192.0.2.3
"""
    assert upstream.servers(text, ["fd00::1"]) == ("192.0.2.1", "fe80::1%eth0", "192.0.2.2")
    assert upstream.search(text) == ("a.example", "b.example")
    assert upstream.servers("", []) == upstream.search("") == ()


@given(st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    assert len(upstream.servers(text, ())) <= upstream.SERVERS_MOST
    upstream.search(text)
