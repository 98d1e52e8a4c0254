"""Paths that drop big packets and tell nobody: found by pings, kept to by both ends, and used whole once they widen."""

from __future__ import annotations

import asyncio
import errno
import itertools
import select
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from skerry_agent.network.pathmtu import SURE_MS
from skerry_netplan.hubside import HubHere, lower_hub
from skerry_netplan.state import LINK
from skerry_protocol.ids import NodeId
from skerry_protocol.network import AppNetwork, Port, Transport
from tests.lab.network import rig
from tests.lab.network.rig import DB, SQL, WEB, public, region
from tests.lab.network.test_keeper import Node, on_a_cable, plan, reaches

TAKES, FOUND = 1380, 1300
"""Bytes of an IPv4 packet outside, and what that leaves inside: 60 go to headers, WireGuard pads to 16, and it is found
in steps."""
BULK = 300_000
DNS = 5353
MTU_DISCOVER, DO, RECVERR = 23, 2, 25
TALK = region(WEB, DB)
TALK = replace(
    TALK, apps={**TALK.apps, DB.app: AppNetwork({"sql": Port(SQL), "dns": Port(DNS, Transport.UDP)})}
)
PLAN = plan(TALK)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with on_a_cable(tmp_path) as made:
        made.machines[2].become(rig.node_state(2, TALK))
        made.accept(PLAN)
        assert reaches(made)
        yield made


async def _drops(source: str, takes: int | None) -> None:
    """What comes from there and is more. What one sends leaves in the pieces that are on the cable."""
    rules = "table ip narrow\ndelete table ip narrow\n"
    if takes is not None:
        hook = "type filter hook prerouting priority raw;"
        rules += f"table ip narrow {{ chain in {{ {hook} ip saddr {source} ip length > {takes} drop; }}; }}\n"
    await _ran("ip", "link", "set", "eth0", "gso_max_segs", "1")
    await _ran("nft", "-f", "-", text=rules)


async def _ran(*command: str, text: str = "") -> None:
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE)
    await process.communicate(text.encode())
    assert process.returncode == 0


def narrow(node: Node, takes: int | None) -> None:
    """Between the hub and the first node. Nobody is told."""
    for here, there in itertools.permutations(node.machines[:2]):
        here.host.run(_drops(there.host.address, takes))


def look(node: Node, seconds: int = SURE_MS // 1000) -> int:
    """skerry-net looks at the ways that are due by then, and says what it found of the hub's."""
    node.turn(seconds)
    node.machines[1].host.run(node.keeper.breadths.look())
    return node.turn().narrow


def tell_the_hub(node: Node, takes: int) -> None:
    """As beats do."""
    here = HubHere(public("hub"), rig.HUB_PORT, 1420, narrow={NodeId("id1"): takes} if takes else {})
    node.machines[0].become(lower_hub(TALK, here))


def test_it_is_found_in_two_looks_and_used_whole_again_once_it_widens(node: Node) -> None:
    assert [look(node), look(node)] == [0, 0]
    narrow(node, TAKES)
    assert look(node) == 0, "it rests"
    node.machines[1].host.run(_ran("ip", "address", "add", "198.51.100.7/32", "dev", "eth0"))
    assert [look(node), look(node)] == [0, FOUND], "it is elsewhere, so perhaps it goes another way"
    (whole,) = (one for one in node.kernel().routes if one.device == LINK)
    assert whole.mtu == FOUND
    node.begin()
    assert node.turn().narrow == FOUND, "also after a boot"
    narrow(node, None)
    assert look(node) == 0
    assert {one.mtu for one in node.kernel().routes} == {None}


def test_both_ends_of_a_connection_send_what_passes(node: Node) -> None:
    narrow(node, TAKES)
    assert not passes(node, 2 * rig.NEVER), "what this is about"
    look(node)
    assert look(node) == FOUND
    assert passes(node, rig.CONNECTS), "by the node alone: it clamps what both ends begin with"


def test_who_sends_too_much_is_told_on_either_side(node: Node) -> None:
    narrow(node, TAKES)
    look(node)
    tell_the_hub(node, look(node))
    web, db = (node.machines[at].host.run(rig.udp(copy)) for at, copy in ((1, WEB), (2, DB)))
    with web, db:
        db.bind((str(TALK.address_of(DB)), DNS))
        web.connect(db.getsockname()[:2])
        web.send(b"small")
        db.settimeout(rig.CONNECTS)
        _, (host, port, *_) = db.recvfrom(100)
        db.connect((host, port))
        assert told(web) == FOUND, "by its node"
        assert told(db) == FOUND, "by the hub"
    tell_the_hub(node, 0)
    assert {one.mtu for one in node.machines[0].read().routes} == {None}


def passes(node: Node, within: float) -> bool:
    """Whether much comes through a connection of web to db, both ways."""
    web, db = (node.machines[at].opened(socket.AF_INET6, copy) for at, copy in ((1, WEB), (2, DB)))
    with web, db, suppress(OSError):
        db.bind((str(TALK.address_of(DB)), SQL))
        db.listen()
        for one in (web, db):
            one.settimeout(within)
        web.connect(db.getsockname()[:2])
        taken, _ = db.accept()
        with taken:
            taken.settimeout(within)
            for one, other in ((web, taken), (taken, web)):
                one.sendall(bytes(BULK))
                left = BULK
                while left:
                    left -= len(other.recv(left))
            return True
    return False


def told(sock: socket.socket) -> int:
    """How much passes, as the kernel tells who sent 1,420 bytes in one piece."""
    sock.setsockopt(socket.IPPROTO_IPV6, MTU_DISCOVER, DO)
    sock.setsockopt(socket.IPPROTO_IPV6, RECVERR, 1)
    sock.send(bytes(1420 - 48))
    assert select.select([sock], [], [], rig.CONNECTS)[0], "nobody said anything"
    _, ((_, _, data), *_), _, _ = sock.recvmsg(2048, 512, socket.MSG_ERRQUEUE)
    code, _, _, _, _, mtu, _ = struct.unpack_from("IBBBBII", data)
    assert code == errno.EMSGSIZE
    return int(mtu)
