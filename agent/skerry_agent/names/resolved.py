"""systemd-resolved, where the machine has it: it asks the node's resolver for names of the mesh, and nobody else.

By a routing domain of the tunnel's interface (resolvectl(1)), so that names of others go where they went before. It
forgets that with the interface, and when it starts anew: `tell` sees by what it told whom.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from skerry_netplan.names import DOMAIN

SOCKETS = Path("/run/systemd/resolve")
SOCKET = "io.systemd.Resolve"
DEADLINE_S = 5.0
Told = tuple[str, int, int, int]


class Resolved:
    """`folder`: where its socket is. `command`: resolvectl."""

    def __init__(self, folder: Path = SOCKETS, command: str = "resolvectl") -> None:
        self._socket, self._command = folder / SOCKET, command
        self._told: Told | None = None

    async def tell(self, link: str, index: int, address: str) -> str:
        """Why it could not be told; empty: it was, or does not run. `index`: of the interface."""
        try:
            there = self._socket.stat()
        except OSError:
            self._told = None
            return ""
        now = address, index, there.st_ino, there.st_mtime_ns
        if now == self._told:
            return ""
        for words in (("dns", link, address), ("domain", link, f"~{DOMAIN}")):
            if trouble := await _run(self._command, *words):
                return f"cannot have systemd-resolved ask for names of the mesh: {trouble}"
        self._told = now
        return ""


async def _run(*words: str) -> str:
    """What it complains of."""
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(*words, stdin=null, stdout=null, stderr=pipe)
    except OSError as error:
        return f"{words[0]}: {error.strerror}"
    try:
        async with asyncio.timeout(DEADLINE_S):
            _, said = await process.communicate()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        return f"{words[0]} did not end within {DEADLINE_S:g} s"
    return (said.decode("utf-8", "replace").strip() or words[0]) if process.returncode else ""
