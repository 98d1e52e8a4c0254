"""A cut is silence: no reset, no refusal, no unreachable. And nobody gets out of the lab. n1 and n2 share a LAN."""

import sys
from typing import Literal

import pytest

from skerry_hub.lab import Lab

# Says how a connection fares: it stands, is refused, is unreachable, or nothing is heard.
TRY = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.3)
    print("stands")
except TimeoutError:
    print("silence")
except OSError as error:
    print(error.strerror)
"""
# Connects, says so, then tells what each line that it sends brings back within 0.3 s.
TALK = """
import socket, sys
peer = socket.create_connection((sys.argv[1], 8443), 1)
peer.settimeout(0.3)
print("stands", flush=True)
for line in sys.stdin:
    peer.sendall(line.encode())
    try:
        print(peer.recv(100).decode().strip() or "closed", flush=True)
    except TimeoutError:
        print("silence", flush=True)
"""
ECHO = """
import socket, sys, threading
server = socket.create_server(("10.77.0.2", 8443))
def serve(peer):
    while data := peer.recv(100):
        peer.sendall(data)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""

LISTEN = """
import socket
peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peer.bind(("", 9))
print("listens", flush=True)
print(peer.recv(100).decode())
"""
SEND = """
import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"a datagram", (sys.argv[1], 9))
"""


def fare(lab: Lab, node: str, to: str, port: int = 8443) -> str:
    return lab.run(node, [sys.executable, "-c", TRY, to, str(port)]).stdout.strip()


@pytest.fixture
def echo_lab(bare_lab: Lab) -> Lab:
    bare_lab.up(2, hub_argv=[sys.executable, "-c", ECHO], tied=True)
    return bare_lab


def test_everybody_reaches_everybody_by_name(echo_lab: Lab) -> None:
    assert fare(echo_lab, "n1", "hub") == "stands"
    assert fare(echo_lab, "n1", "n2", 1) == "Connection refused"
    assert fare(echo_lab, "n1", "fd77:0:0:1::3", 1) == "Connection refused"


def test_nobody_reaches_beyond(echo_lab: Lab) -> None:
    assert fare(echo_lab, "n1", "192.0.2.1", 1) == "Network is unreachable"
    # TCP over IPv6 takes the router's word for it only after its first try has timed out.
    assert fare(echo_lab, "n1", "2001:db8::1", 1) in {"Network is unreachable", "silence"}


# Waits: silence is only known after a while.
@pytest.mark.parametrize("cut", ["n1", "hub"])
def test_a_cut_is_silence_for_new_and_old_connections(echo_lab: Lab, cut: str) -> None:
    with echo_lab.popen("n1", [sys.executable, "-c", TALK, "10.77.0.2"]) as talk:
        assert talk.stdin
        assert talk.stdout
        assert talk.stdout.readline() == "stands\n"
        echo_lab.cut(cut)
        assert fare(echo_lab, "n1", "hub") == "silence"
        assert fare(echo_lab, "n1", "10.77.1.1") == ("silence" if cut == "n1" else "Connection refused")
        assert fare(echo_lab, "n2", "hub") == ("stands" if cut == "n1" else "silence")
        assert fare(echo_lab, "n2", "n1", 1) == ("silence" if cut == "n1" else "Connection refused")
        talk.stdin.write("a\n")
        talk.stdin.flush()
        assert talk.stdout.readline() == "silence\n"
        echo_lab.heal(cut)
        assert fare(echo_lab, "n1", "hub") == "stands"
        talk.kill()


# Waits: silence is only known after a while.
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_cut_may_be_one_way(echo_lab: Lab, direction: Literal["up", "down"]) -> None:
    """Datagrams still come through the other way; a connection needs both."""
    sender, receiver, address = ("n2", "n1", "10.77.1.2") if direction == "up" else ("n1", "n2", "10.77.1.3")
    echo_lab.cut("n1", direction=direction)
    with echo_lab.popen(receiver, [sys.executable, "-c", LISTEN]) as heard:
        assert heard.stdout
        assert heard.stdout.readline() == "listens\n"
        echo_lab.run(sender, [sys.executable, "-c", SEND, address])
        assert heard.stdout.readline() == "a datagram\n"
    assert fare(echo_lab, "n1", "hub") == "silence"


# Waits: silence is only known after a while.
def test_a_cut_holds_over_boots_until_healed(echo_lab: Lab) -> None:
    echo_lab.cut("n1")
    echo_lab.poweroff("n1")
    echo_lab.boot("n1")
    assert echo_lab.node("n1").cut == "both"
    assert fare(echo_lab, "n1", "hub") == "silence"
    echo_lab.heal("n1")
    echo_lab.heal("n1")
    assert fare(echo_lab, "n1", "hub") == "stands"
