"""Instances that run keep their own resolv.conf when the machine's is replaced.

Each has its own mounted over /etc/resolv.conf (`units.sandbox`). Whoever puts another file in the place of that one, as
NetworkManager and dhclient do, takes the mount away in every namespace: so does the kernel with what is mounted on a
file that is unlinked (mount_namespaces(7)). The instance would see the machine's, whose servers know no name of the
mesh. systemd mounts it again, in the namespace of a unit that runs. It is done once for each file that was put there:
one mount more upon the other would stay for as long as the unit runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from skerry_protocol.ids import InstanceId

DEADLINE_S = 10.0
SEEN = "machines-resolv.conf"
DOWN = {"inactive", "failed", "unknown"}


class Rebinding:
    """`own`: the instances' file, beside which is kept which of the machine's was seen last. `machines`: that one."""

    def __init__(self, own: Path, machines: Path, command: str = "systemctl") -> None:
        self._own, self._machines, self._command = own, machines, command
        self._seen = own.with_name(SEEN)
        self._done: tuple[str, set[str]] = "", set()

    async def look(self, instances: Iterable[InstanceId]) -> str:
        """What could not be done, and why: it is tried again."""
        try:
            now, before = _identity(self._machines), _read(self._seen)
            if now == before:
                return ""
            troubles = await self._again(now, instances) if before else []
            if not troubles:
                self._seen.write_text(now, "ascii")
        except OSError as error:
            return f"cannot see whether {self._machines} was replaced: {error}"
        return "; ".join(troubles)

    async def _again(self, now: str, instances: Iterable[InstanceId]) -> list[str]:
        """What failed. Those that have it by this file are left alone when the others are tried again."""
        if self._done[0] != now:
            self._done = now, set()
        troubles = []
        for unit in await self._running(instances):
            if unit in self._done[1]:
                continue
            if trouble := await self._bound(unit):
                troubles.append(trouble)
            else:
                self._done[1].add(unit)
        return troubles

    async def _running(self, instances: Iterable[InstanceId]) -> list[str]:
        units = [f"skerry-{one.rpartition('-')[0]}.service" for one in instances]
        if not units:
            return []
        _, said = await _run(self._command, "is-active", *units)
        states = dict(zip(units, said.splitlines(), strict=False))
        return [unit for unit, state in states.items() if state not in DOWN]

    async def _bound(self, unit: str) -> str:
        words = ("bind", "--read-only", unit, str(self._own), str(self._machines))
        code, said = await _run(self._command, *words)
        return f"cannot give {unit} its resolv.conf again: {said}" if code else ""


def _identity(path: Path) -> str:
    """Of the file or link itself: what it leads to is not where the mount would have been."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return "none"
    return f"{found.st_dev} {found.st_ino}"


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except FileNotFoundError:
        return ""


async def _run(*words: str) -> tuple[int, str]:
    """Its exit code and what it printed."""
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *words, stdin=null, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return 1, f"{words[0]} did not end within {DEADLINE_S:g} s"
    return process.returncode or 0, said.decode("utf-8", "replace").strip()
