"""wireguard-go without systemd: it outlives who started it, and is taken over as it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from skerry_netplan.kernel.runners import Detached, answers
from skerry_netplan.kernel.tunnels import TunnelError
from skerry_netplan.kernel.userspace import SOCKETS, Userspace
from skerry_netplan.state import HUB_LINK
from tests.lab.network.hosts import Host, cabled
from tests.lab.network.rig import private, public

STARTER = f"""
import asyncio
from skerry_netplan.kernel.runners import Detached
asyncio.run(Detached().start("{HUB_LINK}"))
"""


@pytest.fixture
def host() -> Iterator[Host]:
    with cabled("one") as (made,):
        yield made
        made.run(Detached().stop(HUB_LINK))  # it is nobody's child, so that nothing else ends it


async def _started_by_another() -> None:
    subprocess.run([sys.executable, "-c", STARTER], check=True, timeout=20)  # noqa: ASYNC221 - on the host's thread


async def _answers() -> bool:
    return answers(SOCKETS, HUB_LINK)


def test_it_outlives_its_starter_and_is_taken_over_with_what_it_knows(host: Host) -> None:
    host.run(_started_by_another())
    backend = Userspace(Detached())
    host.run(backend.configure(HUB_LINK, private("a"), 51900))
    host.run(Userspace(Detached()).create(HUB_LINK))
    assert host.run(backend.read(HUB_LINK)).key == public("a")


def test_it_ends_whoever_started_it(host: Host) -> None:
    host.run(_started_by_another())
    assert host.run(_answers())
    host.run(Detached().stop(HUB_LINK))
    assert not host.run(_answers())
    host.run(Detached().start(HUB_LINK))
    assert host.run(_answers())


def test_a_name_that_is_taken_is_said(host: Host) -> None:
    host.run(_taken())
    with pytest.raises(TunnelError, match=f"cannot make {HUB_LINK}: wireguard-go ended at once"):
        host.run(Detached().start(HUB_LINK))
    host.run(_given_back())


async def _taken() -> None:
    subprocess.run(["ip", "link", "add", HUB_LINK, "type", "bridge"], check=True)  # noqa: ASYNC221


async def _given_back() -> None:
    subprocess.run(["ip", "link", "del", HUB_LINK], check=True)  # noqa: ASYNC221
