"""Nodes and the hub can be given what a mesh's network is made of: tunnels, namespaces, rules, settings."""

from skerry_hub.lab import Lab
from skerry_hub.lab.client import Result

MAKES = "wireguard-go sk-test && ip link set sk-test up && ip -brief link show sk-test && ls /run/wireguard"
SETTINGS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/src_valid_mark",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/default/accept_dad",
)


def of(done: Result) -> list[str]:
    return done.stdout.splitlines()


def test_a_node_makes_tunnels_and_rules_of_its_own(lab: Lab) -> None:
    link, *sockets = of(lab.run("n1", ["sh", "-c", MAKES]))
    assert link.split()[0] == "sk-test"
    assert sockets == ["sk-test.sock"]
    lab.run("n1", ["nft", "add table inet ours"])
    assert of(lab.run("n1", ["nft", "list", "tables"])) == ["table inet ours"]
    assert lab.run("n2", ["nft", "list", "ruleset"]).stdout == ""
    assert lab.run("n2", ["ip", "link", "show", "sk-test"], check=False).returncode == 1


def test_a_node_may_set_what_its_network_does_and_no_more(lab: Lab) -> None:
    for name in SETTINGS:
        lab.run("n1", ["sh", "-c", f"echo 1 > /proc/sys/{name}"])
        assert lab.run("n1", ["cat", f"/proc/sys/{name}"]).stdout == "1\n"
    assert lab.run("n1", ["sh", "-c", "echo 1 > /proc/sys/kernel/panic"], check=False).returncode != 0


def test_units_of_a_node_live_in_namespaces_that_another_made(lab: Lab) -> None:
    own = ["systemd-run", "--quiet", "--wait", "--pipe"]
    lab.run("n1", [*own, "ip", "netns", "add", "sk-space"])
    into = [
        "-p",
        "NetworkNamespacePath=/run/netns/sk-space",
        "-p",
        "DynamicUser=yes",
        "-p",
        "PrivateUsers=yes",
    ]
    assert [line.split()[0] for line in of(lab.run("n1", [*own, *into, "ip", "-brief", "link"]))] == ["lo"]


def test_the_hub_makes_tunnels_and_rules_of_its_own(lab: Lab) -> None:
    link, *sockets = of(lab.hub_exec(["sh", "-c", MAKES]))
    assert link.split()[0] == "sk-test"
    assert "sk-test.sock" in sockets, "beside what stands in for the kernel's"
    lab.hub_exec(["nft", "add table inet ours"])
    assert of(lab.hub_exec(["nft", "list", "tables"])) == ["table inet ours"]
    assert lab.run("n1", ["nft", "list", "ruleset"]).stdout == ""


def test_units_of_the_network_are_in_nodes_as_in_a_package(bare_lab: Lab) -> None:
    bare_lab.up(1, hub=False, tied=True)
    enabled = bare_lab.run("n1", ["systemctl", "is-enabled", "skerry-agent.service", "skerry-net.service"])
    assert of(enabled) == ["enabled", "enabled"]
    bare_lab.run("n1", ["systemctl", "start", "skerry-wireguard@sk-test.service"])
    waits = "until ip link show sk-test; do sleep 0.02; done"
    bare_lab.run("n1", ["timeout", "10", "sh", "-c", waits])
    bare_lab.run("n1", ["systemctl", "is-active", "skerry-wireguard@sk-test.service"])
