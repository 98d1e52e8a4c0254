"""Two nodes and a hub with the kernel's WireGuard: traffic through the hub, and a cold boot while nobody is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.lab.network.rig import DB, WEB
from tests.vm.conftest import Says
from tests.vm.machine import Machine, until
from tests.vm.mesh import FEW, OTHER, Node, listens, make_hub, talks


@dataclass
class Mesh:
    hub: Machine
    one: Node
    two: Node


@pytest.fixture(scope="module")
def mesh(machines: Callable[[str, int], Machine]) -> Mesh:
    """Where both nodes reach the hub, and somebody listens in the second's instance."""
    made = Mesh(machines("hub", 1), Node(machines("n1", 2), 1), Node(machines("n2", 3), 2))
    for machine in (made.hub, made.one.machine, made.two.machine):
        machine.on()
    make_hub(made.hub)
    made.one.prepare(FEW)
    made.two.prepare(OTHER)
    for node in (made.one, made.two):
        node.reaches_hub()
    listens(made.two.machine, DB)
    return made


def test_instances_on_two_nodes_talk_through_the_hub(mesh: Mesh) -> None:
    until("web reaches db", lambda: talks(mesh.one.machine, WEB, DB))


def test_a_cold_boot_without_a_hub_brings_the_instances_back_to_each_other(mesh: Mesh, says: Says) -> None:
    """By the direct way, which the nodes had found before."""
    mesh.one.knows_direct(2)
    mesh.two.knows_direct(1)
    mesh.two.machine.text("systemctl", "restart", "skerry-net.service")
    mesh.hub.cut()
    mesh.one.machine.cut()
    mesh.one.machine.on()
    began = mesh.one.machine.since
    mesh.one.has(FEW)
    whole = time.monotonic() - began
    until("web reaches db", lambda: talks(mesh.one.machine, WEB, DB))
    first = time.monotonic() - began
    says(f"cold boot with no hub: network whole {whole:.1f} s after power-on, first connection {first:.1f} s")
