"""Where everything of a lab is: names, addresses, paths, and the plan that `up` hands to the keeper.

Pure: it computes, it never touches a file. Every other module of the lab takes its paths from here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NewType

from msgspec import Struct

from .addresses import Address
from .errors import LabError

Host = NewType("Host", str)
"""A machine on the lab's small internet: a node, or the hub."""

HUB = Host("hub")
HUB_PORT = 8443
RUN = Path("/run/skerry-lab")
STORE = Path("/var/lib/skerry-lab")
CGROUP = "skerry-lab"
DEFAULT = "lab"
MOST_NODES = 250

Direction = Literal["both", "up", "down"]
"""Which way a cut drops packets: from the machine (up), to it (down), or both."""

Disks = Literal["memory", "disk"]

_LAB_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_NODE_NAME = re.compile(r"[a-z][a-z0-9-]{0,14}")
_RESERVED = frozenset({"hub", "keeper", "lo"})


class Config(Struct, frozen=True):
    """What a lab is made of, settled before anything starts."""

    name: str
    nodes: tuple[str, ...]
    hub_argv: tuple[str, ...]
    """`{data}` and `{listen}` in it are replaced."""
    bindir: str
    """Where skerry-agent and the others are; on the PATH of every machine."""
    units: str | None
    """A folder of unit files for the nodes; `@BINDIR@` in them is replaced."""
    visible: tuple[str, ...]
    """Folders that nodes see read-only at the same path, always as they are now on the host."""
    disks: Disks = "memory"


@dataclass(frozen=True)
class Paths:
    """A lab's files on the host."""

    name: str

    @property
    def run(self) -> Path:
        """Sockets and logs; goes with the lab."""
        return RUN / self.name

    @property
    def command(self) -> str:
        """What people type to speak of this lab."""
        return "skerry lab" if self.name == DEFAULT else f"skerry lab --name {self.name}"

    @property
    def lock(self) -> Path:
        """Held as long as any of the lab's own processes lives."""
        return self.run / "lock"

    @property
    def outer(self) -> Path:
        """Process id and start time of the outer process."""
        return self.run / "outer"

    @property
    def control(self) -> Path:
        return self.run / "control.sock"

    @property
    def api(self) -> Path:
        """A unix socket that leads to the hub's API, also while the hub is cut off."""
        return self.run / "api.sock"

    @property
    def log(self) -> Path:
        return self.run / "keeper.log"

    @property
    def store(self) -> Path:
        """On a real disk; goes with the lab too."""
        return STORE / self.name

    @property
    def hub_data(self) -> Path:
        return self.store / "hub"

    @property
    def hub_log(self) -> Path:
        return self.store / "hub.log"

    def console(self, host: Host) -> Path:
        return self.run / f"{host}.console"

    def disk(self, host: Host, disks: Disks) -> Path:
        """What a node has changed on its disk. In memory it is in the keeper's mount namespace alone."""
        return (Path("/run/disks") if disks == "memory" else self.store / "disks") / host


def root(host: Host) -> Path:
    """A node's whole disk, in the keeper's mount namespace."""
    return Path("/run/roots") / host


def lab_name(text: str) -> str:
    if not _LAB_NAME.fullmatch(text):
        raise LabError(
            f"cannot use '{text}' as a lab's name: it takes 1 to 32 of a-z, 0-9 and -, and begins with no -"
        )
    return text


def node_names(nodes: int | tuple[str, ...]) -> tuple[str, ...]:
    """`3` is n1, n2, n3. A name is also a network interface's, so it is short."""
    count = nodes if isinstance(nodes, int) else len(nodes)
    if not 0 <= count <= MOST_NODES:
        raise LabError(f"cannot make a lab of {count} nodes: it takes 0 to {MOST_NODES}")
    names = tuple(f"n{number}" for number in range(1, nodes + 1)) if isinstance(nodes, int) else nodes
    for name in names:
        if not _NODE_NAME.fullmatch(name) or name in _RESERVED:
            raise LabError(
                f"cannot call a node '{name}': names take 1 to 15 of a-z, 0-9 and -, begin with a letter,"
                f" and are none of {', '.join(sorted(_RESERVED))}"
            )
    if len(set(names)) != len(names):
        raise LabError("cannot make the lab: two nodes have the same name")
    return names


def hosts_file(addresses: dict[Host, Address]) -> str:
    """/etc/hosts of every machine in the lab: there is no DNS."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    for host, address in addresses.items():
        lines += [f"{address.ipv4} {host}", f"{address.ipv6} {host}"]
    return "\n".join([*lines, ""])
