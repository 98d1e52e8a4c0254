"""A hub and two nodes, each a whole machine; web on the first node reaches db on the second.

The hub is the part of one that a network has: its tunnel and its rules. The nodes run skerry-net as their systemd
starts it. What their agents would write, the test writes by the agent's own code.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from skerry_agent.disk import sealed
from skerry_agent.network.keys import port_of
from skerry_agent.network.records import FOUND, STATUS, Found, Plan, Status
from skerry_agent.units.sandbox import NAMESPACES
from skerry_netplan.hubside import HubHere, lower_hub
from skerry_netplan.lower import namespace_of
from skerry_netplan.model import Copy, Region
from skerry_netplan.planner import Planner
from skerry_protocol.codec import encode
from skerry_protocol.ids import InstanceId, NodeId, NodeName
from tests.lab.network.rig import ALONE, DB, HUB_PORT, SQL, WEB, private, public, region
from tests.netplan.regions import HUB
from tests.vm.image import ROOT, address
from tests.vm.machine import ANSWERS_S, Machine, MachineError, until

PYTHON = str(ROOT / ".venv/bin/python")
STATE, RUN = Path("/var/lib/skerry"), Path("/run/skerry")
DOING = (PYTHON, "-m", "tests.vm.guest.doing")
UNIT = "skerry-net.service"
HUB_NUMBER = 1  # the rig's hub is at the first address of the cable, its nodes follow


def plan(one: Region, number: int) -> Plan:
    """Of the node with this number, as its agent keeps it."""
    own = [copy for copy in one.copies if copy.node == f"id{number}"]
    says = {copy.app: one.apps[copy.app] for copy in own}
    network = Planner(one).plan(NodeId(f"id{number}"))
    return Plan(network, NodeName(f"n{number}"), {copy.id: copy.app for copy in own}, says)


def by(one: Plan, *endpoints: str) -> Plan:
    """The same instances by another way: with more endpoints of the hub."""
    (hub,) = one.network.hubs
    return replace(
        one, network=replace(one.network, hubs=(replace(hub, endpoints=(*hub.endpoints, *endpoints)),))
    )


FEW = plan(region(WEB, DB), 1)
MANY = by(plan(region(WEB, DB, ALONE), 1), "192.0.2.250:51820")
OTHER = plan(region(WEB, DB), 2)


@dataclass
class Node:
    """A machine with skerry-net."""

    machine: Machine
    number: int

    def prepare(self, first: Plan) -> None:
        """What a join leaves there, and the first plan; then skerry-net begins."""
        self.machine.text("mkdir", "-p", str(STATE / "identity"))
        for name, data in {
            "identity.json": b"",
            "link.key": private(f"link{self.number}"),
            "direct.key": private(f"direct{self.number}"),
        }.items():
            self.put(STATE / "identity" / name, data)
        self.accept(first)
        self.machine.text("systemctl", "start", UNIT)
        self.has(first)

    def put(self, path: Path, data: bytes) -> None:
        self.machine.text("/bin/sh", "-c", 'cat >"$0" && sync "$0"', str(path), data=data)

    def accept(self, plan: Plan) -> None:
        self.machine.text(*self.accepting, data=encode_record(plan))

    @property
    def accepting(self) -> tuple[str, ...]:
        return ("env", f"--chdir={ROOT}", *DOING, "accept")

    def knows_direct(self, other: int) -> None:
        """What skerry-net keeps once it has found the direct way to the other node."""
        key = public(f"direct{other}")
        at = f"{address(other + HUB_NUMBER)}:{port_of(key)}"
        found = Found({key.hex(): at})
        self.put(STATE / FOUND, sealed.seal(encode(found)))
        self.put(STATE / f"{FOUND}.twin", sealed.seal(encode(found)))

    # What is there

    def status(self) -> Status | None:
        raw = self.machine.read(RUN / STATUS)
        data = None if raw is None else sealed.unseal(raw)
        found = sealed.message(Status, data, STATUS)
        return found if isinstance(found, Status) else None

    def has(self, *plans: Plan, within: float = ANSWERS_S) -> Plan:
        """Waits until skerry-net says that all of one of these is there. Which."""
        by_digest = {plan.digest: plan for plan in plans}
        try:
            until("a whole plan", lambda: (self.status() or Status()).wanted in by_digest, within)
        except MachineError as error:
            raise MachineError(f"{error}: {self.status()}\n{self.journal()}") from error
        status = self.status()
        assert status is not None
        assert (status.backend, status.trouble) == ("kernel", "")
        return by_digest[status.wanted]

    def journal(self) -> str:
        return self.machine.run("journalctl", "--boot", "--no-pager", "--output=cat", f"--unit={UNIT}").out

    def spaces(self) -> set[InstanceId]:
        """Namespaces, as the kernel has them."""
        lines = self.machine.text("ls", f"{NAMESPACES}/").splitlines()
        return {InstanceId(line.removeprefix(namespace_of(InstanceId("")))) for line in lines}

    def reaches_hub(self) -> None:
        """Waits until its hub answers through the tunnel."""
        until("the hub answers", lambda: self.machine.run("ping", "-c1", "-W2", HUB.address).rc == 0)


def encode_record(plan: Plan) -> bytes:
    return sealed.bytes_of(plan)


def make_hub(machine: Machine) -> None:
    """After each boot: a hub's own process would."""
    wanted = lower_hub(region(WEB, DB, ALONE), HubHere(public("hub"), HUB_PORT, 1420))
    data = pickle.dumps((wanted, {public("hub"): private("hub")}))
    machine.text("env", f"--chdir={ROOT}", *DOING, "hub", data=data)


def listens(machine: Machine, copy: Copy) -> None:
    """Somebody in the copy's namespace takes every connection."""
    serving = (
        f"import socket; s = socket.create_server(('::', {SQL}), family=socket.AF_INET6)\n"
        "while True: s.accept()[0].close()"
    )
    space = f"--property=NetworkNamespacePath={NAMESPACES}/{namespace_of(copy.id)}"
    machine.text("systemd-run", "--unit=listens", space, "python3", "-IS", "-c", serving)


def talks(machine: Machine, client: Copy, server: Copy) -> bool:
    """Whether one's connection to the other is taken."""
    to = region(WEB, DB, ALONE).address_of(server)
    connecting = ("timeout", "2", "bash", "-c", f"exec 3<>/dev/tcp/{to}/{SQL}")
    return machine.run("nsenter", f"--net={NAMESPACES}/{namespace_of(client.id)}", *connecting).rc == 0
