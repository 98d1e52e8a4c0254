"""What a node's router does to what passes it. Looked at from two places outside: the hub, and n3, which has no NAT."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from skerry_hub.lab import Lab, LabError
from skerry_hub.lab.addresses import Nat
from tests.lab.test_lab_links import TRY

# A UDP socket in a machine that does as it is told, a line at a time. `send` gives the errno of what failed.
SOCKET = """
import socket, sys
family = socket.AF_INET6 if sys.argv[2] == "6" else socket.AF_INET
peer = socket.socket(family, socket.SOCK_DGRAM)
peer.bind(("", int(sys.argv[1])))
level, discover, do = (41, 23, 2) if family == socket.AF_INET6 else (0, 10, 2)
peer.setsockopt(level, discover, do)
print(peer.getsockname()[1], flush=True)
for line in sys.stdin:
    verb, *words = line.split()
    try:
        if verb == "send":
            peer.sendto(words[2].encode().ljust(int(words[3]), b"."), (words[0], int(words[1])))
            print("sent", flush=True)
        else:
            peer.settimeout(float(words[0]))
            data, address = peer.recvfrom(65535)
            print(address[0], address[1], data.decode().strip("."), flush=True)
    except TimeoutError:
        print("silence", flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"""
# Takes a connection, and all that is sent by it; or sends so much.
TAKE = """
import socket
server = socket.create_server(("", 9000))
print("listens", flush=True)
peer, _ = server.accept()
count = 0
while data := peer.recv(65536):
    count += len(data)
print(count, flush=True)
"""
GIVE = """
import socket, sys
with socket.create_connection((sys.argv[1], 9000), 5) as peer:
    peer.settimeout(5)
    peer.sendall(bytes(300_000))
"""
# Answers; and one who says how its connection fares, now and after each line.
ECHO = """
import socket
server = socket.create_server(("", 8443))
print("listens", flush=True)
while True:
    server.accept()[0].recv(100)
"""
TALK = """
import socket, sys
peer = socket.create_connection((sys.argv[1], 8443), 5)
print("stands", flush=True)
for line in sys.stdin:
    try:
        peer.sendall(line.encode())
        print(peer.recv(100).decode() or "closed", flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"""
HEARS, NEVER, DEADLINE = 5.0, 0.3, 10.0
HUB, HUB6 = "10.77.0.2", "fd77:0:0:0::2"


class Peer:
    """One such socket."""

    def __init__(self, argv: list[str]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True)
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()

    def _do(self, *words: object) -> str:
        assert self.process.stdin
        assert self.process.stdout
        print(*words, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def send(self, address: str, port: int, text: str = "x", size: int = 0) -> str:
        return self._do("send", address, port, text, size)

    def hears(self, seconds: float = HEARS) -> str:
        """`ADDRESS PORT TEXT`."""
        return self._do("hear", seconds)


class Places:
    """Sockets in the lab's machines, until the test ends."""

    def __init__(self, lab: Lab, open_ones: ExitStack) -> None:
        self.lab = lab
        self._open = open_ones

    def at(self, host: str, port: int = 0, family: int = 4) -> Peer:
        argv = [sys.executable, "-c", SOCKET, str(port), str(family)]
        return self._open.enter_context(
            Peer(self.lab.hub_argv(argv) if host == "hub" else self.lab.argv(host, argv))
        )

    def talk(self, host: str) -> subprocess.Popen[str]:
        """A connection to the hub."""
        peer = self._open.enter_context(self.lab.popen(host, [sys.executable, "-c", TALK, HUB]))
        self._open.callback(peer.kill)
        return peer

    def tries(self, host: str, address: str, port: int) -> str:
        return self.lab.run(host, [sys.executable, "-c", TRY, address, str(port)]).stdout.strip()

    def outside(self, node: str) -> str:
        found = self.lab.node(node).outside
        assert found
        return found


@pytest.fixture(scope="module")
def lab_of_file() -> Iterator[Lab]:
    with Lab(f"nat-{os.getpid()}") as lab:
        lab.up(3, hub=False, tied=True)
        yield lab


@pytest.fixture
def places(lab_of_file: Lab) -> Iterator[Places]:
    """n1 and n2 behind a cone, n3 behind nothing."""
    kinds: tuple[tuple[str, Nat], ...] = (("n1", "cone"), ("n3", "open"))
    for node, kind in kinds:
        lab_of_file.nat(node, kind=kind)
        lab_of_file.mtu(node, mtu=1500)
    with ExitStack() as opened:
        yield Places(lab_of_file, opened)


def asks(inside: Peer, outside: Peer, address: str) -> tuple[str, int]:
    """Where one outside sees the other; its answer comes back."""
    inside.send(address, outside.port, "where")
    seen, port, said = outside.hears().split()
    assert said == "where"
    outside.send(seen, int(port), "there")
    assert inside.hears().split() == [address.replace(":0:0:0::", "::"), str(outside.port), "there"]
    return seen, int(port)


def test_a_cone_has_one_port_for_every_destination(places: Places) -> None:
    first, second = places.at("n1", 51820), places.at("n2", 51820)
    strangers = [(places.at("hub"), HUB), (places.at("hub"), HUB), (places.at("n3"), "10.77.3.2")]
    address = places.outside("n1")
    assert {asks(first, *stranger) for stranger in strangers} == {(address, 51820)}
    assert {asks(second, *stranger) for stranger in strangers} == {(address, 65535 - 51820)}


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_cone_lets_in_whoever_sends_to_a_port_that_is_in_use(places: Places, node: str) -> None:
    inside, friend, stranger = places.at(node, 51820), places.at("hub"), places.at("n3")
    address, port = asks(inside, friend, HUB)
    stranger.send(address, port, "unasked")
    seen, back, said = inside.hears().split()
    assert (seen, int(back), said) == ("10.77.3.2", stranger.port, "unasked")
    inside.send(seen, int(back), "answer")
    assert stranger.hears().split() == [address, str(port), "answer"]


def test_a_cone_treats_ipv6_alike(places: Places) -> None:
    inside, friend, stranger = places.at("n2", 51820, 6), places.at("hub", 0, 6), places.at("n3", 0, 6)
    address, port = asks(inside, friend, HUB6)
    assert address.startswith("fd78:0:0:1::")
    assert port == 65535 - 51820
    stranger.send(address, port, "unasked")
    assert inside.hears().split() == ["fd77:0:0:3::2", str(stranger.port), "unasked"]


# Waits: silence is only known after a while.
def test_a_cone_is_silent_where_nobody_sent(places: Places) -> None:
    inside, stranger = places.at("n1", 51821), places.at("n3")
    stranger.send(places.outside("n1"), 51821)
    assert inside.hears(NEVER) == "silence"
    assert places.tries("n3", places.outside("n1"), 22) == "silence"
    assert places.tries("n3", "10.77.1.2", 22) == "Network is unreachable"


# Waits: silence is only known after a while.
def test_symmetric_is_another_port_for_each_destination_and_only_for_that(places: Places) -> None:
    places.lab.nat("n1", kind="symmetric")
    inside, stranger = places.at("n1", 51820), places.at("n3")
    strangers = [(places.at("hub"), HUB), (places.at("hub"), HUB), (places.at("n3"), "10.77.3.2")]
    seen = {asks(inside, *each) for each in strangers}
    assert {address for address, _ in seen} == {places.outside("n1")}
    assert len(seen) == 3
    for address, port in seen:
        stranger.send(address, port, "unasked")
    assert inside.hears(NEVER) == "silence"


def test_open_is_the_nodes_own_address(places: Places) -> None:
    inside, stranger = places.at("n3", 51820), places.at("hub")
    stranger.send("10.77.3.2", 51820, "unasked")
    assert inside.hears().split() == [HUB, str(stranger.port), "unasked"]
    assert asks(inside, stranger, HUB) == ("10.77.3.2", 51820)
    assert places.outside("n3") == "10.77.3.2"


def test_a_nat_forgets_what_passed_the_one_before(places: Places) -> None:
    inside, stranger = places.at("n1", 51820), places.at("hub")
    before = asks(inside, stranger, HUB)
    places.lab.nat("n1", kind="symmetric")
    assert asks(inside, stranger, HUB) != before
    places.lab.nat("n1", kind="open")
    assert asks(inside, stranger, HUB) == ("10.77.1.2", 51820)
    places.lab.nat("n1", kind="cone")
    assert asks(inside, stranger, HUB) == before


def test_a_mapping_ends_when_nothing_was_sent_for_a_while(places: Places) -> None:
    places.lab.nat("n1", kind="cone", udp_timeout=1)
    inside, friend = places.at("n1", 51820), places.at("hub")
    address, port = asks(inside, friend, HUB)

    def shut() -> bool:
        """A stranger that is known already would keep its own way open."""
        places.at("n3").send(address, port, "unasked")
        return inside.hears(NEVER) == "silence"

    until(shut)


def until(seen: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not seen():
        assert time.monotonic() < deadline


def test_a_lan_is_shared_without_a_nat_between(places: Places) -> None:
    first, second = places.at("n1"), places.at("n2")
    assert asks(first, second, "10.77.1.3") == ("10.77.1.2", first.port)
    first6, second6 = places.at("n1", 0, 6), places.at("n2", 0, 6)
    assert asks(first6, second6, "fd77:0:0:1::3") == ("fd77:0:0:1::2", first6.port)


def test_a_nat_holds_over_boots(places: Places) -> None:
    places.lab.nat("n1", kind="symmetric")
    places.lab.poweroff("n1")
    places.lab.boot("n1")
    inside = places.at("n1", 51820)
    assert len({asks(inside, places.at("hub"), HUB) for _ in range(3)}) == 3


# Waits: silence is only known after a while.
def test_a_move_is_another_address_and_the_old_one_is_dead(places: Places) -> None:
    inside, friend, stranger = places.at("n1", 51820), places.at("hub"), places.at("n3")
    before, port = asks(inside, friend, HUB)
    stranger.send(before, port, "unasked")
    assert inside.hears().split()[2] == "unasked"
    places.lab.move("n1")
    for sender in (friend, stranger):
        sender.send(before, port, "late")
        assert inside.hears(NEVER) == "silence"
    after = asks(inside, friend, HUB)
    assert after == (places.outside("n2"), port) != (before, port)
    inside.send("10.77.3.2", stranger.port, "again")
    assert stranger.hears().split() == [after[0], str(port), "again"]


def test_a_move_ends_connections_and_new_ones_come_about(places: Places) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(places.lab.hub_argv([sys.executable, "-c", ECHO]), stdout=pipe, text=True) as echo:
        assert echo.stdout
        assert echo.stdout.readline() == "listens\n"
        talk = places.talk("n1")
        assert talk.stdin
        assert talk.stdout
        assert talk.stdout.readline() == "stands\n"
        places.lab.move("n1")
        print("a", file=talk.stdin, flush=True)
        assert talk.stdout.readline() == "Connection reset by peer\n"
        assert places.tries("n1", HUB, 8443) == "stands"
        echo.kill()


def test_what_has_no_nat_cannot_move(places: Places) -> None:
    with pytest.raises(
        LabError, match=r"cannot move n3: it has no NAT, so .* \('skerry lab nat NODE cone'\)$"
    ):
        places.lab.move("n3")


def too_big(peer: Peer, address: str, port: int) -> bool:
    """Whether the sender has been told so."""
    return peer.send(address, port, "big", 1400) == "Message too long"


@pytest.mark.parametrize(("family", "hub"), [(4, HUB), (6, HUB6)])
def test_who_sends_more_than_a_path_takes_is_told(places: Places, family: int, hub: str) -> None:
    inside, friend = places.at("n1", 51820, family), places.at("hub", 0, family)
    address, port = asks(inside, friend, hub)
    inside.send(hub, friend.port, "big", 1400)
    assert friend.hears().split()[2] == "big"
    places.lab.mtu("n1", mtu=1300)
    until(lambda: too_big(inside, hub, friend.port))
    until(lambda: too_big(friend, address, port))
    assert friend.hears(NEVER) == "silence"
    inside.send(hub, friend.port, "fits", 1200)
    assert friend.hears().split()[2] == "fits"


# Waits: silence is only known after a while.
@pytest.mark.parametrize("node", ["n2", "n3"])
@pytest.mark.parametrize(("family", "hub"), [(4, HUB), (6, HUB6)])
def test_a_black_hole_tells_nobody(places: Places, node: str, family: int, hub: str) -> None:
    places.lab.move("n1")  # what the hub has learned of the old address is not to matter
    inside, friend = places.at(node, 51830, family), places.at("hub", 0, family)
    address, port = asks(inside, friend, hub)
    places.lab.mtu(node, mtu=1300, silent=True)
    for sender, to in ((inside, (hub, friend.port)), (friend, (address, port))):
        for _ in range(3):
            assert sender.send(*to, "big", 1400) == "sent"
    assert friend.hears(NEVER) == "silence"
    assert inside.hears(NEVER) == "silence"
    inside.send(hub, friend.port, "fits", 1200)
    assert friend.hears().split()[2] == "fits"


def test_a_connection_finds_what_its_path_takes(places: Places) -> None:
    places.lab.mtu("n2", mtu=1290)
    with subprocess.Popen(
        places.lab.hub_argv([sys.executable, "-c", TAKE]), stdout=subprocess.PIPE, text=True
    ) as taker:
        assert taker.stdout
        assert taker.stdout.readline() == "listens\n"
        places.lab.run("n2", [sys.executable, "-c", GIVE, HUB])
        assert taker.stdout.readline() == "300000\n"


def test_a_path_narrower_than_ipv6_takes_is_refused(places: Places) -> None:
    for mtu in (1279, 1501):
        with pytest.raises(LabError, match=f"^cannot set an MTU of {mtu}: a path takes 1280 to 1500$"):
            places.lab.mtu("n1", mtu=mtu)
