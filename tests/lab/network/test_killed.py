"""skerry-net killed within its operations: whatever is half made, the next one makes it whole, and the way to the hub
holds meanwhile.

strace kills the real process before one of its system calls (see `tests.lab.steps`). Some of the steps are tried;
SKERRY_EVERY_STEP=1 tries every one, in some minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pytest

from skerry_agent.disk import sealed
from skerry_agent.network.records import WANTED, Plan, Status
from skerry_netplan.differ import diff
from skerry_netplan.hubside import HubHere, lower_hub
from skerry_netplan.state import State
from skerry_protocol.network import Port
from tests.lab.network.rig import (
    ALONE,
    DB,
    HUB_PORT,
    SQL,
    WEB,
    Machines,
    mesh,
    node_state,
    public,
    region,
    talk,
)
from tests.lab.network.test_cuts import SERVICE, belongs, lies_about, reaches_hub
from tests.lab.network.test_keeper import MOVED, has, plan
from tests.lab.network.turning import new_kernel, turn
from tests.netplan.regions import says

CALLS = ("sendto", "sendmsg", "mount", "umount2", "unshare", "rename", "fsync")
SOME = 9
FULL = plan(region(WEB, DB, ALONE))
LESS = plan(region(ALONE, web=says()))
CHANGES: dict[str, tuple[State, Plan]] = {
    "first": (State(), FULL),
    "less": (node_state(1, region(WEB, DB, ALONE), "n2"), LESS),
    "moved": (node_state(1, region(ALONE, web=says())), MOVED),
}
ROOT = Path(__file__).parents[3]


@pytest.fixture
def machines() -> Iterator[Machines]:
    with mesh() as made:
        hub, node, other = made
        one = region(WEB, DB, ALONE)
        hub.become(lower_hub(one, HubHere(public("hub"), HUB_PORT, 1420, (Port(SERVICE),))))
        other.become(node_state(2, one))
        node.kernel = new_kernel()
        yield made
        node.become(State())  # its wireguard-go are nobody's children, so that nothing else ends them


class Cut:
    """One change of the first node, made by processes."""

    def __init__(self, machines: Machines, before: State, wanted: Plan, folder: Path) -> None:
        self.node = machines[1]
        self.machines, self.before, self.wanted, self.folder = machines, before, wanted, folder
        self.number = 0

    def begin(self) -> None:
        self.node.kernel = new_kernel()
        self.node.become(self.before)
        self.number += 1
        self.state = self.folder / str(self.number)
        path = self.state / "state" / WANTED
        path.parent.mkdir(parents=True)
        sealed.write_twice(path, sealed.bytes_of(self.wanted))

    def ran(self, *words: str) -> list[tuple[str, int]]:
        """Its steps, as (call, which of that thread's). What it begins itself, nft and wireguard-go, is not watched."""
        log = self.folder / "steps"
        with self.node.host.run(_begun(self.state)) as process:
            ask = ["strace", "-f", "-b", "execve", "-o", str(log), "-e", f"trace={','.join(CALLS)}", *words]
            with subprocess.Popen(
                [*ask, "-p", str(process.pid)], stderr=subprocess.PIPE, text=True
            ) as tracer:
                assert tracer.stderr is not None
                assert "attached" in tracer.stderr.readline()
                process.communicate(b"\n", timeout=20)
                tracer.stderr.read()
            assert process.returncode == (-SIGKILL if words else 0)
        return steps(log.read_text())

    def goes_on(self) -> Status:
        self.node.kernel = new_kernel()
        return self.node.host.run(turn(self.state))


async def _begun(folder: Path) -> subprocess.Popen[bytes]:
    """On the host's thread, so in its namespaces."""
    words = [sys.executable, "-m", "tests.lab.network.turning", str(folder)]
    return subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE)  # noqa: ASYNC220


def steps(log: str) -> list[tuple[str, int]]:
    made: dict[tuple[str, str], int] = {}
    found: dict[tuple[str, int], None] = {}
    for line in log.splitlines():
        thread, _, rest = line.partition(" ")
        call = rest.strip().partition("(")[0]
        if call in CALLS:
            made[thread, call] = made.get((thread, call), 0) + 1
            found[call, made[thread, call]] = None
    return list(found)


def chosen(found: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return found if os.environ.get("SKERRY_EVERY_STEP") else found[:: max(1, len(found) // SOME)]


@pytest.mark.parametrize("change", CHANGES)
def test_a_kill_at_any_step(machines: Machines, tmp_path: Path, change: str) -> None:
    before, wanted = CHANGES[change]
    cut = Cut(machines, before, wanted, tmp_path)
    cut.begin()
    found = cut.ran()
    assert cut.goes_on() == has(wanted), "without a cut"
    whole = machines[1].read()
    for call, number in chosen(found):
        cut.begin()
        cut.ran("-e", f"inject={call}:signal=KILL:when={number}")
        assert not before.tunnels or reaches_hub(machines), f"{call} {number}"
        assert cut.goes_on() == has(wanted), f"{call} {number}"
        assert lies_about(machines[1]) == belongs(whole), f"{call} {number}"
        assert diff(whole, machines[1].read()) == (), f"{call} {number}"
        assert reaches_hub(machines), f"gone on after {call} {number}"
    assert WEB.id not in wanted.network.addresses or talk(machines, WEB, DB, SQL)
