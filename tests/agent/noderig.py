"""A node for tests: real files in a folder, the fake systemd, and a disk that can be full."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from skerry_agent.disk.files import Files
from skerry_agent.joining.identity import Identity
from skerry_agent.switch.node import Node, Switched
from skerry_agent.switch.places import Places
from skerry_agent.systemd.fake import FakeSystemd
from skerry_protocol import signing
from skerry_protocol.app import App
from skerry_protocol.codec import encode
from skerry_protocol.ids import InstanceId, NodeId, NodeName
from skerry_protocol.messages import AppRevision, Assignment, Instance, Version

from . import builders as b


class FullDisk(Files):
    """`left`: how many writes there is room for; None: any number."""

    left: int | None = None

    def write(self, path: Path, data: bytes, mode: int) -> None:
        if self.left is not None:
            if self.left <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.left -= 1
        super().write(path, data, mode)


def identity(
    node: NodeId = b.NODE, tls_key: bytes = b"t" * 32, credentials: str = "a.b.c", nats: tuple[str, ...] = ()
) -> Identity:
    word = signing.delegate(b.ROOT, b.MESH, b.REGION, 1, signing.public_key(b.HUB), tls_key)
    pin = signing.pin(signing.public_key(b.ROOT))
    return Identity(
        node, NodeName("n1"), b.MESH, b.REGION, pin, encode(word), ("127.0.0.1:1",), nats, credentials
    )


def places(folder: Path) -> Places:
    return Places(
        folder / "state", folder / "units", folder / "policy.toml", folder / "run", folder / "run-units",
        folder / "control",
    )  # fmt: skip


@dataclass(frozen=True)
class Copy:
    """An instance's app at one revision."""

    app: App
    revision: int = 1
    number: int = 0

    @property
    def instance(self) -> Instance:
        return b.an_instance(self.app, self.number, self.revision)


def assignment(
    generation: int, *copies: Copy, since: tuple[Assignment, ...] = (), removed: tuple[InstanceId, ...] = (),
    node: NodeId = b.NODE, overwrites: bytes | None = None,
) -> Assignment:  # fmt: skip
    apps = {
        (one.app.name, one.revision): AppRevision(one.revision, one.app, "ann", "because") for one in copies
    }
    return Assignment(
        b.MESH, b.REGION, node, Version(1, 1, generation), tuple(one.instance for one in copies), tuple(apps.values()),
        tuple(b.issued(one) for one in since), removed, overwrites,
    )  # fmt: skip


class Rig:
    """One machine. `open` is what an agent's start does; the machine stays."""

    def __init__(self, folder: Path, who: Identity | None = None) -> None:
        self.places = places(folder)
        for made in (self.places.units, self.places.run_units):
            made.mkdir()
        (self.places.units / "skerry.target").write_text("[Unit]\n")
        self.systemd = FakeSystemd([self.places.units, self.places.run_units])
        self.disk = FullDisk()
        self.identity = who or identity()
        self.node = self.open()

    def open(self) -> Node:
        self.node = Node(self.places, self.identity, self.systemd, self.disk)
        self.node.open()
        return self.node

    async def switch(self) -> Switched:
        done = await self.node.switch()
        assert isinstance(done, Switched), done
        return done

    async def run(self, made: Assignment) -> None:
        """Offered, taken and switched to."""
        self.node.offer(b.envelope(made))
        assert self.node.accepted == b.issued(made), self.node.refusal
        done = await self.switch()
        assert done.failures == ()

    def command(self, unit: str) -> str:
        text = (self.places.units / unit).read_text()
        return next(line for line in text.splitlines() if line.startswith("ExecStart=")).replace('"', "")

    async def up(self, unit: str) -> bool:
        shown = await self.systemd.show([unit])
        return isinstance(shown, tuple) and shown[0].up


def revisions(*numbers: int) -> list[Copy]:
    """One app, `web`, at several revisions; each runs for so many seconds as its number says."""
    return [Copy(b.an_app(run=("sleep", str(number))), number) for number in numbers]
