"""A booted machine on which systemd runs skerry-net: no hub is there, and the agent does not run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from skerry_agent.disk import sealed
from skerry_agent.network.records import STATUS, WANTED, Plan, Status
from skerry_agent.units.sandbox import NAMESPACES
from skerry_hub.lab import Lab, enter
from skerry_hub.lab.layout import Host
from skerry_netplan.model import Copy
from skerry_netplan.planner import Planner
from skerry_netplan.state import LINK
from skerry_protocol.ids import NodeId, NodeName
from tests.lab.network.rig import ALONE, DB, WEB, region
from tests.lab.system.world import World

N1, UNIT, TUNNEL = "n1", "skerry-net.service", f"skerry-wireguard@{LINK}.service"


def plan(*copies: Copy) -> Plan:
    """The node's, of a region with these copies."""
    one = region(*copies)
    own = [copy for copy in one.copies if copy.node == "id1"]
    says = {copy.app: one.apps[copy.app] for copy in own}
    return Plan(Planner(one).plan(NodeId("id1")), NodeName(N1), {copy.id: copy.app for copy in own}, says)


FIRST, MORE = plan(WEB, DB), plan(WEB, DB, ALONE)


class Machine:
    """The node, and what its agent would do."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def root(self) -> Path:
        return Path(f"/proc/{enter.node_pid(self.world.lab.paths, Host(N1))}/root")

    def accept(self, plan: Plan) -> None:
        sealed.write_twice(self.root / "var/lib/skerry" / WANTED, sealed.bytes_of(plan))

    def status(self) -> Status | None:
        found = sealed.message(Status, sealed.read(self.root / "run/skerry" / STATUS), STATUS)
        return found if isinstance(found, Status) else None

    def anywhere(self) -> Status | None:
        """Its status, wherever the machine may be in its own network."""
        found = self.status()
        return replace(found, lan=()) if found else None

    def has(self, plan: Plan, meanwhile: Callable[[], bool] = lambda: True) -> None:
        """Until it says that all of it is there."""
        spaces, mates = tuple(sorted(plan.network.addresses)), {mate.name: "" for mate in plan.network.mates}
        wanted = Status(plan.way, plan.digest, spaces, backend="wireguard-go", mates=mates)
        self.world.until(f"{wanted}", lambda: self.anywhere() == wanted and meanwhile())

    def links(self) -> dict[str, str]:
        """Interfaces that are up, with their indexes: one that was made anew has another."""
        lines = self.world.text(N1, "ip", "-o", "link", "show", "up").splitlines()
        return {name.partition("@")[0]: index for index, name, *_ in (line.split(": ") for line in lines)}

    def spaces(self) -> set[str]:
        return set(self.world.text(N1, "ls", f"{NAMESPACES}/").split())

    def peers(self) -> str:
        asking = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/wireguard/{LINK}.sock')"
        asking += "; s.sendall(b'get=1\\n\\n'); print(s.recv(65536).decode())"
        return self.world.text(N1, "python3", "-c", asking)

    def rules(self) -> str:
        return self.world.text(N1, "nft", "list", "table", "inet", "skerry")

    def said(self) -> str:
        """What it put back."""
        what = "put back what somebody"
        return self.world.run(N1, "journalctl", "-o", "cat", "-u", UNIT, "--grep", what, check=False).stdout

    def seen(self) -> tuple[dict[str, str], set[str], str, str]:
        """All that is to stay as it is, to the process of the tunnel."""
        return self.links(), self.spaces(), self.rules(), self.world.shown(N1, TUNNEL, "MainPID")

    def kill(self, unit: str) -> None:
        self.world.systemctl(N1, "kill", "--signal=KILL", unit)


@contextmanager
def booted(name: str, folder: Path) -> Iterator[Machine]:
    with Lab(f"{name}-{os.getpid()}") as lab:
        lab.up([N1], hub=False, tied=True)
        world = World(lab, [N1], folder)
        world.systemctl(N1, "disable", "--now", "skerry-agent.service")
        for own in ("identity", "network"):
            (lab.root(N1) / "var/lib/skerry" / own).mkdir(parents=True, exist_ok=True)
        (lab.root(N1) / "var/lib/skerry/identity/identity.json").touch()
        world.systemctl(N1, "start", UNIT)
        yield Machine(world)
