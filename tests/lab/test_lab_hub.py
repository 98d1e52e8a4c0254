"""The hub's place in the lab: its data, its link, and the way to it from the host."""

import socket
import sys

import pytest

from skerry_hub.lab import Lab, LabError
from tests.lab.conftest import STAND_IN


def get_by_socket(lab: Lab) -> bytes:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(lab.api_socket))
        peer.sendall(b"GET /file HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: peer.recv(4096), b""))


def test_the_host_reaches_the_hub_by_a_socket_also_when_it_is_cut_off(lab: Lab) -> None:
    (lab.hub_data / "file").write_text("x" * 300_000)
    assert get_by_socket(lab).endswith(b"\r\n\r\n" + b"x" * 300_000)
    lab.cut("hub")
    assert get_by_socket(lab).endswith(b"x" * 300_000)
    lab.hub_stop()
    assert not answered(lab)


def answered(lab: Lab) -> bool:
    try:
        return bool(get_by_socket(lab))
    except OSError:
        return False


def test_commands_run_in_the_hubs_network(lab: Lab) -> None:
    get = "import urllib.request as r; print(r.urlopen('http://10.77.0.2:8443/').status)"
    assert lab.hub_exec([sys.executable, "-c", get]).stdout == "200\n"
    assert lab.hub_exec(["sh", "-c", "cat; exit 3"], input="in", check=False).returncode == 3


def test_a_run_of_the_hub_is_told_more_than_the_others(bare_lab: Lab) -> None:
    said = ["sh", "-c", 'echo "told: $*"; exec "$@"', "sh", *STAND_IN]
    bare_lab.up(0, hub_argv=said, tied=True)
    bare_lab.hub_stop()
    with pytest.raises(LabError, match="unrecognized arguments: --wide"):
        bare_lab.hub_start(["--wide"])
    bare_lab.hub_start()
    ends = [line.endswith("--wide") for line in bare_lab.hub_log.read_text().splitlines() if "told" in line]
    assert ends == [False, True, False]


def test_data_outlives_stop_and_kill_but_not_wipe(lab: Lab) -> None:
    (lab.hub_data / "file").write_text("x")
    lab.hub_stop()
    assert lab.status().hub.state == "off"
    lab.hub_start()
    lab.hub_kill()
    assert lab.status().hub.state == "ended (-9)"
    lab.hub_start()
    assert (lab.hub_data / "file").exists()
    lab.hub_wipe()
    assert not lab.hub_data.exists()
    lab.hub_start()
    assert lab.status().hub.boots == 4


def test_a_killed_hub_leaves_its_children_unless_everything_goes(bare_lab: Lab) -> None:
    listen = ["sh", "-c", 'sleep 4321 & exec "$@"', "sh", *STAND_IN]
    bare_lab.up(0, hub_argv=listen, tied=True)
    bare_lab.hub_kill()
    assert bare_lab.hub_exec(["pgrep", "-f", "^sleep 4321"], check=False).returncode == 0
    bare_lab.hub_start()
    bare_lab.hub_kill(everything=True)
    assert bare_lab.hub_exec(["pgrep", "-f", "^sleep 4321"], check=False).returncode == 1


def test_a_hub_that_fails_says_why_and_leaves_no_lab(bare_lab: Lab) -> None:
    with pytest.raises(LabError, match=r"cannot start the hub: it ended with 5; .*ends with: no keys"):
        bare_lab.up(1, hub_argv=["sh", "-c", "echo no keys; exit 5"])
    assert not bare_lab.paths.run.exists()
    assert not bare_lab.paths.store.exists()


# Waits for its short deadline.
def test_a_hub_that_never_listens_is_not_waited_for_for_ever(bare_lab: Lab) -> None:
    with pytest.raises(LabError, match="cannot say that the hub has started: port 8443 is closed"):
        bare_lab.up(0, hub_argv=["sleep", "inf"], seconds=0.3)
