"""Names on a booted machine: an instance finds others by the text of its unit alone, without hub and agent."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from skerry_agent.disk import sealed
from skerry_agent.network.records import HINT, Status
from skerry_agent.units.policy import Policy
from skerry_agent.units.render import NodeFacts, Paths, Rendered, render
from skerry_agent.units.sandbox import NAMESPACES
from skerry_netplan.address import node_address
from skerry_protocol.messages import Hint, Instance
from tests.agent.builders import an_app
from tests.lab.network.booted import FIRST, MORE, N1, UNIT, Machine, booted, plan
from tests.lab.network.rig import WEB, region
from tests.netplan.regions import copy

NODE = str(node_address(region(WEB).network_of(WEB.node)))
DB0, DB1 = copy("db", 0, 2), copy("db", 1, 2)
SERVICE, SERVER = "skerry-web-1.service", "other-names.socket"
ELSEWHERE = "2001:db8::7"
LOOKS = "for name in db.skerry 1.db.skerry n2.node.skerry www.example.org nobody.skerry.; do getent ahostsv6 $name |"
LOOKS += " while read address rest; do echo $name $address; done | sort -u; done; echo done; exec sleep 600"
ENOUGH = "/run/asked-enough"
ASKS_ON = f"""
import os, socket, struct, sys
name = b"".join(bytes([len(part)]) + part for part in (b"db", b"skerry")) + b"\\0"
answered = failed = 0
while not os.path.exists("{ENOUGH}"):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        try:
            sock.connect((sys.argv[1], 53))
            sock.send(struct.pack("!6H", answered + 1, 0x100, 1, 0, 0, 0) + name + b"\\0\\x1c\\0\\1")
            sock.recv(4096)
            answered += 1
        except OSError:
            failed += 1
    if answered == 1:
        print("begun", flush=True)
print(answered, failed, flush=True)
"""
# Another server, which knows every name: it gives the question back with one answer.
OTHER = f"""
import socket
sock = socket.socket(fileno=3)
while True:
    data, sender = sock.recvfrom(4096)
    end = data.index(0, 12) + 5
    is_aaaa = data[end - 4 : end - 2] == b"\\0\\x1c"
    answer = b"\\xc0\\x0c\\0\\x1c\\0\\1\\0\\0\\0\\x3c\\0\\x10" + socket.inet_pton(socket.AF_INET6, "{ELSEWHERE}")
    head = data[:2] + b"\\x81\\x80\\0\\1\\0" + (b"\\1" if is_aaaa else b"\\0") + b"\\0\\0\\0\\0"
    sock.sendto(head + data[12:end] + (answer if is_aaaa else b""), sender)
"""


def rendered() -> Rendered:
    app = an_app("web", run=("/bin/sh", "-c", LOOKS))
    made = Instance(WEB.id, WEB.app, WEB.number, 1)
    found = render(made, app, Policy(), Paths(), NodeFacts(N1, "x86_64", network=True))
    assert isinstance(found, Rendered)
    return found


class Names(Machine):
    """With a unit as the agent writes it, and another server that this machine asks."""

    def put(self, path: str, text: str) -> None:
        file = self.root / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def furnish(self) -> None:
        made = rendered()
        self.put(f"{Paths().units}/{SERVICE}", made.units[SERVICE])
        self.put(f"{Paths().instances}/{WEB.id}/current/env", made.tree["env"].data.decode())
        self.put("/usr/local/lib/other-names.py", OTHER)
        start = f"[Service]\nExecStart={sys.executable} /usr/local/lib/other-names.py\n"
        self.put(f"{Paths().units}/other-names.service", start)
        listen = "[Socket]\nListenDatagram=127.0.0.9:53\n[Install]\nWantedBy=sockets.target\n"
        self.put(f"{Paths().units}/{SERVER}", listen)
        self.put("/etc/resolv.conf", "nameserver 127.0.0.9\nsearch mesh.example\n")
        self.world.systemctl(N1, "daemon-reload")
        self.world.systemctl(N1, "enable", SERVICE, SERVER)

    def found(self) -> list[str]:
        """What the instance that runs now found, as soon as it has."""

        def said() -> list[str]:
            run = self.world.shown(N1, SERVICE, "InvocationID")
            words = ("-o", "cat", f"_SYSTEMD_INVOCATION_ID={run}", "_TRANSPORT=stdout")
            return self.world.text(N1, "journalctl", *words).splitlines()

        self.world.until("it has looked", lambda: "done" in said())
        return said()

    def conf(self) -> str:
        """As the instance has it."""
        pid = self.world.shown(N1, SERVICE, "MainPID")
        return self.world.text(N1, "cat", f"/proc/{pid}/root/etc/resolv.conf")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Names]:
    with booted("net-names", tmp_path_factory.mktemp("net")) as made:
        names = Names(made.world)
        names.accept(FIRST)
        names.has(FIRST)
        names.furnish()
        yield names


def test_an_instance_finds_others_by_name_after_a_cold_boot_with_nobody_there(machine: Names) -> None:
    machine.world.lab.poweroff(N1)
    machine.world.lab.boot(N1)
    machine.has(FIRST)
    one = region(WEB, DB1)
    (db,) = (copy.address for copy in FIRST.network.neighbours[0].copies)
    assert machine.found() == [
        f"db.skerry {db}",
        f"1.db.skerry {db}",
        f"n2.node.skerry {node_address(one.network_of(DB1.node))}",
        f"www.example.org {ELSEWHERE}",
        "done",
    ]


def test_what_the_machine_is_told_meanwhile_holds_for_instances_that_run(machine: Names) -> None:
    """The plan, and how names are looked for."""
    machine.world.systemctl(N1, "start", SERVICE)
    run = machine.world.shown(N1, SERVICE, "InvocationID")
    machine.put("/etc/resolv.conf", "nameserver 127.0.0.9\nsearch other.example\n")
    machine.accept(MORE)
    machine.has(MORE)
    assert machine.conf().splitlines()[1:] == [f"nameserver {NODE}", "search other.example"]
    assert machine.world.shown(N1, SERVICE, "InvocationID") == run


def test_nobody_is_refused_while_skerry_net_starts_anew(machine: Names) -> None:
    with machine.world.lab.popen(N1, [sys.executable, "-c", ASKS_ON, NODE]) as asking:
        assert asking.stdout is not None
        assert asking.stdout.readline() == "begun\n"
        machine.world.systemctl(N1, "restart", UNIT)
        machine.kill(UNIT)
        machine.world.systemctl(N1, "start", UNIT)
        machine.world.run(N1, "touch", ENOUGH)
        answered, failed = map(int, asking.stdout.readline().split())
    assert failed == 0
    assert answered > 10


def test_an_instance_has_its_own_though_the_machines_is_a_link(machine: Names) -> None:
    """As systemd-resolved makes it, into a folder that instances don't see."""
    machine.put("/run/systemd/resolve/stub-resolv.conf", "nameserver 127.0.0.9\n")
    (machine.root / "etc/resolv.conf").unlink()
    (machine.root / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    machine.world.systemctl(N1, "restart", SERVICE)
    assert f"www.example.org {ELSEWHERE}" in machine.found()
    assert machine.conf().splitlines()[1] == f"nameserver {NODE}"
    (machine.root / "etc/resolv.conf").unlink()
    machine.put("/etc/resolv.conf", "nameserver 127.0.0.9\n")


def test_an_instance_that_runs_keeps_its_own_when_the_machines_is_replaced(machine: Names) -> None:
    """As NetworkManager and dhclient do it; the kernel takes away what is mounted on a file that is replaced."""
    machine.world.systemctl(N1, "restart", SERVICE)
    run = machine.world.shown(N1, SERVICE, "InvocationID")
    for search in ("first.example", "second.example"):
        machine.put("/etc/resolv.conf.new", f"nameserver 127.0.0.9\nsearch {search}\n")
        (machine.root / "etc/resolv.conf.new").rename(machine.root / "etc/resolv.conf")
        assert f"nameserver {NODE}" not in machine.conf()
        machine.accept(MORE if search.startswith("first") else FIRST)
        machine.world.until(
            "it has its own",
            lambda: machine.conf().splitlines()[1:] == [f"nameserver {NODE}", f"search {search}"],  # noqa: B023
        )
    assert machine.world.shown(N1, SERVICE, "InvocationID") == run
    machine.has(FIRST)


def test_who_is_not_well_comes_last(machine: Names) -> None:
    two = plan(WEB, DB0, DB1)
    machine.accept(two)
    machine.has(two)
    first, last = (one.address for one in two.network.neighbours[0].copies)

    def order() -> list[str]:
        said = machine.world.text(
            N1, "nsenter", f"--net={NAMESPACES}/skerry-{WEB.id}", sys.executable, "-c", ASKS
        )
        return said.split()

    assert order() == [first, last]
    path = machine.root / "var/lib/skerry" / HINT
    sealed.write_twice(path, sealed.bytes_of(Hint(ailing=(first, "nonsense"))))
    machine.world.until("the first comes last", lambda: order() == [last, first])


# Not getent, which has an order of its own (RFC 6724).
ASKS = f"""
import socket
sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
sock.settimeout(5)
sock.sendto(b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\2db\\6skerry\\0\\0\\x1c\\0\\1", ("{NODE}", 53))
data = sock.recv(4096)
for at in range(len(data) - 16 * 2 - 12, len(data), 28):
    print(socket.inet_ntop(socket.AF_INET6, data[at : at + 16]))
"""


def test_a_port_that_somebody_else_has_is_said_and_all_else_goes_on(machine: Names) -> None:
    holds = "import socket, time; one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)"
    holds += (
        "; one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1); one.bind(('::', 53)); time.sleep(600)"
    )
    machine.accept(FIRST)
    machine.has(FIRST)
    machine.world.systemctl(N1, "stop", UNIT)
    machine.world.text(N1, "systemd-run", "--unit=taken", sys.executable, "-c", holds)
    machine.world.until("it has it", lambda: "[::]:53" in machine.world.text(N1, "ss", "-Hlun", "sport = 53"))
    machine.world.systemctl(N1, "start", UNIT)
    machine.world.until("it is said", lambda: (machine.status() or Status()).trouble != "")
    status = machine.status() or Status()
    assert status.trouble == (
        f"cannot answer names on {NODE} port 53: Address already in use (who has it: ss -lnp 'sport = 53')"
    )
    assert status.spaces
    assert status.wanted == FIRST.digest
    machine.world.systemctl(N1, "stop", "taken")
    machine.world.until("it answers", lambda: (machine.status() or Status()).trouble == "")
