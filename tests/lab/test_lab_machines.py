"""Nodes are machines of their own: power, disks, identities, what they see."""

import sys
import time
from pathlib import Path

import pytest

from skerry_hub.lab import Lab, LabError

BOOT_ID = ["cat", "/proc/sys/kernel/random/boot_id"]


def text(lab: Lab, node: str, *argv: str) -> str:
    return lab.run(node, argv).stdout.strip()


def test_nodes_run_and_are_different(lab: Lab) -> None:
    for node in ("n1", "n2"):
        assert text(lab, node, "systemctl", "is-system-running") == "running"
        assert text(lab, node, "hostname") == node
        assert text(lab, node, "ls", "/var/lib/skerry", "/etc/skerry") == "/etc/skerry:\n\n/var/lib/skerry:"
    assert text(lab, "n1", "cat", "/etc/machine-id") != text(lab, "n2", "cat", "/etc/machine-id")
    assert text(lab, "n1", *BOOT_ID) != text(lab, "n2", *BOOT_ID)


def test_nodes_see_the_software_and_cannot_change_it(lab: Lab) -> None:
    assert (
        text(lab, "n1", sys.executable, "-c", "import skerry_protocol, sys; print(sys.prefix)") == sys.prefix
    )
    touched = lab.run("n1", ["touch", str(Path(__file__).parent / "touched")], check=False)
    assert "Read-only file system" in touched.stderr


def test_nodes_see_nothing_of_the_lab(lab: Lab) -> None:
    assert lab.run("n1", ["ls", "/var/lib/skerry-lab"], check=False).returncode == 2
    assert lab.run("n1", ["ls", "/run/skerry-lab"], check=False).returncode == 2


def test_a_node_changes_nothing_of_the_host(lab: Lab) -> None:
    lab.run("n1", ["sh", "-c", "echo n1 > /etc/of-a-node; rm /etc/os-release"])
    assert not Path("/etc/of-a-node").exists()
    assert Path("/etc/os-release").exists()
    assert lab.run("n2", ["test", "-e", "/etc/of-a-node"], check=False).returncode == 1


def test_power_cut_keeps_the_disk_and_makes_a_new_boot(lab: Lab) -> None:
    lab.run("n1", ["sh", "-c", "echo kept > /root/kept; echo gone > /run/gone"])
    machine, boot = text(lab, "n1", "cat", "/etc/machine-id"), text(lab, "n1", *BOOT_ID)
    lab.poweroff("n1")
    assert lab.node("n1").state == "off"
    assert (lab.root("n1") / "root/kept").read_text() == "kept\n"
    lab.boot("n1")
    assert text(lab, "n1", "cat", "/root/kept") == "kept"
    assert lab.run("n1", ["test", "-e", "/run/gone"], check=False).returncode == 1
    assert text(lab, "n1", "cat", "/etc/machine-id") == machine
    assert text(lab, "n1", *BOOT_ID) != boot
    boots = text(lab, "n1", "journalctl", "--list-boots", "--no-pager").splitlines()
    assert [line.split()[0] for line in boots[1:]] == ["-1", "0"]


def test_power_cut_runs_no_stop_command(lab: Lab) -> None:
    lab.run("n1", ["systemd-run", "--unit=x", "-p", "ExecStop=touch /root/stopped", "sleep", "inf"])
    lab.poweroff("n1")
    assert not (lab.root("n1") / "root/stopped").exists()


def test_clean_poweroff_runs_stop_commands(lab: Lab) -> None:
    lab.run("n1", ["systemd-run", "--unit=x", "-p", "ExecStop=touch /root/stopped", "sleep", "inf"])
    lab.poweroff("n1", clean=True)
    assert (lab.root("n1") / "root/stopped").exists()
    lab.boot("n1")


def test_a_node_can_reboot_itself(lab: Lab) -> None:
    boot = text(lab, "n1", *BOOT_ID)
    with lab.popen("n1", ["sh", "-c", "systemctl reboot; sleep inf"]) as shell:
        shell.wait(10)  # it dies with its machine
    lab.await_boot("n1", 2)
    assert text(lab, "n1", *BOOT_ID) != boot
    lab.reboot("n1")
    assert lab.node("n1").boots == 3


def test_a_node_can_switch_itself_off(lab: Lab) -> None:
    with lab.popen("n1", ["sh", "-c", "systemctl poweroff; sleep inf"]) as shell:
        shell.wait(10)
    with pytest.raises(LabError, match="off"):
        lab.await_boot("n1", 2, seconds=30)  # systemd itself may wait 10 s for what is slow to die
    lab.boot("n1")


def test_a_clone_is_the_same_machine_elsewhere(lab: Lab) -> None:
    with pytest.raises(LabError, match="cannot copy the disk of n1: it is in use"):
        lab.add("twin", copy_of="n1")
    machine = text(lab, "n1", "cat", "/etc/machine-id")
    lab.run("n1", ["sh", "-c", "echo key > /var/lib/skerry/key; rm -r /var/lib/dpkg"])
    lab.poweroff("n1")
    lab.add("twin", copy_of="n1")
    lab.boot("n1", "twin")
    assert text(lab, "twin", "cat", "/etc/machine-id") == machine
    assert text(lab, "twin", "cat", "/var/lib/skerry/key") == "key"
    assert lab.run("twin", ["ls", "/var/lib/dpkg"], check=False).returncode == 2
    assert lab.node("twin").address != lab.node("n1").address


def test_a_new_node_is_fresh(lab: Lab) -> None:
    lab.add("n3")
    lab.boot("n3")
    assert text(lab, "n3", "systemctl", "is-system-running") == "running"
    assert "n3" in text(lab, "n1", "cat", "/etc/hosts")


# Waits: that nothing happens takes time to see.
def test_a_paused_node_does_nothing(lab: Lab) -> None:
    lab.run("n1", ["systemd-run", "sh", "-c", "while :; do echo . >> /root/dots; sleep 0.01; done"])
    dots = lab.root("n1") / "root/dots"
    grows(dots)
    lab.pause("n1")
    assert lab.node("n1").state == "paused"
    with pytest.raises(
        LabError, match=r"cannot reach systemd in n1: it is paused \('skerry lab resume n1'\)"
    ):
        lab.reboot("n1")
    size = dots.stat().st_size
    time.sleep(0.1)
    assert dots.stat().st_size == size
    lab.resume("n1")
    grows(dots)


def grows(file: Path) -> None:
    size = file.stat().st_size if file.exists() else 0
    deadline = time.monotonic() + 5
    while not file.exists() or file.stat().st_size == size:
        assert time.monotonic() < deadline, f"{file} does not grow"
        time.sleep(0.01)


def test_sandboxed_units_work(lab: Lab) -> None:
    """What the agent renders needs namespaces inside of a namespace."""
    properties = [
        "DynamicUser=yes", "ProtectSystem=strict", "PrivateTmp=yes", "PrivateDevices=yes", "PrivateUsers=yes",
        "NoNewPrivileges=yes", "CapabilityBoundingSet=", "SystemCallFilter=@system-service", "StateDirectory=x",
    ]  # fmt: skip
    flags = [word for each in properties for word in ("-p", each)]
    said = text(
        lab,
        "n1",
        "systemd-run",
        "--wait",
        "--pipe",
        "--quiet",
        *flags,
        "sh",
        "-c",
        "id -u; touch $STATE_DIRECTORY/y",
    )
    assert 61184 <= int(said) <= 65519  # what systemd gives to dynamic users


def test_disks_can_be_on_disk(bare_lab: Lab) -> None:
    bare_lab.up(1, hub=False, disks="disk", tied=True)
    bare_lab.run("n1", ["sh", "-c", "echo kept > /root/kept"])
    bare_lab.poweroff("n1")
    assert (bare_lab.paths.store / "disks/n1/upper/root/kept").read_text() == "kept\n"
    bare_lab.boot("n1")
    assert text(bare_lab, "n1", "cat", "/root/kept") == "kept"


def test_units_are_installed_and_enabled(bare_lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "hello.service").write_text(
        "[Service]\nType=oneshot\nExecStart=/bin/echo @BINDIR@\nRemainAfterExit=yes\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )
    bare_lab.up(1, hub=False, units=tmp_path, tied=True)
    assert text(bare_lab, "n1", "systemctl", "is-active", "hello.service") == "active"
    assert str(Path(sys.executable).parent) in text(bare_lab, "n1", "journalctl", "-u", "hello", "-o", "cat")


def test_run_carries_input_output_and_exit_code(lab: Lab) -> None:
    done = lab.run("n1", ["sh", "-c", "cat; echo bad >&2; exit 7"], input="in\n", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "in\n", "bad\n")
    with pytest.raises(LabError, match=r"^cannot run 'n1: sh -c exit 7': exit code 7, it said nothing$"):
        lab.run("n1", ["sh", "-c", "exit 7"])


def test_what_run_started_dies_with_its_caller(lab: Lab) -> None:
    with pytest.raises(LabError, match="still ran"):
        lab.run("n1", ["sleep", "1234"], timeout=0.1)
    assert lab.run("n1", ["pgrep", "-f", "sleep 1234"], check=False).returncode == 1


def test_wrong_requests_say_what_is_wrong(lab: Lab) -> None:
    with pytest.raises(LabError, match="cannot find a node 'n9': this lab has n1, n2"):
        lab.boot("n9")
    with pytest.raises(LabError, match="cannot boot n1: it is running"):
        lab.boot("n1")
    with pytest.raises(LabError, match=r"cannot enter the lab .*: n9 is off, or no node"):
        lab.run("n9", ["true"])
    with pytest.raises(LabError, match=r"cannot start the lab .*: it is up"):
        lab.up(1)


def test_a_machine_in_which_a_job_takes_its_time_goes_on(lab: Lab) -> None:
    """systemd tells the container's manager of the job, three times a second once it takes longer. Who had stopped
    listening when it had booted let both hang for good after a few seconds of that."""
    job = ("systemd-run", "--quiet", "--wait", "--property=Type=oneshot")
    lab.run("n1", [*job, "sleep", "15"], timeout=40)
    assert text(lab, "n1", "systemctl", "is-system-running") == "running"
