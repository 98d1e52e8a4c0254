"""skerry-net as systemd runs it, in a booted machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from skerry_agent.network.records import Status
from skerry_agent.units.sandbox import NAMESPACES
from skerry_netplan.state import LINK
from tests.lab.network.booted import FIRST, MORE, N1, TUNNEL, UNIT, Machine, booted
from tests.lab.network.rig import ALONE, WEB

SPACE, ROOM = f"{NAMESPACES}/skerry-{WEB.id}", "skerry-spaces.service"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with booted("net-unit", tmp_path_factory.mktemp("net")) as made:
        yield made


@pytest.fixture
def machine(alone: Machine) -> Machine:
    """With the first plan, all of it there."""
    alone.world.systemctl(N1, "start", UNIT)
    alone.accept(FIRST)
    alone.has(FIRST)
    return alone


def test_a_plan_that_the_agent_writes_is_there_at_once(machine: Machine) -> None:
    machine.accept(MORE)
    machine.has(MORE)
    assert {LINK, "skerry-direct"} < set(machine.links())
    assert machine.spaces() == {f"skerry-{WEB.id}", f"skerry-{ALONE.id}"}
    assert MORE.network.hubs[0].key.hex() in machine.peers()
    address = MORE.network.addresses[WEB.id]
    assert address in machine.world.text(N1, "nsenter", f"--net={SPACE}", "ip", "-6", "address")


@pytest.mark.parametrize("how", ["kill", "stop", "restart"])
def test_whatever_happens_to_skerry_net_all_stays(machine: Machine, how: str) -> None:
    before = machine.seen()
    if how == "kill":
        machine.kill(UNIT)
    else:
        machine.world.systemctl(N1, how, UNIT)
    assert machine.seen() == before
    machine.world.systemctl(N1, "start", UNIT)
    machine.has(FIRST)
    assert machine.seen() == before


def test_a_cold_boot_brings_all_back_before_anything_runs(machine: Machine) -> None:
    machine.world.lab.poweroff(N1)
    machine.world.lab.boot(N1)
    assert (
        machine.world.systemctl(N1, "is-active", "skerry-agent.service", check=False).stdout == "inactive\n"
    )
    assert machine.world.shown(N1, "skerry.target", "ActiveState") == "active"
    machine.has(FIRST)
    entered, began = (
        int(machine.world.shown(N1, unit, f"{which}TimestampMonotonic"))
        for unit, which in ((UNIT, "ActiveEnter"), ("skerry.target", "ActiveEnter"))
    )
    assert 0 < entered <= began
    assert machine.spaces() == {f"skerry-{WEB.id}"}
    assert FIRST.network.hubs[0].key.hex() in machine.peers()


def test_a_tunnel_whose_process_died_is_made_again_at_once(machine: Machine) -> None:
    key, pid = FIRST.network.hubs[0].key.hex(), machine.world.shown(N1, TUNNEL, "MainPID")
    machine.kill(TUNNEL)
    machine.world.until(
        "its peers are back",
        lambda: machine.world.shown(N1, TUNNEL, "MainPID") != pid and key in machine.peers(),
    )
    machine.has(FIRST)
    routes = machine.world.text(N1, "ip", "-6", "route", "show", "dev", LINK)
    assert FIRST.network.whole in routes


def test_what_an_admin_takes_away_is_put_back_at_once_and_said_once(machine: Machine) -> None:
    before = machine.said().count("SetRules")
    machine.world.text(N1, "nft", "flush", "ruleset")
    machine.has(FIRST, lambda: "skerry" in machine.world.text(N1, "nft", "list", "tables"))
    machine.world.text(
        N1, "ip", "link", "delete", next(one for one in machine.links() if one.startswith("sk-"))
    )
    machine.has(FIRST, lambda: any(one.startswith("sk-") for one in machine.links()))
    machine.world.until("it is said", lambda: "AddSpace" in machine.said())
    assert machine.said().count("SetRules") == before + 1


def test_an_instance_that_runs_in_a_namespace_has_its_network(machine: Machine) -> None:
    """systemd itself has to see the namespace, which a mount of skerry-net's own would hide."""
    assert "eth0" in started(machine)


def started(machine: Machine) -> str:
    """The interfaces that something sees which systemd starts there."""
    return machine.world.text(
        N1, "systemd-run", "--quiet", "--pipe", "--wait", f"--property=NetworkNamespacePath={SPACE}",
        "--property=ProtectSystem=strict", "--property=DynamicUser=yes", "--property=PrivateTmp=yes",
        "cat", "/proc/net/if_inet6",
    )  # fmt: skip


@pytest.mark.parametrize("how", ["kill", "stop", "restart"])
def test_whatever_happens_to_the_process_that_leads_to_namespaces_all_stays(
    machine: Machine, how: str
) -> None:
    before, pid = machine.seen(), machine.world.shown(N1, ROOM, "MainPID")
    inside = machine.world.text(N1, "stat", "--dereference", "--format=%i", SPACE)
    if how == "kill":
        machine.kill(ROOM)
    else:
        machine.world.systemctl(N1, how, ROOM)
    machine.accept(MORE)
    machine.has(MORE)
    machine.accept(FIRST)
    machine.has(FIRST)
    machine.world.systemctl(N1, "start", ROOM)
    machine.world.until("another leads there", lambda: machine.world.shown(N1, ROOM, "MainPID") != pid)
    assert "eth0" in machine.world.until("it starts", lambda: started(machine))
    assert machine.world.text(N1, "stat", "--dereference", "--format=%i", SPACE) == inside
    after = machine.seen()
    assert (after[0].items() >= before[0].items(), *after[1:]) == (True, *before[1:])


def test_no_other_unit_passes_the_mounts_of_namespaces(machine: Machine) -> None:
    mounts = machine.world.text(N1, "cat", "/proc/self/mountinfo")
    assert "skerry-web" not in mounts
    assert len([line for line in mounts.splitlines() if "/run/skerry" in line]) <= 2


def test_ways_that_do_not_make_sense_are_said(machine: Machine) -> None:
    before = machine.seen()
    machine.accept(replace(FIRST, network=replace(FIRST.network, hubs=())))
    machine.world.until("it says so", lambda: "names no hub" in (machine.status() or Status()).trouble)
    assert machine.seen() == before
