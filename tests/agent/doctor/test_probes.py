"""Measurements on this machine: each ends in its time, and a fault is a value."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from pathlib import Path

import pytest

from skerry_agent.disk.sealed import bytes_of, write_twice
from skerry_agent.doctor import probes
from skerry_agent.doctor.measure import measure
from skerry_agent.joining.identity import Identity
from skerry_agent.network.ping import ping
from skerry_agent.network.records import WANTED, Reached
from skerry_protocol.ids import MeshName, NodeId, NodeName, Region
from skerry_protocol.signing import new_key, pin, public_key
from tests.agent.hubstandin import StandIn, hub

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="raw sockets take root")


async def test_what_hangs_is_left_behind() -> None:
    never = threading.Event()
    assert await probes.apart(never.wait, 0.01) is None
    never.set()


async def test_what_ends_is_handed_on() -> None:
    assert await probes.apart(lambda: 7) == 7


def test_a_folder_that_takes_a_write_has_none_more_after_it(tmp_path: Path) -> None:
    (found,) = probes.disks([tmp_path])
    assert found.fault == ""
    assert found.free > 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_yet_is_looked_for_above(tmp_path: Path) -> None:
    (found,) = probes.disks([tmp_path / "a" / "b"])
    assert found.path == str(tmp_path)


def test_a_disk_that_is_read_only_is_said() -> None:
    (found,) = probes.disks([Path("/proc/sys")])
    assert "cannot be written" in found.fault


def test_records_that_are_damaged_are_named(tmp_path: Path) -> None:
    assert probes.damaged(tmp_path) == ()
    path = tmp_path / WANTED
    path.parent.mkdir()
    write_twice(path, bytes_of(Reached("way", "boot", 1)))
    assert probes.damaged(tmp_path) == ()
    for one in path.parent.iterdir():
        one.write_bytes(b"something else")
    assert [str(path) in one for one in probes.damaged(tmp_path)] == [True]


async def test_an_address_is_its_own_name_and_each_host_is_asked_once() -> None:
    found = await probes.names(["192.0.2.1:7443", "192.0.2.1:51820", "[fd00::1]:51820", "no endpoint"])
    assert found == (("192.0.2.1", "192.0.2.1"), ("fd00::1", "fd00::1"))


def test_a_port_that_nobody_listens_on_is_said() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert probes.nats([f"tls://127.0.0.1:{port}"], b"key") == f"tls://127.0.0.1:{port}: Connection refused"
    assert probes.nats(["tls://nowhere"], b"key") == "'tls://nowhere' is no address"


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Foo 2026"])
def test_a_date_that_is_none_says_nothing_of_the_clock(date: str) -> None:
    assert probes.ahead(date, 0.0) is None


def test_a_clock_is_compared_with_the_middle_of_a_second() -> None:
    assert probes.ahead("Thu, 01 Jan 1970 00:01:40 GMT", 160.5) == 60.0


def identity_at(stand_in: StandIn, root: bytes) -> Identity:
    return Identity(
        NodeId("nabc"), NodeName("n1"), MeshName("home"), Region("north"), pin(public_key(root)), stand_in.shown,
        (stand_in.address,), (), "",
    )  # fmt: skip


def test_a_hub_proves_itself_and_tells_the_time(tmp_path: Path) -> None:
    with hub(tmp_path) as stand_in:
        identity = identity_at(stand_in, stand_in.root)
        found = probes.https(identity, identity.word)
    assert (found.hub, found.fault) == (stand_in.address, "")
    assert found.ahead_s is not None
    again = probes.https(identity, identity.word)
    assert (again.wrong, again.fault) == (False, f"{stand_in.address}: Connection refused")


def test_a_hub_of_another_mesh_is_told_from_none(tmp_path: Path) -> None:
    with hub(tmp_path) as stand_in:
        word = identity_at(stand_in, stand_in.root).word
        found = probes.https(identity_at(stand_in, new_key()), word)
    assert found.wrong
    assert stand_in.address in found.fault


@needs_root
async def test_pings_of_several_sizes_are_told_apart() -> None:
    assert await ping("::1", (56, 1280, 1420), 2.0) == {56, 1280, 1420}


@needs_root
async def test_who_does_not_answer_answers_no_size() -> None:
    assert await ping("fd00:dead::1", (56,), 0.05) == frozenset()


def test_a_machine_that_is_no_member_is_measured_all_the_same(tmp_path: Path) -> None:
    found = asyncio.run(measure(tmp_path, tmp_path))
    assert found.member == ""
    assert found.stranger == "this machine has not joined a mesh"
    assert found.disks is not None
    assert list(tmp_path.iterdir()) == []
