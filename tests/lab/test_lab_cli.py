"""`skerry lab`, as typed: what it prints and how it exits."""

import json
import os
import subprocess
import sys

from skerry_hub.lab import Lab


def skerry_lab(*argv: str, name: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "skerry_hub.lab", "--name", name, *argv]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


# Boots and reboots a node with a process per command.
def test_a_session(bare_lab: Lab) -> None:
    name = bare_lab.paths.name

    def said(*argv: str) -> str:
        done = skerry_lab(*argv, name=name)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert said("up", "--nodes", "1", "--bare").splitlines()[1:] == [
        "NAME  STATE    ADDRESS    NAT   OUTSIDE    LINK  STARTS",
        "hub   off      10.77.0.2  -     10.77.0.2  ok    0",
        "n1    running  10.77.1.2  cone  10.78.1.2  ok    1",
    ]
    assert said("cut", "n1", "--direction", "up").startswith("cut: n1 (0.")
    assert said("status").splitlines()[2] == "n1    running  10.77.1.2  cone  10.78.1.2  cut (up)  1"
    assert said("heal", "n1").startswith("healed: n1 (0.")
    assert said("nat", "n1", "symmetric", "--udp-timeout", "9").startswith("n1 is behind: symmetric (0.")
    assert said("mtu", "n1", "1300", "--silent").startswith("n1: mtu 1300, silent (0.")
    assert said("move", "n1").startswith("moved: n1 (0.")
    line = "n1    running  10.77.1.2  symmetric  10.78.1.3  mtu 1300 (silent)  1"
    assert said("status").splitlines()[2] == line
    assert said("poweroff", "n1").startswith("off: n1 (0.")
    assert said("boot", "n1").startswith("booted: n1 (")
    assert said("reboot", "n1").startswith("rebooted: n1 (")
    assert json.loads(json_of(name))["nodes"][0] == {
        "name": "n1",
        "state": "running",
        "address": "10.77.1.2",
        "cut": None,
        "boots": 3,
        "nat": "symmetric",
        "outside": "10.78.1.3",
        "udp_timeout": 9,
        "mtu": 1300,
        "silent": True,
    }
    assert said("down").startswith("the lab is down (0.")
    assert "there was no lab" in said("down")


def json_of(name: str) -> str:
    command = [sys.executable, "-m", "skerry_hub.lab", "--name", name, "--json", "status"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_run_is_the_command_itself(lab: Lab) -> None:
    done = skerry_lab(
        "run", "n1", "--", "sh", "-c", "cat; hostname; exit 3", name=lab.paths.name, text="in\n"
    )
    assert (done.returncode, done.stdout) == (3, "in\nn1\n")
    assert skerry_lab("run", "n1", "printf", "%s", "--help", name=lab.paths.name).stdout == "--help"
    assert skerry_lab("hub", "exec", "--", "sh", "-c", "exit 4", name=lab.paths.name).returncode == 4


def test_errors_are_one_line(lab: Lab) -> None:
    name = lab.paths.name
    for argv, said in (
        (["up"], f"cannot start the lab '{name}': it is up ('skerry lab --name {name} down' ends it)"),
        (["boot", "n9"], "cannot find a node 'n9': this lab has n1, n2"),
        (["boot", "n1"], "cannot boot n1: it is running"),
        (["nat", "hub", "cone"], "cannot find a node 'hub': this lab has n1, n2"),
        (["resume", "n1"], "cannot resume n1: it is running, not paused"),
        (["hub", "start"], "cannot start the hub: it is running"),
    ):
        done = skerry_lab(*argv, name=name)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {said}\n")


def test_who_is_not_root_is_told_so(lab: Lab) -> None:
    # A checkout may lie where others may not look, as in root's home.
    may_read = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *may_read, sys.executable]
    for words in (["status"], ["down"], ["cut", "n1"]):
        argv = [*nobody, "-m", "skerry_hub.lab", "--name", lab.paths.name, *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")
        said = "Error: cannot reach the labs of this machine: that takes root's rights\n"
        assert (done.returncode, done.stderr) == (1, said)


def test_without_a_lab_the_error_says_how_to_get_one() -> None:
    name = f"none-{os.getpid()}"
    done = skerry_lab("status", name=name)
    then = f"it is not up (start it with 'skerry lab --name {name} up')"
    assert (done.returncode, done.stderr) == (1, f"Error: cannot reach the lab '{name}': {then}\n")
