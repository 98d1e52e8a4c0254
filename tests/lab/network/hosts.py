"""Hosts for tests of the network: each a thread with a network, and a /run, of its own, all of them on one cable.

Everything ends with the threads: the namespaces with them, and wireguard-go because the kernel kills it then.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from skerry_netplan.kernel.links import connected
from skerry_netplan.kernel.runners import QUIET, answers
from skerry_netplan.kernel.tunnels import TunnelError
from skerry_netplan.kernel.userspace import SOCKETS

CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000
MS_REC_PRIVATE = 0x4000 | 0x40000
DEADLINE = 20.0
Found = TypeVar("Found")
_libc = ctypes.CDLL(None, use_errno=True)


class Host:
    """A thread with namespaces of its own and a loop in it, to which the test hands its work."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.address = f"192.0.2.{number}"
        self.child = Child()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self.thread = threading.Thread(target=self._live, name=name, daemon=True)
        self.thread.start()
        assert self._ready.wait(DEADLINE)
        if self._failed:
            raise self._failed

    @property
    def namespace(self) -> Path:
        return Path(f"/proc/self/task/{self.thread.native_id}/ns/net")

    def run(self, work: Coroutine[Any, Any, Found]) -> Found:
        """What it comes to, done on this host."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE)

    def end(self) -> None:
        self.run(self.child.end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive()

    def _live(self) -> None:
        try:
            _own_namespaces()
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            self._failed = error
            return
        finally:
            self._ready.set()
        with contextlib.closing(self._loop):
            self._loop.run_forever()


def _own_namespaces() -> None:
    if _libc.unshare(CLONE_NEWNET | CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for source, target, kind, flags in (
        (b"none", b"/", None, MS_REC_PRIVATE),
        (b"tmpfs", b"/run", b"tmpfs", 0),
    ):
        if _libc.mount(source, target, kind, flags, None) != 0:
            raise OSError(ctypes.get_errno(), f"mount {target!r}")
    # A new network forwards IPv4 where the machine does that these tests run on.
    for path in ("ipv6/conf/default/accept_dad", "ipv4/ip_forward"):
        Path("/proc/sys/net", path).write_text("0", encoding="ascii")


async def printed(*words: str) -> str:
    """What a program prints, where this runs; it must not fail."""
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    assert process.returncode == 0, words
    return said.decode()


async def iproute(*lines: str) -> None:
    """Each a command of ip(8)."""
    for line in lines:
        await printed("ip", *line.split())


class Child:
    """A Runner: wireguard-go as a child, which ends with the host's thread."""

    def __init__(self) -> None:
        self.processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, interface: str) -> None:
        command = shutil.which("wireguard-go")
        assert command is not None
        tied = ("setpriv", "--pdeathsig", "KILL", "--", command, "--foreground", interface)
        self.processes[interface] = await asyncio.create_subprocess_exec(*tied, env=os.environ | QUIET)
        async with asyncio.timeout(DEADLINE):
            while not answers(SOCKETS, interface):
                if self.processes[interface].returncode is not None:
                    raise TunnelError(f"wireguard-go of {interface} ended")
                await asyncio.sleep(0.01)

    async def stop(self, interface: str) -> None:
        if process := self.processes.pop(interface, None):
            if process.returncode is None:
                process.terminate()
            await process.wait()

    async def end(self) -> None:
        for interface in tuple(self.processes):
            await self.stop(interface)


@contextlib.contextmanager
def cabled(*names: str) -> Iterator[tuple[Host, ...]]:
    """Hosts on one cable: 192.0.2.1, 192.0.2.2 and so on, in the order of their names."""
    made: list[Host] = []
    try:
        made += [Host(name, number) for number, name in enumerate(("cable", *names))]
        made[0].run(_cable(made))
        yield tuple(made[1:])
    finally:
        for host in made:
            host.end()


async def _cable(hosts: list[Host]) -> None:
    async with connected() as ip:
        await ip.link("add", ifname="cable", kind="bridge")
        (bridge,) = await ip.link_lookup(ifname="cable")
        await ip.link("set", index=bridge, state="up")
        for host in hosts[1:]:
            await _plug(ip, bridge, host)


async def _plug(ip: Any, bridge: int, host: Host) -> None:
    inside = os.open(host.namespace, os.O_RDONLY)
    try:
        await ip.link("add", ifname=host.name, kind="veth", peer={"ifname": "eth0", "net_ns_fd": inside})
    finally:
        os.close(inside)
    (index,) = await ip.link_lookup(ifname=host.name)
    await ip.link("set", index=index, master=bridge, state="up")
    await asyncio.to_thread(host.run, _outside(host.address))


async def _outside(address: str) -> None:
    async with connected() as ip:
        await ip.link("set", index=1, state="up")
        (index,) = await ip.link_lookup(ifname="eth0")
        await ip.link("set", index=index, state="up")
        await ip.addr("add", index=index, address=address, prefixlen=24)
