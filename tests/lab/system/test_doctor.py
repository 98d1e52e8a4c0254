"""Doctors on real machines: each fault is found where it is, and what follows from it is not called another fault."""

from __future__ import annotations

import msgspec
import pytest

from skerry_protocol.findings import Finding, Verdict
from tests.lab.system.world import World

WITHIN_S = 20.0
BY_HAND = ["skerry-agent", "doctor"]


def looked(world: World, node: str) -> dict[str, Finding]:
    """What `skerry-agent doctor` finds; it ends in its time, and its exit code says whether all is well."""
    done = world.run(node, *BY_HAND, "--json", check=False, timeout=WITHIN_S)
    found = msgspec.json.decode(done.stdout, type=tuple[Finding, ...])
    assert done.returncode == (0 if all(one.ok for one in found) else 1), done.stderr
    return {one.check: one for one in found}


def asked(world: World, *words: str) -> dict[str, Finding]:
    """What `skerry doctor` finds."""
    done = world.ask("doctor", *words, "--json", timeout=60)
    found = msgspec.json.decode(done.stdout, type=tuple[Finding, ...])
    assert done.returncode == (0 if all(one.ok for one in found) else 1), done.stderr
    return {one.check: one for one in found}


def bad(found: dict[str, Finding]) -> list[str]:
    """Those that are bad, as they are said; each says what to do."""
    ill = [one for one in found.values() if one.verdict is Verdict.BAD]
    assert all(one.then for one in ill)
    return [one.check for one in ill]


def well(world: World, node: str) -> bool:
    return all(one.ok for one in looked(world, node).values())


@pytest.fixture(autouse=True)
def whole(world: World) -> None:
    """What a test broke is whole again before the next."""
    world.mend()
    for node in world.nodes:
        world.systemctl(node, "start", "skerry-net.service")
        world.until(f"{node} is well", lambda node=node: well(world, node))  # type: ignore[misc]


def test_all_is_well_and_nothing_is_changed_by_looking(world: World) -> None:
    rules = world.text("n1", "nft", "list", "ruleset")
    links = world.text("n1", "ip", "-brief", "address")
    said = world.run("n1", *BY_HAND)
    assert {line.split()[0] for line in said.stdout.splitlines()} == {"ok"}
    assert "what to do" not in said.stdout
    assert world.text("n1", "nft", "list", "ruleset") == rules
    assert world.text("n1", "ip", "-brief", "address") == links
    assert bad(asked(world)) == []
    of_node = asked(world, "n1")
    assert all(one.ok for one in of_node.values()), of_node
    assert "mtu" in of_node["its own word"].seen, "the node was asked, and looked at itself"


def test_a_node_that_is_cut_off(world: World) -> None:
    world.lab.cut("n1")
    found = looked(world, "n1")
    assert bad(found)[:3] == ["https", "udp", "nats"]
    assert "way out" in found["https"].then
    assert found["nats"].after == "udp"
    assert found["skerry-net"].ok
    assert found["tunnel"].ok
    from_hub = asked(world, "n1")
    assert "node" in bad(from_hub)
    assert "skerry-agent doctor" in from_hub["node"].then
    assert all(from_hub[check].ok for check in ("hub", "token", "tunnels", "nats", "region"))


def test_a_hub_that_is_stopped_behind_a_tunnel_that_works(world: World) -> None:
    world.lab.hub_stop()
    found = looked(world, "n1")
    assert found["udp"].ok
    assert found["inside"].ok
    assert bad(found)[:2] == ["https", "nats"]
    assert "systemctl status skerry-hub" in found["https"].then
    there = asked(world)
    assert bad(there) == ["hub"]
    assert "systemctl status skerry-hub" in there["hub"].then


def test_an_agent_that_is_stopped(world: World) -> None:
    world.systemctl("n2", "stop", "skerry-agent.service")
    found = looked(world, "n2")
    assert bad(found) == ["agent"]
    assert found["agent"].then.startswith("systemctl start skerry-agent")
    from_hub = asked(world, "n2")
    assert bad(from_hub) == ["node"]
    assert "systemctl status skerry-agent" in from_hub["node"].then
    world.systemctl("n2", "start", "skerry-agent.service")


def test_bus_tunnel_and_agent_all_hang(world: World) -> None:
    hang = "systemctl kill --signal={0} skerry-agent skerry-wireguard@skerry; kill -{0} $(pidof dbus-daemon)"
    world.run("n2", "sh", "-c", hang.format("STOP"))
    found = looked(world, "n2")
    world.run("n2", "sh", "-c", hang.format("CONT"))
    assert bad(found)[0] == "systemd"
    assert {"tunnel", "nats", "agent"} <= set(bad(found))
    assert "silent" in found["agent"].seen
    assert {check for check in ("disk", "records", "name", "https", "clock") if found[check].ok} == {
        "disk", "records", "name", "https", "clock",
    }, "what does not hang is told as it is"  # fmt: skip


def test_skerry_net_is_stopped_and_what_it_made_is_gone(world: World) -> None:
    world.systemctl("n1", "stop", "skerry-net.service")
    world.run("n1", "nft", "delete", "table", "inet", "skerry")
    found = looked(world, "n1")
    assert bad(found) == ["skerry-net", "firewall"]
    assert found["firewall"].after == "skerry-net"
    own = asked(world, "n1")
    assert {"skerry-net", "firewall"} <= set(bad(own)), "the node says it of itself to the operator too"
    world.run("n1", "ip", "link", "delete", "skerry")
    found = looked(world, "n1")
    assert bad(found)[:3] == ["skerry-net", "tunnel", "firewall"]
    assert found["tunnel"].after == "skerry-net"


def test_udp_is_shut_while_https_gets_through(world: World) -> None:
    rules = "add table inet shut; add chain inet shut out { type filter hook output priority 0; }"
    world.run("n1", "nft", f"{rules}; add rule inet shut out meta l4proto udp udp dport 51820 drop")
    found = looked(world, "n1")
    world.run("n1", "nft", "delete", "table", "inet", "shut")
    assert found["https"].ok
    assert bad(found)[0] == "udp"
    assert "let UDP to port 51820 of the hub pass" in found["udp"].then


def test_a_disk_that_takes_no_write_and_a_machine_that_is_no_member(world: World) -> None:
    world.run("n2", "mount", "--bind", "-o", "ro", "/var/lib/skerry", "/var/lib/skerry")
    world.run("n2", "mount", "-o", "remount,bind,ro", "/var/lib/skerry")
    found = looked(world, "n2")
    world.run("n2", "umount", "/var/lib/skerry")
    assert bad(found)[0] == "disk"
    assert "Read-only" in found["disk"].seen
    world.run("n2", "mount", "-t", "tmpfs", "none", "/var/lib/skerry")
    found = looked(world, "n2")
    world.run("n2", "umount", "/var/lib/skerry")
    assert bad(found) == ["joined"]
    assert "skerry-agent join TOKEN" in found["joined"].then
