"""Tunnels by wireguard-go, where the kernel has no WireGuard: through the socket that its processes listen on.

The words on the socket are those of https://www.wireguard.com/xplatform/ ("Configuration Protocol"). Who runs the
process is not decided here: `Runner` starts and ends it, a unit of systemd on a node, a child in a test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ..state import Peer
from .tunnels import PeerSeen, TunnelError, TunnelSeen

SOCKETS = Path("/var/run/wireguard")
_DEADLINE = 5.0
_NO_KEY = bytes(32)


class Runner(Protocol):
    """Runs one process for each interface. Both raise TunnelError."""

    async def start(self, interface: str) -> None:
        """Returns once its socket answers."""
        ...

    async def stop(self, interface: str) -> None:
        """Returns once the process has ended, and its interface with it."""
        ...


class Userspace:
    """A Backend."""

    name = "wireguard-go"

    def __init__(self, runner: Runner, sockets: Path = SOCKETS) -> None:
        self._runner = runner
        self._sockets = sockets

    async def create(self, interface: str) -> None:
        await self._runner.start(interface)

    async def remove(self, interface: str) -> None:
        await self._runner.stop(interface)

    async def read(self, interface: str) -> TunnelSeen:
        return parse(await self._ask(interface, ["get=1"]))

    async def configure(self, interface: str, private_key: bytes, port: int) -> None:
        await self._ask(interface, ["set=1", f"private_key={private_key.hex()}", f"listen_port={port}"])

    async def set_peer(self, interface: str, peer: Peer, endpoint: str | None) -> None:
        """Never by `replace_peers`, which would end every session."""
        lines = [f"public_key={peer.key.hex()}"]
        if endpoint is not None:
            lines.append(f"endpoint={endpoint}")
        lines += [f"persistent_keepalive_interval={peer.keepalive}", "replace_allowed_ips=true"]
        lines += [f"allowed_ip={network}" for network in sorted(peer.allowed)]
        await self._ask(interface, ["set=1", *lines])

    async def remove_peer(self, interface: str, key: bytes) -> None:
        await self._ask(interface, ["set=1", f"public_key={key.hex()}", "remove=true"])

    async def _ask(self, interface: str, lines: Iterable[str]) -> list[tuple[str, str]]:
        path = self._sockets / f"{interface}.sock"
        try:
            async with asyncio.timeout(_DEADLINE):
                found = await _exchange(path, "".join(f"{line}\n" for line in lines) + "\n")
        except (OSError, EOFError) as error:
            raise TunnelError(
                f"cannot ask wireguard-go of {interface}: {str(error) or type(error).__name__}"
            ) from error
        if (code := dict(found).get("errno")) != "0":
            raise TunnelError(f"wireguard-go refuses what {interface} is to be: error {code}")
        return found


async def _exchange(path: Path, text: str) -> list[tuple[str, str]]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(text.encode("ascii"))
        answer = await reader.readuntil(b"\n\n")
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    pairs = (line.partition("=") for line in answer.decode("ascii", "replace").splitlines() if line)
    return [(name, value) for name, _, value in pairs]


def parse(found: Iterable[tuple[str, str]]) -> TunnelSeen:
    """The answer to `get=1`. Raises TunnelError for what is none."""
    try:
        return _parse(found)
    except ValueError as error:
        raise TunnelError(f"cannot read what wireguard-go says: {error}") from error


def _parse(found: Iterable[tuple[str, str]]) -> TunnelSeen:
    key, port, peers = b"", 0, list[dict[str, list[str]]]()
    for name, value in found:
        if name == "private_key":
            private = bytes.fromhex(value)
            key = b"" if private == _NO_KEY else _public(private)
        elif name == "listen_port":
            port = int(value)
        elif name == "public_key":
            peers.append({name: [value]})
        elif peers:
            peers[-1].setdefault(name, []).append(value)
    seen = [_peer(one) for one in peers]
    return TunnelSeen(key, port, {one.peer.key: one for one in seen})


def _public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def _peer(said: dict[str, list[str]]) -> PeerSeen:
    def number(name: str) -> int:
        return int(said.get(name, ["0"])[-1])

    handshake = number("last_handshake_time_sec") + number("last_handshake_time_nsec") / 1e9
    peer = Peer(
        bytes.fromhex(said["public_key"][0]),
        frozenset(said.get("allowed_ip", ())),
        said.get("endpoint", [None])[-1],
        number("persistent_keepalive_interval"),
    )
    return PeerSeen(peer, handshake or None, number("rx_bytes"), number("tx_bytes"))
