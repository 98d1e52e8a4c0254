"""The promises of tests/agent/systemd_conformance.py on a real systemd, and leases when no agent is there to help.

One node serves all tests of this file: each promise cleans up after itself.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry_hub.lab import Lab
from tests.agent.systemd_conformance import PROMISES, UNIT

from .conftest import STAND_IN

ROOT = Path(__file__).parents[2]
# How late systemd may be: AccuracySec=10ms, the stop of a process that ends at once, and a busy machine.
LATE_US = 1_000_000


@pytest.fixture(scope="module")
def node() -> Iterator[Lab]:
    with Lab(f"systemd-{os.getpid()}") as lab:
        lab.up(1, hub_argv=STAND_IN, tied=True)
        yield lab


def python(lab: Lab, module: str, *args: str) -> object:
    argv = ["env", "-C", str(ROOT), "PYTHONDONTWRITEBYTECODE=1", sys.executable, "-m", module, *args]
    return json.loads(lab.run("n1", argv, timeout=120).stdout)


@pytest.fixture(scope="module")
def promises(node: Lab) -> dict[str, str | None]:
    found = python(node, "tests.agent.systemd_conformance")
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", PROMISES)
def test_promise(name: str, promises: dict[str, str | None]) -> None:
    assert promises[name] is None, promises[name]


@pytest.mark.parametrize("what", ["killed", "hung", "stopped", "reexec"])
def test_systemd_ends_the_lease_whatever_becomes_of_the_agent(node: Lab, what: str) -> None:
    found = python(node, "tests.agent.lease_rehearsal", what)
    assert isinstance(found, dict)
    assert 0 <= found["gone_us"] - found["deadline_us"] < LATE_US
    assert found["refused_after"]


def test_a_start_while_a_lease_ends_does_not_keep_it_open(node: Lab) -> None:
    found = python(node, "tests.agent.lease_rehearsal", "between")
    assert found == {"told": "refused", "ended": True, "over": True}


def test_a_start_by_hand_while_a_lease_ends_does_not_keep_it_open_either(node: Lab) -> None:
    """It takes the place of the lease's stop for a moment, and there is another one."""
    found = python(node, "tests.agent.lease_rehearsal", "byhand")
    assert found == {"started": True, "over": True}


def test_a_fenced_unit_waits_after_a_reboot(node: Lab) -> None:
    setup = (
        "import asyncio\n"
        "from tests.agent.lease_rehearsal import machine\n"
        "from skerry_agent.systemd.dbus import DbusSystemd\n"
        "async def main():\n"
        "    m = machine(DbusSystemd())\n"
        "    m.fenced()\n"
        "    await m.armed(600)\n"
        "asyncio.run(main())\n"
    )
    node.run("n1", ["env", "-C", str(ROOT), "PYTHONDONTWRITEBYTECODE=1", sys.executable, "-c", setup])
    assert state(node) == "active"
    node.reboot("n1")
    assert state(node) == "inactive"
    by_hand = node.run("n1", ["systemctl", "start", UNIT], check=False)
    assert by_hand.returncode != 0
    assert "Dependency failed" in by_hand.stderr or "dependency" in by_hand.stderr


def state(lab: Lab) -> str:
    return lab.run("n1", ["systemctl", "is-active", UNIT], check=False).stdout.strip()
