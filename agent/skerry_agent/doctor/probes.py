"""The single measurements, each with an end of its own. Changes nothing; what fails is a value.

What may block for long (a name server, a disk, a connection) runs in a thread that nobody waits for beyond its time.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import threading
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from skerry_netplan.firewall import TABLE
from skerry_netplan.kernel import nft
from skerry_netplan.linter import endpoint
from skerry_protocol.signing import Delegation

from ..disk import sealed
from ..disk.disk import StateDir
from ..disk.sealed import Damaged
from ..hublink import pinned
from ..hublink.https import HttpsError, PinnedHttps, WrongMesh
from ..joining.identity import Identity
from ..network.records import KEPT, WANTED
from ..network.seeking import resolve
from ..view.localclient import AgentError, ask
from ..view.status import StatusView
from .judging import AGENT, NET
from .measured import Agent, Disk, Https, Service

TRY_S = 4.0
WITHIN_S = 9.0
PROGRAM_S = 6.0
PING_SYSTEMD = (
    "busctl", "--timeout=5", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
    "org.freedesktop.DBus.Peer", "Ping",
)  # fmt: skip
T = TypeVar("T")


async def apart(work: Callable[[], T], within_s: float = WITHIN_S) -> T | None:
    """What `work` gives, in a thread of its own; None where it takes longer. It raises nothing."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def tell(found: T) -> None:
        if not answer.done():
            answer.set_result(found)

    def run() -> None:
        found = work()
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, found)

    threading.Thread(target=run, daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            return await answer
    return None


def disks(folders: Sequence[Path]) -> tuple[Disk, ...]:
    """Whether each takes a write, by one that leaves no name. What is not there yet: where it would be made."""
    there = [next(one for one in (folder, *folder.parents) if one.exists()) for folder in folders]
    return tuple(_disk(folder) for folder in there)


def _disk(folder: Path) -> Disk:
    try:
        free = shutil.disk_usage(folder).free
        _write(folder)
    except OSError as error:
        return Disk(str(folder), fault=f"cannot be written: {error.strerror}")
    return Disk(str(folder), free)


def _write(folder: Path) -> None:
    """A file without a name, where the file system has such; else only what it says of itself."""
    try:
        fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in {95, 21, 22}:  # EOPNOTSUPP, EISDIR, EINVAL: there are none here
            raise
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            raise OSError(30, os.strerror(30)) from error
        return
    try:
        os.write(fd, bytes(4096))
        os.fsync(fd)
    finally:
        os.close(fd)


def damaged(state: Path) -> tuple[str, ...]:
    """The records that cannot be read, in words."""
    stored = StateDir(state)
    found: list[object] = [stored.accepted(), stored.applied()]
    found += [sealed.read_twice(state / name) for name in (WANTED, KEPT)]
    return tuple(one.text for one in found if isinstance(one, Damaged))


async def systemd() -> tuple[str | None, tuple[Service, ...]]:
    """What is wrong with systemd's bus, empty where it answers; and how our own units are.

    By programs, because a bus that hangs would hold up this whole process: its library lets no other thread run.
    """
    async with asyncio.TaskGroup() as group:
        pinged = group.create_task(_said(*PING_SYSTEMD))
        shown = group.create_task(_said("systemctl", "show", "--property=ActiveState", "--value", NET, AGENT))
    states = shown.result()
    found = states.split() if states is not None else []
    units = tuple(Service(name, state) for name, state in zip((NET, AGENT), found, strict=False))
    return "does not answer on its bus" if pinged.result() is None else "", units


async def _said(*argv: str) -> str | None:
    """What a program prints; None where it fails, is not there, or takes too long."""
    with suppress(OSError):
        process = await asyncio.create_subprocess_exec(*argv, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
        with suppress(TimeoutError):
            async with asyncio.timeout(PROGRAM_S):
                text, _ = await process.communicate()
                return text.decode("utf-8", "replace") if process.returncode == 0 else None
        process.kill()
    return None


async def firewall() -> str | None:
    """What is wrong with Skerry's table."""
    if shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
        return "there is no nft (package nftables)"
    with suppress(TimeoutError):
        async with asyncio.timeout(TRY_S):
            there = await nft.is_there()
            return "" if there else f"the table '{TABLE}' is gone: nobody shuts out what no app reaches"
    return None


async def names(texts: Sequence[str]) -> tuple[tuple[str, str | None], ...]:
    """Where each host of `host:port` is, each once."""
    found = {at[0]: text for text in texts if (at := endpoint(text)) is not None}
    async with asyncio.TaskGroup() as group:
        asked = {host: group.create_task(_named(text)) for host, text in found.items()}
    return tuple((host, task.result()) for host, task in asked.items())


async def _named(text: str) -> str | None:
    with suppress(TimeoutError):
        async with asyncio.timeout(WITHIN_S):
            at = await resolve(text)
            return at.rpartition(":")[0].strip("[]") if at else None
    return None


def https(identity: Identity, seen: Delegation) -> Https:
    """Has a hub prove itself, and tell the time."""
    try:
        met = PinnedHttps(identity.hubs, identity.pin, seen.serial, TRY_S).introduce()
        before = time.time()
        reply = PinnedHttps((met.hub,), identity.pin, seen.serial, TRY_S).request("GET", "/healthz")
    except WrongMesh as error:
        return Https(fault=str(error), wrong=True)
    except HttpsError as error:
        return Https(fault=str(error))
    headers = {name.lower(): value for name, value in reply.headers.items()}
    return Https(met.hub, ahead_s=ahead(headers.get("date", ""), (before + time.time()) / 2))


def ahead(date: str, now: float) -> float | None:
    """By how many seconds `now` is ahead of a Date header (RFC 9110 section 6.6.1), which is of whole seconds.

    None where it is no date.
    """
    try:
        return now - (parsedate_to_datetime(date).timestamp() + 0.5)
    except ValueError:
        return None


def nats(servers: Sequence[str], key: bytes) -> str:
    """Why none of them is to be used, by the first; empty where one takes TLS with the hub's key."""
    reasons = [_nats(server, key) for server in servers]
    return "" if not reasons or "" in reasons else reasons[0]


def _nats(server: str, key: bytes) -> str:
    at = endpoint(server.rpartition("//")[2])
    if at is None:
        return f"{server!r} is no address"
    context = pinned.context(pinned.only(lambda: {key}))
    try:
        with (
            socket.create_connection(at, TRY_S) as plain,
            context.wrap_socket(plain, server_hostname="skerry-hub"),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        return f"{server}: {error.args[-1]}"
    except TimeoutError:
        return f"{server}: no answer"
    except OSError as error:
        return f"{server}: {error.strerror or error}"


def agent() -> Agent:
    """What the agent itself says, by its socket."""
    try:
        view = msgspec.convert(next(ask("status", timeout=TRY_S), None), StatusView)
    except (AgentError, ValueError) as error:
        return Agent(fault=str(error))
    return Agent(hub=view.hub, conditions=view.conditions)
