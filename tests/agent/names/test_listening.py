"""Sockets for questions that one run takes over from the one before, if they are where it is to listen."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator
from contextlib import ExitStack

import pytest

from skerry_agent.names.listening import Listening

HERE, THERE = "127.0.0.1", "127.0.0.2"


class Keeper:
    """What systemd has for the next run."""

    def __init__(self) -> None:
        self.has: list[socket.socket] = []
        self._all = ExitStack()

    def keep(self, sockets: Collection[socket.socket]) -> None:
        for one in self.has:
            one.close()
        self.has = [self._all.enter_context(one.dup()) for one in sockets]

    def close(self) -> None:
        self._all.close()


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    made = Keeper()
    yield made
    made.close()


def run(keeper: Keeper, address: str = HERE, port: int = 0) -> tuple[socket.socket, socket.socket]:
    """A run begins, with what was kept, and listens."""
    return Listening([one.dup() for one in keeper.has], keeper.keep).sockets(address, port)


def test_who_asks_between_two_runs_is_heard_by_the_second(keeper: Keeper) -> None:
    udp, tcp = run(keeper)
    port = udp.getsockname()[1]
    assert tcp.getsockname() == (HERE, port)
    udp.close()
    tcp.close()
    with socket.create_connection((HERE, port), 5), socket.socket(type=socket.SOCK_DGRAM) as asks:
        asks.sendto(b"who", (HERE, port))
        udp, tcp = run(keeper, port=port)
        with udp, tcp:
            assert udp.recv(10) == b"who"
            tcp.accept()[0].close()


@pytest.mark.parametrize("lost", [None, socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_what_was_kept_elsewhere_or_in_part_goes(keeper: Keeper, lost: socket.SocketKind | None) -> None:
    for one in (former := run(keeper)):
        one.close()
    port = keeper.has[0].getsockname()[1]
    for one in list(keeper.has):
        if one.type == lost:
            keeper.has.remove(one)
            one.close()
    udp, tcp = run(keeper, HERE if lost else THERE, port)
    with udp, tcp:
        assert udp.getsockname()[0] == tcp.getsockname()[0] == (HERE if lost else THERE)
        assert [one.getsockname() for one in keeper.has] == [udp.getsockname(), tcp.getsockname()]
    assert former


def test_a_port_that_somebody_has_is_said_with_how_to_see_who(keeper: Keeper) -> None:
    with socket.create_server((HERE, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            OSError, match=rf"cannot answer names on {HERE} port {port}: .*ss -lnp 'sport = {port}'"
        ):
            run(keeper, port=port)
    assert not keeper.has
